// bai-stepd: the shepherd of one job step. Started by bai-agentd; see src/step/nursery.h and src/step/shepherd.h.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "base/crash_point.h"
#include "base/paths.h"
#include "step/nursery.h"

namespace {

constexpr const char* kHelp =
    "Usage: bai-stepd --nursery ROOM\n"
    "Forks the shepherds of job steps, each of which then calls itself bai-stepd DIR and runs the step that "
    "DIR/launch\n"
    "describes. bai-agentd starts it and tells it what to do over descriptor 3; nobody else can.\n"
    "\n"
    "  ROOM           blanks, in place of which a shepherd writes DIR\n"
    "  -h, --help     print this and exit\n"
    "  -V, --version  print the version and exit\n"
    "\n"
    "Exit status of a shepherd: 0 the step ended and DIR/status says how; 1 it could not be run at all.\n";

int wrong_usage(const char* what) {
  fprintf(stderr, "bai-stepd: %s\nTry 'bai-stepd --help'.\n", what);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string option = argc > 1 ? argv[1] : "";
  if (option == "-h" || option == "--help") return fputs(kHelp, stdout) < 0;
  if (option == "-V" || option == "--version")
    return printf("bai-stepd %s\n", std::string(bai::kVersion).c_str()) < 0;
  if (argc != 3 || option != bai::step::kNurseryOption) return wrong_usage("only bai-agentd can start it");
  if (fcntl(bai::step::kNurserySocket, F_GETFD) < 0) return wrong_usage("descriptor 3 is not open");
  if (auto armed = bai::crash_points_init(); !armed.ok()) return wrong_usage(armed.error().text().c_str());
  // The kernel lays the arguments out one behind the other.
  char* const title = argv[1];
  const auto room = static_cast<std::size_t>(argv[2] + strlen(argv[2]) + 1 - title);
  return bai::step::run_nursery(bai::step::kNurserySocket, title, room).ok() ? 0 : 1;
}
