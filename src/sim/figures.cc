#include "sim/figures.h"

#include <fmt/format.h>

#include <cmath>

namespace bai::sim {

std::vector<Figure> figures(const Metrics& m, const Site& site, const Played& played, double seconds) {
  const double passes = static_cast<double>(played.passes);
  auto real = [](auto value) { return static_cast<double>(value); };
  std::vector<Figure> out = {
      {"jobs", "jobs", Figure::kCount, real(m.jobs)},
      {"avebsld", "average bounded slowdown", Figure::kReal, m.avebsld},
      {"mean_wait_s", "wait, mean", Figure::kDuration, m.mean_wait_s},
      {"median_wait_s", "wait, median", Figure::kDuration, real(m.median_wait_s)},
      {"p95_wait_s", "wait, 95 of 100 at most", Figure::kDuration, real(m.p95_wait_s)},
      {"max_wait_s", "wait, longest", Figure::kDuration, real(m.max_wait_s)},
      {"max_wait_job", "whose that is", Figure::kCount, real(m.max_wait_job)},
      {"utilization", "CPUs in use", Figure::kShare, m.utilization},
  };
  if (site.gpu_milli) out.push_back({"gpu_utilization", "GPUs in use", Figure::kShare, m.gpu_utilization});
  out.insert(out.end(), {{"fragmentation", "CPUs free while jobs waited", Figure::kShare, m.fragmentation},
                         {"makespan_s", "makespan", Figure::kDuration, real(m.makespan_s)},
                         {"passes", "passes", Figure::kCount, passes},
                         {"mean_pass_s", "a pass, mean", Figure::kDuration,
                          passes > 0 ? played.passes_s / passes : 0, true},
                         {"max_pass_s", "a pass, longest", Figure::kDuration, played.longest_pass_s, true},
                         {"seconds", "real time", Figure::kDuration, seconds, true}});
  return out;
}

std::string text_of(const Figure& figure) {
  const double v = figure.value;
  switch (figure.kind) {
    case Figure::kCount:
      return fmt::format("{:.0f}", v);
    case Figure::kShare:
      return fmt::format("{:.2f} %", 100 * v);
    case Figure::kReal:
      return fmt::format("{:.2f}", v);
    case Figure::kDuration:
      break;
  }
  if (v == std::floor(v)) return fmt::format("{:.0f} s", v);
  if (v < 0.001) return fmt::format("{:.1f} us", v * 1e6);
  if (v < 1) return fmt::format("{:.1f} ms", v * 1e3);
  return fmt::format(v < 10 ? fmt::runtime("{:.2f} s") : fmt::runtime("{:.1f} s"), v);
}

std::string clock_of(const Figure& figure) {
  if (figure.kind != Figure::kDuration || figure.value < 60) return {};
  return format_duration(static_cast<Seconds>(std::llround(figure.value)));
}

}  // namespace bai::sim
