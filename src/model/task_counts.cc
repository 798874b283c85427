#include "model/task_counts.h"

#include <algorithm>

namespace bai {

std::string compress_counts(const std::vector<std::uint32_t>& counts) {
  std::string out;
  for (std::size_t i = 0; i < counts.size();) {
    std::size_t same = i;
    while (same < counts.size() && counts[same] == counts[i]) ++same;
    if (!out.empty()) out += ',';
    out += std::to_string(counts[i]);
    if (same - i > 1) out += "(x" + std::to_string(same - i) + ")";
    i = same;
  }
  return out;
}

std::vector<std::uint32_t> tasks_per_node(const Job& job) {
  const auto& request = request_in_force(job);
  const auto& nodes = job.allocation->nodes;
  std::vector<std::uint32_t> counts(nodes.size(), 0);
  if (request.tasks_per_node > 0) {
    counts.assign(nodes.size(), request.tasks_per_node);
    return counts;
  }
  if ((request.asked & kAskedTasks) == 0) {  // as many as there are processors for
    for (std::size_t i = 0; i < nodes.size(); ++i)
      counts[i] = std::max(1u, nodes[i].cpus / std::max(1u, request.cpus_per_task));
    return counts;
  }
  // One each, then the rest in order as far as their CPUs reach, as Slurm's block distribution does.
  std::uint32_t left = std::max<std::uint32_t>(request.tasks, static_cast<std::uint32_t>(nodes.size()));
  for (auto& count : counts) count = 1, --left;
  for (std::size_t i = 0; i < nodes.size() && left > 0; ++i) {
    const std::uint32_t room = nodes[i].cpus / std::max(1u, request.cpus_per_task);
    const std::uint32_t more = std::min(left, room > 1 ? room - 1 : 0);
    counts[i] += more;
    left -= more;
  }
  if (!counts.empty()) counts.back() += left;
  return counts;
}

}  // namespace bai
