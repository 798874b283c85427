// bai-why: says why a job waits, and what would let it start sooner.
#include "cli/why.h"

int main(int argc, char** argv) { return bai::cli::run_why(bai::cli::Dialect::of(argv[0]), argc, argv); }
