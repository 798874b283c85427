// bai-diag: shows what the controller is doing.
#include "cli/diag.h"

int main(int argc, char** argv) { return bai::cli::run_diag(bai::cli::Dialect::of(argv[0]), argc, argv); }
