// bai-top: the cluster on one screen, alive.
#include "cli/top.h"

int main(int argc, char** argv) { return bai::cli::run_top(bai::cli::Dialect::of(argv[0]), argc, argv); }
