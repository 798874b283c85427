// The figures of merit of a simulation, as the literature has them. Plain values.
#pragma once

#include "sim/simulation.h"

namespace bai::sim {

struct Metrics {
  std::uint64_t jobs = 0;  // that were started; the figures below are of them
  std::uint64_t never_started = 0;
  // Average bounded slowdown: of max(1, (wait + run) / max(run, 10 s)). Feitelson, "Metrics for Parallel Job Scheduling and Their
  // Convergence", JSSPP 2001.
  double avebsld = 0;
  double mean_wait_s = 0;
  Seconds median_wait_s = 0, p95_wait_s = 0, max_wait_s = 0;
  std::uint64_t max_wait_job = 0;  // whose that is, by the trace's number
  double utilization = 0;          // of the CPUs, from the first submission to the last end; 0 to 1
  double gpu_utilization = 0;
  double fragmentation = 0;  // CPUs free while jobs waited, of all; 0 to 1
  Seconds makespan_s = 0;
};

// How many jobs start sooner, later, or at the same time in `b`, of those that start in both.
struct Change {
  std::uint64_t sooner = 0, later = 0, same = 0;
};
Change compare_waits(const Played& a, const Played& b);

Metrics measure(const Workload& workload, const Site& site, const Played& played);

}  // namespace bai::sim
