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

// Why no nodes of the domain, empty, hold it: the first of the plain reasons that is true.
std::string shortcoming(const Wish& wish, const std::vector<std::uint32_t>& domain,
                        const std::vector<NodeSlot>& nodes) {
  std::uint32_t cpus = 0;
  std::uint64_t mem = 0, all = 0;
  for (auto node : domain) {
    cpus = std::max(cpus, nodes[node].cpus);
    mem = std::max(mem, nodes[node].mem);
    all += nodes[node].cpus;
  }
  std::uint64_t need = wish.cpus_per_task;
  if (wish.max_nodes == 1) need *= wish.tasks;
  if (need > cpus) return "no node has " + count(need, "CPU") + "; the largest has " + std::to_string(cpus);
  std::uint64_t need_mem = 0;
  if (wish.memory.kind == MemoryRule::kPerNode) need_mem = wish.memory.mib;
  if (wish.memory.kind == MemoryRule::kPerCpu && __builtin_mul_overflow(wish.memory.mib, need, &need_mem))
    need_mem = kAllMemory;
  if (need_mem > mem)
    return "no node has " + format_memory(need_mem) + " of memory; the largest has " + format_memory(mem);
  if (wish.min_nodes > domain.size())
    return count(wish.min_nodes, "node") + " are wanted; there are " + std::to_string(domain.size());
  const std::uint64_t total = std::uint64_t{wish.tasks} * wish.cpus_per_task;
  if (total > all) return count(total, "CPU") + " are wanted; all nodes together have " + std::to_string(all);
  return "no " + (wish.max_nodes ? count(wish.max_nodes, "node") : std::string("nodes")) +
         " together can hold " + count(wish.tasks, "task") + " of this shape";
}

}  // namespace

Status Scheduler::Impl::feasible(const Job& job) const {
  const auto c = make_class(job.spec);
  if (c.bad_licenses)
    return Error{"bad_licenses", quote(job.spec->request.licenses) + " is no list of licences", "",
                 "write NAME:COUNT,..."};
  for (const auto& [name, wanted] : c.licenses) {
    auto it = licenses_total.find(name);
    if (it == licenses_total.end()) return Error{"bad_licenses", "there is no licence " + quote(name)};
    if (wanted > it->second)
      return Error{"bad_licenses", std::to_string(wanted) + " of licence " + quote(name) +
                                       " are wanted; there are " + std::to_string(it->second)};
  }
  for (const auto& name : c.partitions) {
    if (partitions.count(name)) continue;
    std::vector<std::string_view> known;
    for (const auto& [other, partition] : partitions) known.push_back(other);
    return Error{"bad_partition", "there is no partition " + quote(name), "", did_you_mean(name, known)};
  }
  const auto list = partitions_of(c);
  if (list.empty())
    return Error{"bad_partition", "no partition was given and there is no default", "", "give one with -p"};
  Error first;
  for (const auto& partition : list) {
    const auto option = make_option(c, partition, false);
    if (option.reason == Reason::kNone) return {};
    Error error{"bad_constraints", option.detail};
    if (option.reason == Reason::kPartitionConfig) {
      const auto& domain = option.domain->nodes;
      // A node that has not said how large it is may be large enough.
      if (std::any_of(domain.begin(), domain.end(), [&](auto node) { return nodes[node].cpus == 0; }))
        return {};
      error = {"node_config_unavailable", shortcoming(option.wish, domain, nodes), "", "ask for less"};
    } else if (option.reason == Reason::kReqNodeNotAvail) {
      error.code = "bad_node";
    }
    if (first.code.empty()) first = error;
  }
  return first;
}

Result<Start> Scheduler::Impl::would_start(const Job& job, Time now, Time* expected) const {
  if (auto status = feasible(job); !status) return status.error();
  auto c = make_class(job.spec);
  refresh(c);
  Start best{job.id, kNoTask, nullptr};
  Time best_at;
  std::string why = "nodes that it needs are down or drained";
  for (const auto& option : c.options) {
    if (option.reason != Reason::kNone) {
      why = std::string(name(option.reason)) + (option.detail.empty() ? "" : ": " + option.detail);
      continue;
    }
    const Time end = option.limit == kUnlimited ? kFarFuture : now + option.limit;
    Time at = now;
    std::vector<Pick> picks;
    if (licenses_free(c))
      picks = place(option.domain->nodes, option.wish,
                    [&](std::uint32_t node) { return room_for(node, option.wish, end); });
    std::map<std::uint32_t, NodeRoom> rooms;
    if (picks.empty() && !find_shadow(option, now, at, picks, rooms)) continue;
    if (best.allocation && best_at <= at) continue;
    best_at = at;
    best.allocation = allocation_of(option, picks);
  }
  if (!best.allocation) return Error{"would_not_start", "it would not start: " + why};
  if (expected) *expected = best_at == kFarFuture ? Time{} : best_at;
  return best;
}

}  // namespace bai::sokovan
