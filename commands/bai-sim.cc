// bai-sim: plays traces of jobs on a cluster that is not there, with the scheduler that the controller uses.
#include "bai-sim/command.h"

int main(int argc, char** argv) { return bai::sim::run_sim(argc, argv); }
