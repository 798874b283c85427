// Simulation: plays a trace on a site with the very scheduler of the daemon, on virtual time. One thread.
#pragma once

#include "sim/site.h"
#include "sim/workload.h"

namespace bai::sim {

struct Moment {  // how things were from then on
  Seconds at = 0;
  std::uint64_t cpus_busy = 0;
  std::uint32_t waiting = 0;
};

struct Played {
  static constexpr Seconds kNever = -1;
  std::vector<Seconds> wait;    // of each job of the workload; kNever: it was not started
  std::uint64_t too_large = 0;  // jobs left out because the site could never run them
  std::string too_large_why;    // of the first of them
  Seconds begin = 0, end = 0;   // first submission, last end
  // Over that time: CPU seconds that were there, that jobs had, and that were free while at least one job waited.
  double cpu_s = 0, cpu_busy_s = 0, cpu_idle_in_need_s = 0;
  double gpu_busy_s = 0;  // whole GPUs
  std::uint64_t passes = 0, jobs_tried = 0;
  double passes_s = 0, longest_pass_s = 0;  // real time
  std::vector<Moment> history;              // if asked for
};

// Each submission and each end is followed by a decision of the scheduler; at one instant submissions come before ends, as in the
// literature. A job that ends at its limit is out of the way at the beginning of that instant, since its end was known.
Played play(const Workload& workload, const Site& site, bool exact, bool with_history);

}  // namespace bai::sim
