// bai-info: shows partitions and nodes.
#include "cli/info.h"

int main(int argc, char** argv) { return bai::cli::run_info(bai::cli::Dialect::of(argv[0]), argc, argv); }
