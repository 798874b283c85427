#include "agent/inventory.h"

#include <hwloc.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "base/fd.h"
#include "base/text.h"
#include "step/process.h"

namespace bai::agent {

namespace {

struct Destroy {
  void operator()(hwloc_topology_t t) const { hwloc_topology_destroy(t); }
};

std::uint32_t count(hwloc_topology_t t, hwloc_obj_type_t type) {
  return static_cast<std::uint32_t>(std::max(0, hwloc_get_nbobjs_by_type(t, type)));
}

// The number after KEY in a file of "KEY: 123 ..." or "KEY 123" lines.
std::uint64_t number_after(const char* path, std::string_view key) {
  auto text = read_all(path, 1 << 20);
  if (!text.ok()) return 0;
  for (auto line : split(*text, '\n')) {
    if (!line.starts_with(key)) continue;
    auto words = split_blanks(line.substr(key.size()));
    std::uint64_t value = 0;
    if (!words.empty()) std::from_chars(words[0].data(), words[0].data() + words[0].size(), value);
    return value;
  }
  return 0;
}

}  // namespace

Result<NodeShape> discover_shape() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return Error{"hwloc_failed", "hwloc cannot begin"};
  std::unique_ptr<hwloc_topology, Destroy> topology(raw);
  // Devices, caches and the like are slow to find and not asked for.
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  for (auto type : {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_CORE})
    hwloc_topology_set_type_filter(raw, type, HWLOC_TYPE_FILTER_KEEP_ALL);
  hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
  if (hwloc_topology_load(raw) != 0) return Error{"hwloc_failed", "hwloc finds no topology of this machine"};

  NodeShape shape;
  shape.cpus = std::max(1u, count(raw, HWLOC_OBJ_PU));
  shape.sockets = std::max(1u, count(raw, HWLOC_OBJ_PACKAGE));
  const std::uint32_t cores =
      std::clamp(count(raw, HWLOC_OBJ_CORE), shape.sockets, std::max(shape.sockets, shape.cpus));
  shape.cores_per_socket = std::max(1u, cores / shape.sockets);
  shape.threads_per_core = std::max(1u, shape.cpus / cores);
  shape.numa_nodes = std::max(1u, count(raw, HWLOC_OBJ_NUMANODE));
  std::uint64_t bytes = hwloc_get_root_obj(raw)->total_memory;
  if (bytes == 0) bytes = number_after("/proc/meminfo", "MemTotal:") << 10;
  shape.mem_mib = std::max<std::uint64_t>(1, bytes >> 20);
  struct statvfs tmp {};
  if (statvfs("/tmp", &tmp) == 0) shape.tmp_mib = std::uint64_t{tmp.f_blocks} * tmp.f_frsize >> 20;
  return shape;
}

NodeShape invented_shape(std::uint32_t cpus, std::uint64_t mem_mib) {
  NodeShape shape;
  shape.cpus = cpus;
  shape.cores_per_socket = cpus;
  shape.mem_mib = mem_mib;
  return shape;
}

SystemFacts system_facts() {
  SystemFacts facts;
  utsname u{};
  if (uname(&u) == 0) {
    facts.os = std::string(u.sysname) + " " + u.release;
    facts.arch = u.machine;
    facts.host = u.nodename;
  }
  std::string hex = step::boot_id();
  hex.erase(std::remove(hex.begin(), hex.end(), '-'), hex.end());
  if (auto id = Uuid::parse(hex); id.ok()) facts.boot_id = *id;
  facts.boot = Time::from_seconds(static_cast<std::int64_t>(number_after("/proc/stat", "btime")));
  return facts;
}

std::uint32_t load_percent() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? static_cast<std::uint32_t>(load * 100) : 0;
}

std::uint64_t free_memory_mib() { return number_after("/proc/meminfo", "MemAvailable:") >> 10; }

}  // namespace bai::agent
