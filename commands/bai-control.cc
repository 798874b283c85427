// bai-control: looks at and changes jobs, nodes, partitions and the controller.
#include "cli/control.h"

int main(int argc, char** argv) { return bai::cli::run_control(bai::cli::Dialect::of(argv[0]), argc, argv); }
