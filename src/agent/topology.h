// The processors of this machine in the order in which allocations number them, with what the operating system calls them; and which of
// them the tasks of a step are bound to: model/cpu_bind.h. Pure functions, but for discover_topology(). Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/idset.h"
#include "base/result.h"
#include "model/cpu_bind.h"

namespace bai::agent {

struct Cpu {
  std::uint32_t os = 0;  // of sched_setaffinity(2)
  std::uint32_t core = 0, socket = 0, numa = 0;
  friend bool operator==(const Cpu&, const Cpu&) = default;
};
using CpuTopology = std::vector<Cpu>;  // by hwloc's logical index

// Errors: hwloc_failed.
Result<CpuTopology> discover_topology();

// What the operating system calls them; those that the machine has not are left out.
IdSet os_cpus(const CpuTopology& topology, const IdSet& ids);
// The sockets of the processors in such a mask.
IdSet sockets_of(const CpuTopology& topology, std::string_view cpu_mask);
// Bit i of byte i / 8 is processor i.
std::string cpu_mask(const IdSet& os_cpus);

// For each task the processors that it is bound to, in the operating system's numbers; empty: those of the step. `step`: its processors,
// by logical index. kAuto binds when tasks times their processors fill the step's sockets, cores or threads.
std::vector<IdSet> bind_tasks(const CpuTopology& topology, const IdSet& step, const CpuBind& bind,
                              std::size_t tasks, std::uint32_t cpus_per_task);

}  // namespace bai::agent
