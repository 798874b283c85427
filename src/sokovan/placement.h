// Placement: which nodes, and which devices of them, a job gets of those that could take it. Built-in strategies by name, and
// cost functions; a plugin's is one. No state; called on the scheduler's thread.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sokovan/layout.h"

struct bai_placement;

namespace bai::sokovan {

struct NodeSlot;
struct Taken;

// A node as it is in the window in question.
struct NodeView {
  std::uint32_t node = 0;
  const NodeSlot* slot = nullptr;  // totals, features, layout of devices
  Amounts free;
  const SlotAmount* devices = nullptr;  // free of each slot; null: it has none
};

// Lower is better; `tie` decides between equal ones.
struct Cost {
  std::int64_t cost = 0, tie = 0;
  friend auto operator<=>(const Cost&, const Cost&) = default;
};

struct Placement {
  enum Order : std::uint8_t {
    kTightest,  // concentrated: where the fewest CPUs stay free
    kLoosest,   // dispersed: where the most do
    kInTurn,    // roundrobin
    kSwitches,  // topology: the fewest leaf switches, the fullest of them
    kCost,      // as the function says
  };
  std::string name;
  Order order = kTightest;
  // Of giving `taken` of this node, lower is better; equal ones go by preference.
  std::function<Cost(const NodeView&, const Taken& taken)> cost = {};
  bool of_devices = false;  // it is asked for each device that could give a share, too
};

// "concentrated" (also ""), "dispersed", "roundrobin", "topology"; null for others.
const Placement* builtin_placement(std::string_view name);
// Of a plugin, which ranks nodes; one thread at a time.
Placement placement_of(const bai_placement& plugin);

}  // namespace bai::sokovan
