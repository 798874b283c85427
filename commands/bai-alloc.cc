// bai-alloc: an allocation with a shell or a command beside it.
#include "cli/alloc.h"

int main(int argc, char** argv) { return bai::cli::run_alloc(bai::cli::Dialect::of(argv[0]), argc, argv); }
