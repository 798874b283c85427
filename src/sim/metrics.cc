#include "sim/metrics.h"

#include <algorithm>

namespace bai::sim {
namespace {

// The smallest value that at least so many percent do not exceed.
Seconds percentile(const std::vector<Seconds>& sorted, std::size_t percent) {
  if (sorted.empty()) return 0;
  const std::size_t rank = (sorted.size() * percent + 99) / 100;
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

}  // namespace

Change compare_waits(const Played& a, const Played& b) {
  Change out;
  for (std::size_t i = 0; i < std::min(a.wait.size(), b.wait.size()); ++i) {
    if (a.wait[i] == Played::kNever || b.wait[i] == Played::kNever) continue;
    ++(b.wait[i] < a.wait[i] ? out.sooner : b.wait[i] > a.wait[i] ? out.later : out.same);
  }
  return out;
}

Metrics measure(const Workload& workload, const Site& site, const Played& played) {
  constexpr Seconds kBound = 10;
  Metrics out;
  std::vector<Seconds> waits;
  waits.reserve(workload.jobs.size());
  double slowdown = 0, wait = 0;
  out.max_wait_s = -1;
  for (std::size_t i = 0; i < workload.jobs.size(); ++i) {
    if (played.wait[i] == Played::kNever) continue;
    const auto& job = workload.jobs[i];
    const Seconds waited = played.wait[i];
    waits.push_back(waited);
    wait += static_cast<double>(waited);
    slowdown +=
        std::max(1.0, static_cast<double>(waited + job.run) / static_cast<double>(std::max(job.run, kBound)));
    if (waited > out.max_wait_s) out.max_wait_s = waited, out.max_wait_job = job.id;
  }
  out.max_wait_s = std::max<Seconds>(out.max_wait_s, 0);
  out.jobs = waits.size();
  out.never_started = workload.jobs.size() - waits.size() - played.too_large;
  if (out.jobs) {
    out.avebsld = slowdown / static_cast<double>(out.jobs);
    out.mean_wait_s = wait / static_cast<double>(out.jobs);
  }
  std::sort(waits.begin(), waits.end());
  out.median_wait_s = percentile(waits, 50);
  out.p95_wait_s = percentile(waits, 95);
  out.makespan_s = played.end - played.begin;
  if (played.cpu_s > 0) {
    out.utilization = played.cpu_busy_s / played.cpu_s;
    out.fragmentation = played.cpu_idle_in_need_s / played.cpu_s;
  }
  const double gpu_s = static_cast<double>(site.gpu_milli) / 1000 * static_cast<double>(out.makespan_s);
  if (gpu_s > 0) out.gpu_utilization = played.gpu_busy_s / gpu_s;
  return out;
}

}  // namespace bai::sim
