// The Standard Workload Format: a job a line, eighteen numbers, and comments with the machine's description.
// Chapin et al., "Benchmarks and Standards for the Evaluation of Parallel Job Schedulers", JSSPP 1999; version 2.2 as described at
// the Parallel Workloads Archive, https://www.cs.huji.ac.il/labs/parallel/workload/swf.html
#pragma once

#include "sim/workload.h"

namespace bai::sim {

// As published results read it: processors are those requested, or else those used; the estimate is the requested time, or else the run
// time; a run is cut at its estimate; jobs without a run time or processors are left out. Memory is what each processor requests.
// A job's partition is what the header calls its partition, or else its queue. `first` is the line that `lines` has given last.
Result<Workload> read_swf(Lines& lines, std::string_view first, bool strict);

}  // namespace bai::sim
