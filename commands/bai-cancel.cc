// bai-cancel: ends jobs and sends signals.
#include "cli/cancel.h"

int main(int argc, char** argv) { return bai::cli::run_cancel(bai::cli::Dialect::of(argv[0]), argc, argv); }
