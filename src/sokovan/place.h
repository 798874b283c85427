// Where a request goes: how many of its tasks a node can take, and which nodes give what. Private to sokovan; pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sokovan/sokovan.h"

namespace bai::sokovan {

// How memory is asked for, after the partition's defaults.
struct MemoryRule {
  enum Kind : std::uint8_t { kNone, kPerNode, kPerCpu, kAll } kind = kNone;
  std::uint64_t mib = 0;
};
MemoryRule memory_rule(const ResourceRequest& request, const Partition& partition);

// A request as one partition sees it.
struct Wish {
  std::uint32_t min_nodes = 1;  // at least the number of wanted nodes
  std::uint32_t max_nodes = 0;  // 0: as few as fit
  std::uint32_t tasks = 1;      // at least min_nodes
  std::uint32_t cpus_per_task = 1;
  std::uint32_t tasks_per_node = 0;
  bool exclusive = false;
  bool exclusive_user = false;
  std::uint32_t uid = Tenancy::kSeveral;  // with exclusive_user; a class without has jobs of many users
  MemoryRule memory;
  std::uint64_t max_mem_mib = kAllMemory;  // of one node: the partition's MaxMemPerNode
  std::vector<std::uint32_t> wanted;       // nodes that must be among them
};

// How many tasks the node can take; 0: none.
std::uint32_t capacity(const NodeRoom& room, const Wish& wish);

struct Pick {
  std::uint32_t node = 0;
  std::uint32_t tasks = 0;
};

// First fit over `candidates` (in order of preference): one node if one can take all, else as few as possible, the first of
// them where that does not matter. Tasks fill node after node, at least one each. `room(node)` tells what may be used;
// equal rooms give equal picks. Empty when it does not fit.
template <class RoomOf>
std::vector<Pick> place(const std::vector<std::uint32_t>& candidates, const Wish& wish, RoomOf&& room);

// What a pick takes from a node of that size.
NodeShare share_of(const Wish& wish, std::uint32_t tasks, const NodeRoom& room);

// -L: name and count.
std::optional<std::map<std::string, std::uint32_t>> parse_licenses(std::string_view text);

// ---- implementation

// The fewest of the nodes found that do it; `found` is in order of preference. Empty when it does not fit.
std::vector<Pick> choose(const std::vector<Pick>& wanted, const std::vector<Pick>& found, const Wish& wish);
// Turns capacities into tasks.
void spread(std::vector<Pick>& picks, std::uint32_t tasks);

template <class RoomOf>
std::vector<Pick> place(const std::vector<std::uint32_t>& candidates, const Wish& wish, RoomOf&& room) {
  std::vector<Pick> wanted, found;
  std::uint64_t sum = 0;
  for (auto node : wish.wanted) {
    const auto tasks = capacity(room(node), wish);
    if (tasks == 0) return {};
    wanted.push_back({node, tasks});
    sum += tasks;
  }
  auto enough = [&] { return wanted.size() + found.size() >= wish.min_nodes && sum >= wish.tasks; };
  if (!enough()) {
    const bool one = wanted.empty() && wish.min_nodes <= 1;
    for (auto node : candidates) {
      bool is_wanted = false;
      for (const auto& pick : wanted) is_wanted |= pick.node == node;
      if (is_wanted) continue;
      const auto tasks = capacity(room(node), wish);
      if (tasks == 0) continue;
      if (one && tasks >= wish.tasks) {
        std::vector<Pick> only{{node, wish.tasks}};
        return only;
      }
      found.push_back({node, tasks});
      sum += tasks;
      // As many nodes as there must be anyway: nothing beats the first ones.
      if (!one && wanted.size() + found.size() == wish.min_nodes && sum >= wish.tasks) break;
    }
  }
  auto picks = choose(wanted, found, wish);
  spread(picks, wish.tasks);
  return picks;
}

}  // namespace bai::sokovan
