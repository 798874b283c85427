#include "agent/topology.h"

#include <hwloc.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/text.h"

namespace bai::agent {
namespace {

constexpr std::uint32_t kMaxCpu = 8191;

using Groups = std::vector<std::vector<std::uint32_t>>;  // logical indices

struct Destroy {
  void operator()(hwloc_topology_t t) const { hwloc_topology_destroy(t); }
};

// The step's processors by core, socket or NUMA node; all threads of a core count as the step has them.
Groups grouped(const CpuTopology& topology, const IdSet& step, std::uint32_t Cpu::*by) {
  std::map<std::uint32_t, std::vector<std::uint32_t>> groups;
  step.for_each([&](std::uint32_t id) {
    if (id < topology.size()) groups[topology[id].*by].push_back(id);
  });
  Groups out;
  for (auto& [key, ids] : groups) out.push_back(std::move(ids));
  return out;
}

Groups threads_of(const CpuTopology& topology, const IdSet& step) {
  Groups out;
  step.for_each([&](std::uint32_t id) {
    if (id < topology.size()) out.push_back({id});
  });
  return out;
}

// Each task gets as many groups as its processors need, one task after the other, round about when there are too few.
std::vector<IdSet> deal(const CpuTopology& topology, const Groups& groups, std::size_t tasks,
                        std::uint32_t cpus_per_task) {
  std::vector<IdSet> out(tasks);
  if (groups.empty()) return out;
  std::size_t at = 0;
  for (auto& set : out) {
    std::size_t has = 0;
    for (std::size_t n = 0; n < groups.size() && has < std::max(1u, cpus_per_task); ++n, ++at) {
      const auto& group = groups[at % groups.size()];
      for (const auto id : group) set.insert(topology[id].os);
      has += group.size();
    }
  }
  return out;
}

// The groups in equal parts.
std::vector<IdSet> deal_evenly(const CpuTopology& topology, const Groups& groups, std::size_t tasks) {
  std::vector<IdSet> out(tasks);
  for (std::size_t i = 0; i < groups.size(); ++i)
    for (const auto id : groups[i]) out[i * tasks / groups.size()].insert(topology[id].os);
  return out;
}

}  // namespace

Result<CpuTopology> discover_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return Error{"hwloc_failed", "hwloc cannot begin"};
  std::unique_ptr<hwloc_topology, Destroy> owner(raw);
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  for (auto type : {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_CORE})
    hwloc_topology_set_type_filter(raw, type, HWLOC_TYPE_FILTER_KEEP_ALL);
  hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
  if (hwloc_topology_load(raw) != 0) return Error{"hwloc_failed", "hwloc finds no topology of this machine"};
  CpuTopology out;
  for (hwloc_obj_t pu = nullptr; (pu = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_PU, pu)) != nullptr;) {
    const auto index = [&](hwloc_obj_type_t type) {
      const hwloc_obj_t above = hwloc_get_ancestor_obj_by_type(raw, type, pu);
      return above ? above->logical_index : 0u;
    };
    Cpu cpu{pu->os_index, index(HWLOC_OBJ_CORE), index(HWLOC_OBJ_PACKAGE), 0};
    if (!hwloc_get_ancestor_obj_by_type(raw, HWLOC_OBJ_CORE, pu)) cpu.core = pu->logical_index;
    for (hwloc_obj_t node = nullptr;
         (node = hwloc_get_next_obj_by_type(raw, HWLOC_OBJ_NUMANODE, node)) != nullptr;)
      if (hwloc_bitmap_isset(node->cpuset, pu->os_index)) cpu.numa = node->logical_index;
    out.push_back(cpu);
  }
  return out;
}

IdSet os_cpus(const CpuTopology& topology, const IdSet& ids) {
  IdSet out;
  ids.for_each([&](std::uint32_t id) {
    if (id < topology.size()) out.insert(topology[id].os);
  });
  return out;
}

IdSet sockets_of(const CpuTopology& topology, std::string_view cpu_mask) {
  IdSet out;
  for (const auto& cpu : topology)
    if (cpu.os / 8 < cpu_mask.size() &&
        (static_cast<unsigned char>(cpu_mask[cpu.os / 8]) >> cpu.os % 8 & 1) != 0)
      out.insert(cpu.socket);
  return out;
}

std::string cpu_mask(const IdSet& os_cpus) {
  std::string out;
  os_cpus.for_each([&](std::uint32_t cpu) {
    if (cpu > kMaxCpu) return;
    if (out.size() <= cpu / 8) out.resize(cpu / 8 + 1);
    out[cpu / 8] = static_cast<char>(static_cast<unsigned char>(out[cpu / 8]) | 1u << cpu % 8);
  });
  return out;
}

std::vector<IdSet> bind_tasks(const CpuTopology& topology, const IdSet& step, const CpuBind& bind,
                              std::size_t tasks, std::uint32_t cpus_per_task) {
  using Kind = CpuBind::Kind;
  std::vector<IdSet> out(tasks);
  const auto cpus = std::max(1u, cpus_per_task);
  switch (bind.kind) {
    case Kind::kNone:
      break;
    case Kind::kThreads:
    case Kind::kRank:
      return deal(topology, threads_of(topology, step), tasks, cpus);
    case Kind::kCores:
      return deal(topology, grouped(topology, step, &Cpu::core), tasks, cpus);
    case Kind::kSockets:
      return deal(topology, grouped(topology, step, &Cpu::socket), tasks, cpus);
    case Kind::kLdoms:
      return deal(topology, grouped(topology, step, &Cpu::numa), tasks, cpus);
    case Kind::kMap:
    case Kind::kMask:
      for (std::size_t i = 0; i < tasks && !bind.list.empty(); ++i) out[i] = bind.list[i % bind.list.size()];
      break;
    case Kind::kAuto:
      for (auto by : {&Cpu::socket, &Cpu::core})
        if (const auto groups = grouped(topology, step, by); groups.size() == tasks * cpus)
          return deal_evenly(topology, groups, tasks);
      if (const auto threads = threads_of(topology, step); threads.size() == tasks * cpus)
        return deal_evenly(topology, threads, tasks);
      break;
  }
  return out;
}

}  // namespace bai::agent
