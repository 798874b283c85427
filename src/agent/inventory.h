// What this node is: processors and memory by hwloc, system and boot by uname(2) and /proc. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "model/ids.h"
#include "model/node.h"

namespace bai::agent {

// What hwloc finds (tens of milliseconds): processing units, cores, packages, NUMA nodes, memory; the space of /tmp.
// Errors: hwloc_failed.
Result<NodeShape> discover_shape();
// A shape that was told: `cpus` processors of one core each in one socket.
NodeShape invented_shape(std::uint32_t cpus, std::uint64_t mem_mib);

struct SystemFacts {
  std::string os;    // "Linux 6.1.0-18-amd64"
  std::string arch;  // "x86_64"
  std::string host;
  Uuid boot_id;
  Time boot;
};
SystemFacts system_facts();

// 1-minute load average x 100, and MemAvailable.
std::uint32_t load_percent();
std::uint64_t free_memory_mib();

}  // namespace bai::agent
