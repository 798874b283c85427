// bai-submit: submits job scripts.
#include "cli/submit.h"

int main(int argc, char** argv) { return bai::cli::run_submit(bai::cli::Dialect::of(argv[0]), argc, argv); }
