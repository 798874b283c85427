// Wish: a request as one partition sees it, and what a node can do of it. Private to sokovan; pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/constraint.h"
#include "sokovan/nodes.h"
#include "sokovan/placement.h"

namespace bai::sokovan {

// How memory is asked for, after the partition's defaults.
struct MemoryRule {
  enum Kind : std::uint8_t { kNone, kPerNode, kPerCpu, kPerGpu, kAll } kind = kNone;
  std::uint64_t mib = 0;
};
MemoryRule memory_rule(const ResourceRequest& request, const Partition& partition);

struct DeviceNeed {
  std::uint16_t kind = 0;
  std::vector<std::uint16_t> types;  // any one of them; empty: any at all
  SlotAmount amount = 0;             // below a whole device: a share of one
  DevicePer per = DevicePer::kNode;  // never per socket any more
};

struct Wish {
  std::uint32_t min_nodes = 1;  // at least the number of wanted nodes
  std::uint32_t max_nodes = 0;  // 0: as few as fit
  std::uint32_t tasks = 1;      // at least min_nodes
  std::uint32_t cpus_per_task = 1;
  std::uint32_t tasks_per_node = 0;
  bool exclusive = false;
  MemoryRule memory;
  std::uint64_t max_mem_mib = kAllMemory;  // of one node: the partition's MaxMemPerNode
  std::vector<std::uint32_t> wanted;       // nodes that must be among them

  // What few ask.
  std::uint32_t cpus_per_gpu = 0, min_cpus = 0;
  std::uint32_t tasks_per_socket = 0, tasks_per_core = 0, tasks_per_gpu = 0;
  std::vector<DeviceNeed> devices;
  std::uint32_t units = 0;  // whole devices that the nodes give together, one at least each; 0: no such need
  std::uint32_t unit_need = 0;  // which of `devices` that is
  std::uint32_t switches = 0;   // at most so many leaf switches; 0: any number
  bool contiguous = false, spread = false;
  std::vector<Constraint::Count> counts;

  // Worked out from the above:
  bool plain = true;          // CPUs and memory only
  bool simple_set = true;     // any set of nodes will do that is large enough
  std::uint32_t uniform = 0;  // tasks that each node gives, when all give the same; 0: it depends
  Amounts least;              // what a node must have free to be of any use
  bool exact = false;         // who has `least` free can give `uniform` tasks, and nobody else can

  // Fills in the last part; least and most CPUs of the nodes that are offered.
  void work_out(std::int32_t least_cpus, std::int32_t most_cpus);
};

// What is free of a node in some window.
struct Room {
  const NodeSlot* node = nullptr;
  Amounts free;
  const SlotAmount* slots = nullptr;  // null: no devices
};

// How many tasks the node can take, at most wish.tasks; 0: none.
std::uint32_t capacity(const Wish& wish, const Room& room);
// How many of the devices that are asked for the whole job, beside one task.
std::uint32_t unit_capacity(const Wish& wish, const Room& room);
// What so many tasks and units would take there, or nothing when they do not fit. `placement` chooses among devices; may be null.
std::optional<Taken> take(const Wish& wish, const Room& room, std::uint32_t tasks, std::uint32_t units,
                          const Placement* placement);

// -L: name and count; nothing when it cannot be read.
std::optional<std::map<std::string, std::uint32_t>> parse_licenses(std::string_view text);

}  // namespace bai::sokovan
