// bai-attach: joins a running step.
#include "cli/attach.h"

int main(int argc, char** argv) { return bai::cli::run_attach(bai::cli::Dialect::of(argv[0]), argc, argv); }
