// bai-pmixd: the PMIx server of one node of one step. Started by bai-stepd; see src/pmix/server.h.
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/paths.h"
#include "pmix/server.h"
#include "step/pmix_frames.h"

namespace {

constexpr const char* kHelp =
    "Usage: bai-pmixd\n"
    "Serves the ranks of an MPI program on one node, by PMIx (bai-run --mpi=pmix). bai-stepd starts it as "
    "the job's\n"
    "user and talks to it over its standard input; nobody else can.\n"
    "\n"
    "  -h, --help     print this and exit\n"
    "  -V, --version  print the version and exit\n";

int wrong_usage(const char* what) {
  fprintf(stderr, "bai-pmixd: %s\nTry 'bai-pmixd --help'.\n", what);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string option = argc > 1 ? argv[1] : "";
  if (option == "-h" || option == "--help") return fputs(kHelp, stdout) < 0;
  if (option == "-V" || option == "--version")
    return printf("bai-pmixd %s (%s)\n", std::string(bai::kVersion).c_str(), bai::pmix::library().c_str()) <
           0;
  struct stat st {};
  if (argc != 1 || fstat(bai::step::kPmixSocket, &st) != 0 || !S_ISSOCK(st.st_mode))
    return wrong_usage("only bai-stepd can start it");
  // Signals to the step are the ranks'; the end of the socket is ours.
  for (const int signum :
       {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE, SIGTSTP, SIGXCPU})
    signal(signum, SIG_IGN);
  if (chdir("/") != 0) return 1;
  return bai::pmix::serve(bai::step::kPmixSocket);
}
