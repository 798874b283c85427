// Fill: how much of a cluster's GPUs a placement can give away. Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with
// Fragmentation Gradient Descent", USENIX ATC'23: tasks in random order, then copies of random ones, come one by one and stay; what does
// not fit is dropped.
#pragma once

#include "sim/openb.h"
#include "sim/site.h"
#include "sim/workload.h"

namespace bai::sim {

struct Filled {
  // GPUs given away when the tasks so far had asked for as many as there are, and for 130% of that; in thousandths.
  std::uint64_t at_100 = 0, at_130 = 0;
  std::uint64_t tasks = 0, dropped = 0;
  double seconds = 0;  // real time
};

// Whether there is something to fill, and something to fill it with. Errors: bad_trace.
Status check_fill(const Site& site, const Workload& workload);

// One fill of that site by the pods of `workload` in their file's order, for which check_fill() is well. The order of tasks follows from the
// seed alone.
Filled fill_once(const Site& site, const Workload& workload, std::uint64_t seed);

// The tasks' order, as numbers of the workload's jobs. For tests.
std::vector<std::uint32_t> fill_order(const Workload& workload, std::uint64_t capacity_milli,
                                      std::uint64_t seed);

}  // namespace bai::sim
