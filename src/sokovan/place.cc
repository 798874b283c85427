#include "sokovan/place.h"

#include <algorithm>

#include "base/text.h"
#include "base/units.h"

namespace bai::sokovan {
namespace {

std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  return __builtin_mul_overflow(a, b, &out) ? kAllMemory : out;
}

}  // namespace

bool fit(const NodeRoom& room, const NodeShare& share, const Sharing& sharing) {
  if (share.cpus == 0 || room.exclusive_use || (sharing.exclusive && room.jobs != 0)) return false;
  if (!room.tenancy.admits(sharing.uid, sharing.exclusive_user)) return false;
  return share.cpus <= room.cpus_free && share.mem_mib <= room.mem_free_mib &&
         room.devices.holds(share.devices);
}

MemoryRule memory_rule(const ResourceRequest& request, const Partition& partition) {
  if (request.mem_per_node_mib == kAllMemory || request.mem_per_cpu_mib == kAllMemory)
    return {MemoryRule::kAll, 0};
  if (request.mem_per_node_mib) return {MemoryRule::kPerNode, request.mem_per_node_mib};
  if (request.mem_per_cpu_mib) return {MemoryRule::kPerCpu, request.mem_per_cpu_mib};
  if (partition.default_mem_per_cpu_mib) return {MemoryRule::kPerCpu, partition.default_mem_per_cpu_mib};
  if (partition.default_mem_per_node_mib) return {MemoryRule::kPerNode, partition.default_mem_per_node_mib};
  return {};
}

std::uint64_t memory_for(const ResourceRequest& request, const Partition& partition,
                         std::uint32_t cpus_on_node) {
  const auto rule = memory_rule(request, partition);
  switch (rule.kind) {
    case MemoryRule::kNone:
      return 0;
    case MemoryRule::kPerNode:
      return rule.mib;
    case MemoryRule::kPerCpu:
      return times(rule.mib, cpus_on_node);
    case MemoryRule::kAll:
      break;
  }
  return kAllMemory;
}

std::uint32_t capacity(const NodeRoom& room, const Wish& wish) {
  if (room.exclusive_use || room.cpus_free == 0) return 0;
  if (!room.tenancy.admits(wish.uid, wish.exclusive_user)) return 0;
  if (wish.exclusive && (room.jobs != 0 || room.cpus_free < room.cpus_total)) return 0;
  const std::uint32_t each = std::max(1u, wish.cpus_per_task);
  std::uint64_t tasks = room.cpus_free / each;
  if (wish.tasks_per_node) tasks = std::min<std::uint64_t>(tasks, wish.tasks_per_node);
  switch (wish.memory.kind) {
    case MemoryRule::kNone:
      break;
    case MemoryRule::kPerNode:
      if (wish.memory.mib > std::min(room.mem_free_mib, wish.max_mem_mib)) return 0;
      break;
    case MemoryRule::kAll:
      if (room.mem_free_mib < room.mem_total_mib || room.mem_total_mib > wish.max_mem_mib) return 0;
      break;
    case MemoryRule::kPerCpu:
      if (wish.exclusive) {
        if (times(wish.memory.mib, room.cpus_total) > std::min(room.mem_free_mib, wish.max_mem_mib)) return 0;
      } else if (const auto need = times(wish.memory.mib, each); need != 0) {
        tasks = std::min<std::uint64_t>(tasks, std::min(room.mem_free_mib, wish.max_mem_mib) / need);
      }
      break;
  }
  return static_cast<std::uint32_t>(tasks);
}

NodeShare share_of(const Wish& wish, std::uint32_t tasks, const NodeRoom& room) {
  NodeShare share;
  share.tasks = tasks;
  share.cpus = wish.exclusive ? room.cpus_total : tasks * std::max(1u, wish.cpus_per_task);
  switch (wish.memory.kind) {
    case MemoryRule::kNone:
      break;
    case MemoryRule::kPerNode:
      share.mem_mib = wish.memory.mib;
      break;
    case MemoryRule::kPerCpu:
      share.mem_mib = times(wish.memory.mib, share.cpus);
      break;
    case MemoryRule::kAll:
      share.mem_mib = room.mem_total_mib;
      break;
  }
  return share;
}

std::vector<Pick> choose(const std::vector<Pick>& wanted, const std::vector<Pick>& found, const Wish& wish) {
  std::uint64_t sum = 0;
  for (const auto& pick : wanted) sum += pick.tasks;
  const std::size_t at_least = wish.min_nodes > wanted.size() ? wish.min_nodes - wanted.size() : 0;
  // How many of `found`, taken in the order given, are enough.
  auto count = [&](const std::vector<Pick>& order) -> std::optional<std::size_t> {
    std::uint64_t have = sum;
    std::size_t n = 0;
    while (n < at_least || have < wish.tasks) {
      if (n == order.size()) return std::nullopt;
      have += order[n++].tasks;
    }
    return n;
  };
  const auto first = count(found);
  if (!first) return {};
  std::size_t fewest = *first;
  std::vector<Pick> order = found;
  if (fewest > at_least) {
    std::stable_sort(order.begin(), order.end(),
                     [](const Pick& a, const Pick& b) { return a.tasks > b.tasks; });
    fewest = *count(order);
    if (fewest == *first) order = found;
  }
  if (wish.max_nodes && wanted.size() + fewest > wish.max_nodes) return {};
  order.resize(fewest);
  std::vector<Pick> out = wanted;
  if (fewest != *first) {  // the largest, put back into the order of preference
    for (const auto& pick : found)
      if (std::any_of(order.begin(), order.end(),
                      [&](const Pick& chosen) { return chosen.node == pick.node; }))
        out.push_back(pick);
  } else {
    out.insert(out.end(), order.begin(), order.end());
  }
  return out;
}

void spread(std::vector<Pick>& picks, std::uint32_t tasks) {
  std::uint32_t left = tasks;
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const auto others = static_cast<std::uint32_t>(picks.size() - 1 - i);
    picks[i].tasks = std::min(picks[i].tasks, left - others);
    left -= picks[i].tasks;
  }
}

std::optional<std::map<std::string, std::uint32_t>> parse_licenses(std::string_view text) {
  std::map<std::string, std::uint32_t> out;
  for (auto part : split_list(text)) {
    const auto colon = part.find_first_of(":=");
    const auto name = trim(part.substr(0, colon));
    std::int64_t count = 1;
    if (colon != part.npos) {
      auto parsed = parse_int(trim(part.substr(colon + 1)), 0, 0x7fffffff);
      if (!parsed) return std::nullopt;
      count = *parsed;
    }
    if (name.empty()) return std::nullopt;
    auto& total = out[std::string(name)];
    if (std::uint64_t{total} + static_cast<std::uint64_t>(count) > 0xffffffff) return std::nullopt;
    total += static_cast<std::uint32_t>(count);
  }
  return out;
}

}  // namespace bai::sokovan
