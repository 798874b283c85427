// The tables of the openb GPU cluster (Alibaba's cluster-trace-gpu-v2023, https://github.com/alibaba/clusterdata): comma separated, the
// first line names the columns.
#pragma once

#include "sim/workload.h"

namespace bai::sim {

struct OpenbNode {
  Istr name;
  std::uint64_t cpu_milli = 0, mem_mib = 0;
  std::uint32_t gpus = 0;
  Istr model;  // of its GPUs
};
struct OpenbNodes {
  static constexpr std::size_t kMaxNodes = 1'000'000;
  std::vector<OpenbNode> nodes;  // in the file's order
  Broken broken;
};

// Errors: no_file, bad_file, bad_trace.
Result<OpenbNodes> read_openb_nodes(const std::string& path, bool strict);

// Whether a file that begins so is a table of pods.
bool is_openb_pods(std::string_view first_line);
// Pods as jobs of one task, in the file's order: submitted when they were created, running from when they were scheduled until they were
// deleted. Those without such times last for no time. The estimate is the run time, at least 1: the table knows no other.
Result<Workload> read_openb_pods(Lines& lines, std::string_view first, bool strict);
Result<Workload> read_openb_pods(const std::string& path, bool strict);

}  // namespace bai::sim
