// bai-cast: copies a file to all nodes of a job.
#include "cli/cast.h"

int main(int argc, char** argv) { return bai::cli::run_cast(bai::cli::Dialect::of(argv[0]), argc, argv); }
