// Workload: the jobs of a trace, in the order in which they were submitted. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/istr.h"
#include "base/time.h"
#include "sim/lines.h"

namespace bai::sim {

// What jobs ask for beside processors and time. Many jobs share one.
struct Shape {
  std::uint64_t cpu_milli = 1000;  // of a processor, for each task
  std::uint64_t mem_mib = 0;       // for each task; 0: nothing said
  std::uint32_t gpus = 0;          // for each task
  std::uint32_t gpu_milli = 0;     // of each of them; less than 1000: a share of one
  Istr gpu_models;                 // "A|B"; empty: any
  Istr partition;                  // by the trace's own name; empty: none said

  friend bool operator==(const Shape&, const Shape&) = default;
  friend auto operator<=>(const Shape&, const Shape&) = default;
};

struct TraceJob {
  std::uint64_t id = 0;  // the trace's own number
  Seconds submit = 0;    // since the trace's beginning
  Seconds run = 0;       // never more than the estimate: it would have been ended
  Seconds estimate = 1;  // the time that it asked for, at least 1
  std::uint32_t tasks = 1;
  std::uint32_t user = 0;
  std::uint32_t shape = 0;  // of Workload::shapes
};

struct Workload {
  static constexpr std::size_t kMaxJobs = 20'000'000;

  std::vector<TraceJob> jobs;  // by submit, then id
  std::vector<Shape> shapes;
  std::int64_t unix_start = 0;    // when `submit` 0 was; 0: unknown
  std::uint64_t max_procs = 0;    // of the machine, as the trace has it; 0: unknown
  std::uint64_t without_run = 0;  // jobs left out: they never ran, or asked for nothing
  Broken broken;
};

// Reads a trace of either kind: Standard Workload Format, or the pods of openb. A broken line is left out and told in `broken`;
// with `strict` it is an error. Errors: no_file, bad_file, bad_trace.
Result<Workload> read_trace(const std::string& path, bool strict);

}  // namespace bai::sim
