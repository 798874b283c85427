// bai-stat: shows what running steps use.
#include "cli/stat.h"

int main(int argc, char** argv) { return bai::cli::run_stat(bai::cli::Dialect::of(argv[0]), argc, argv); }
