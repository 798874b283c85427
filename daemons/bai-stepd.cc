// bai-stepd: the shepherd of one job step. Started by bai-agentd; see src/step/shepherd.h.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <string>

#include "base/crash_point.h"
#include "base/paths.h"
#include "step/shepherd.h"

namespace {

constexpr const char* kHelp =
    "Usage: bai-stepd DIR\n"
    "Runs one job step: the one that DIR/launch describes. bai-agentd starts it; nobody else needs to.\n"
    "\n"
    "  DIR            the attempt's spool directory, an absolute path\n"
    "  -h, --help     print this and exit\n"
    "  -V, --version  print the version and exit\n"
    "\n"
    "Exit status: 0 the step ended and DIR/status says how; 1 it could not be run at all; 2 wrong usage.\n";

int wrong_usage(const char* what) {
  fprintf(stderr, "bai-stepd: %s\nTry 'bai-stepd --help'.\n", what);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  // Files of the step must never land on 0, 1 or 2 by accident.
  int spare = 0;
  while ((spare = open("/dev/null", O_RDWR)) >= 0 && spare < 3) {
  }
  close(spare);
  if (argc != 2) return wrong_usage("exactly one argument is needed: the spool directory");
  const std::string argument = argv[1];
  if (argument == "-h" || argument == "--help") return fputs(kHelp, stdout) < 0;
  if (argument == "-V" || argument == "--version")
    return printf("bai-stepd %s\n", std::string(bai::kVersion).c_str()) < 0;
  if (argument.starts_with("-")) return wrong_usage(("unknown option " + argument).c_str());
  if (!argument.starts_with("/")) return wrong_usage("the spool directory must be an absolute path");

  bai::Status done = bai::crash_points_init();
  if (done.ok()) done = bai::step::run_shepherd(argument);
  if (done.ok()) return 0;
  bai::step::log_shepherd(argument, done.error().text());
  return 1;
}
