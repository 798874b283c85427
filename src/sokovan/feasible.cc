// Questions about a job that is not in the queue.
#include <algorithm>

#include "base/suggest.h"
#include "base/text.h"
#include "base/units.h"
#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

std::string count(std::uint64_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

// Why no nodes, empty, hold it: the first of the plain reasons that is true.
std::string shortcoming(const Option& option, const Nodes& nodes) {
  const auto& wish = option.wish;
  const auto& filter = *option.filter;
  const auto cpus = static_cast<std::uint32_t>(std::max(0, filter.most_cpus));
  const auto mem = static_cast<std::uint64_t>(std::max(0, filter.most_mem));
  std::uint64_t need = wish.cpus_per_task;
  if (wish.max_nodes == 1) need *= wish.tasks;
  if (need > cpus) return "no node has " + count(need, "CPU") + "; the largest has " + std::to_string(cpus);
  std::uint64_t need_mem = 0;
  if (wish.memory.kind == MemoryRule::kPerNode) need_mem = wish.memory.mib;
  if (wish.memory.kind == MemoryRule::kPerCpu && __builtin_mul_overflow(wish.memory.mib, need, &need_mem))
    need_mem = kAllMemory;
  if (need_mem > mem)
    return "no node has " + format_memory(need_mem) + " of memory; the largest has " + format_memory(mem);
  // Devices: the most of each kind and type that one node has.
  const auto& arena = nodes.arena_at(option.arena);
  for (std::uint32_t i = 0; i < wish.devices.size(); ++i) {
    const auto& device = wish.devices[i];
    SlotAmount most = 0, all = 0;
    for (std::uint32_t p = 0; p < arena.size(); ++p) {
      const auto& slot = nodes[arena.node(p)];
      if (!slot.exists || !option.allows(p)) continue;
      SlotAmount sum = 0;
      for (const auto& group : slot.layout.groups)
        if (group.kind == device.kind &&
            (device.types.empty() ||
             std::find(device.types.begin(), device.types.end(), group.type) != device.types.end()))
          sum += static_cast<SlotAmount>(kWholeDevice) * group.count;
      most = std::max(most, sum);
      all += sum;
    }
    std::string what = nodes.names().text(device.kind).str();
    for (std::size_t t = 0; t < device.types.size(); ++t)
      what += (t ? "|" : ":") + nodes.names().text(device.types[t]).str();
    const bool whole_job = wish.units && i == wish.unit_need;
    const SlotAmount wanted =
        whole_job ? SlotAmount{wish.units} * static_cast<SlotAmount>(kWholeDevice) : device.amount;
    if (wanted > (whole_job ? all : most))
      return (whole_job ? "all nodes together have "
                        : "no node has " + format_amount(static_cast<DeviceAmount>(wanted)) + " of " + what +
                              "; the most is ") +
             format_amount(static_cast<DeviceAmount>(whole_job ? all : most)) +
             (whole_job ? " of " + what : "");
  }
  if (wish.min_nodes > filter.count)
    return count(wish.min_nodes, "node") + " are wanted; there are " + std::to_string(filter.count);
  const std::uint64_t total = std::uint64_t{wish.tasks} * wish.cpus_per_task;
  if (total > static_cast<std::uint64_t>(filter.cpus))
    return count(total, "CPU") + " are wanted; all nodes together have " + std::to_string(filter.cpus);
  return "no " + (wish.max_nodes ? count(wish.max_nodes, "node") : std::string("nodes")) +
         " together can hold " + count(wish.tasks, "task") + " of this shape";
}

}  // namespace

Status Scheduler::Impl::feasible(const Job& job) {
  const auto c = make_class(job, false);
  if (c.bad_licenses)
    return Error{"bad_licenses", quote(job.spec->request.licenses) + " is no list of licences", "",
                 "write NAME:COUNT,..."};
  for (const auto& [index, wanted] : licenses.needs(c.licenses)) {
    if (licenses.total(index) == 0)
      return Error{"bad_licenses", "there is no licence " + quote(licenses.name(index))};
    if (wanted > licenses.total(index))
      return Error{"bad_licenses", std::to_string(wanted) + " of licence " + quote(licenses.name(index)) +
                                       " are wanted; there are " + std::to_string(licenses.total(index))};
  }
  for (const auto& name : c.partitions) {
    auto it = queue_index.find(name);
    if (it != queue_index.end() && queues[it->second].partition) continue;
    std::vector<std::string_view> known;
    for (const auto& [other, index] : queue_index)
      if (queues[index].partition) known.push_back(other);
    return Error{"bad_partition", "there is no partition " + quote(name), "", did_you_mean(name, known)};
  }
  const auto list = queues_of(c);
  if (list.empty())
    return Error{"bad_partition", "no partition was given and there is no default", "", "give one with -p"};
  Error first;
  for (auto queue : list) {
    std::vector<Option> options;
    add_options(c, queue, false, options);
    for (const auto& option : options) {
      if (option.reason == Reason::kNone) return {};
      Error error{"bad_constraints", option.detail};
      if (option.reason == Reason::kPartitionConfig) {
        // A node that has not said how large it is may be large enough.
        if (option.filter->unknown_shapes) return {};
        error = {"node_config_unavailable", shortcoming(option, nodes), "", "ask for less"};
      } else if (option.reason == Reason::kReqNodeNotAvail) {
        error.code = "bad_node";
      }
      if (first.code.empty()) first = error;
    }
  }
  return first;
}

Result<Start> Scheduler::Impl::would_start(const Job& job, Time now, Time* expected_start) {
  if (auto status = feasible(job); !status) return status.error();
  now = std::max(now, last_now);
  auto c = make_class(job, false);
  refresh(c);
  Start best{job.id, kNoTask, nullptr};
  Time best_at;
  std::string why = "nodes that it needs are down or drained";
  for (const auto& option : c.options) {
    if (option.reason != Reason::kNone) {
      why = std::string(name(option.reason)) + (option.detail.empty() ? "" : ": " + option.detail);
      continue;
    }
    const auto length = expected(option);
    const Time end = length == kUnlimited ? kFarFuture : now + length;
    Planned planned;
    planned.at = now;
    if (licenses.fits(option.licenses, now, end)) planned.picks = finder.find_now(option, now, end);
    if (planned.picks.empty() && !find_plan(option, now, planned)) continue;
    if (best.allocation && best_at <= planned.at) continue;
    best_at = planned.at;
    best.allocation = allocation_of(option, planned.picks);
  }
  if (!best.allocation) return Error{"would_not_start", "it would not start: " + why};
  if (expected_start) *expected_start = best_at >= kUnknownEnd ? Time{} : best_at;
  return best;
}

}  // namespace bai::sokovan
