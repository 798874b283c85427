// bai-acct: shows jobs that ran and run, from the store.
#include "cli/acct.h"

int main(int argc, char** argv) { return bai::cli::run_acct(bai::cli::Dialect::of(argv[0]), argc, argv); }
