// bai-run: runs a program as the tasks of a step.
#include "cli/run.h"

int main(int argc, char** argv) { return bai::cli::run_run(bai::cli::Dialect::of(argv[0]), argc, argv); }
