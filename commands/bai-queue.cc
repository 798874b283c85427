// bai-queue: shows jobs that wait and run.
#include "cli/queue.h"

int main(int argc, char** argv) { return bai::cli::run_queue(bai::cli::Dialect::of(argv[0]), argc, argv); }
