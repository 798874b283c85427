// ResourceRequest: what a job asks of nodes, in the terms of sbatch(1). Plain values; memory in MiB.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/istr.h"
#include "base/time.h"
#include "model/devices.h"
#include "model/serialize.h"

namespace bai {

// As memory per node or per CPU: all that each node has (--mem=0).
inline constexpr std::uint64_t kAllMemory = ~std::uint64_t{0};

// Which numbers of a request its user gave; the others are defaults, and a job's environment is silent about them.
enum Asked : std::uint8_t { kAskedNodes = 1, kAskedTasks = 2, kAskedCpusPerTask = 4 };

// Of one job.
inline constexpr std::size_t kMostAlternatives = 16;

struct ResourceRequest;

// What few jobs ask of nodes; absent when all of it is default.
struct RequestExtras {
  std::vector<DeviceRequest> devices;  // --gres, --gpus, --gpus-per-node, --gpus-per-task, --gpus-per-socket
  std::uint32_t cpus_per_gpu =
      0;  // --cpus-per-gpu: CPUs of a node for each of its devices of kind gpu; 0: none
  std::uint64_t mem_per_gpu_mib = 0;    // --mem-per-gpu; excludes memory per node and per CPU
  std::uint32_t min_cpus_per_node = 0;  // --mincpus: each node gives at least as many CPUs
  // -B, --sockets-per-node, --cores-per-socket, --threads-per-core: only nodes that have at least as many; 0: no wish.
  std::uint32_t sockets_per_node = 0, cores_per_socket = 0, threads_per_core = 0;
  std::uint32_t tasks_per_socket = 0,
                tasks_per_core = 0;  // --ntasks-per-socket, --ntasks-per-core: at most; 0: no wish
  std::uint32_t tasks_per_gpu = 0;   // --ntasks-per-gpu; 0: no wish
  std::uint64_t tmp_mib = 0;         // --tmp: only nodes with as much temporary disk
  // --switches=COUNT[@WAIT]: at most COUNT leaf switches (0: no wish) until the job has been eligible for WAIT seconds
  // (kUnlimited: for ever), then any.
  std::uint32_t switches = 0;
  Seconds switches_wait = kUnlimited;
  bool contiguous = false;  // --contiguous: nodes next to each other in the partition's order
  bool spread = false;      // --spread-job: over as many nodes as possible, evenly
  // Other requests that would do as well; the first that can start does. They replace the whole request save exclusive use, licences
  // and switches, and have no alternatives of their own. Allocation::alternative says which one was taken.
  std::vector<ResourceRequest> alternatives;

  friend bool operator==(const RequestExtras&, const RequestExtras&);
  template <class A>
  void serialize(A& a) {
    a(cap(devices, 64), cpus_per_gpu, mem_per_gpu_mib, min_cpus_per_node, sockets_per_node, cores_per_socket,
      threads_per_core, tasks_per_socket, tasks_per_core, tasks_per_gpu, tmp_mib, switches, switches_wait,
      contiguous, spread, cap(alternatives, kMostAlternatives));
  }
};

// Memory: 0 for the partition's default.
struct ResourceRequest {
  std::uint32_t min_nodes = 1;
  std::uint32_t max_nodes = 0;  // 0: as few as fit, at least min_nodes
  std::uint32_t tasks = 1;      // -n; with nodes given and no -n: one a node
  std::uint32_t cpus_per_task = 1;
  std::uint32_t tasks_per_node = 0;  // 0: no wish
  bool exclusive_user = false;       // nodes with this user's jobs only
  bool exclusive = false;            // whole nodes, shared with nobody
  std::uint8_t asked = 0;            // Asked bits; nothing that scheduling looks at
  std::uint64_t mem_per_node_mib = 0;
  std::uint64_t mem_per_cpu_mib = 0;
  Istr nodes_wanted;    // -w, hostlist
  Istr nodes_excluded;  // -x, hostlist
  Istr constraint;      // -C: features, see model/constraint.h
  Istr licenses;        // -L: name[:count],...; licences and all other counts of the whole cluster
  std::shared_ptr<const RequestExtras> extras_or_null;

  // As many as its tasks need anyway.
  std::uint32_t least_nodes() const {
    if (tasks_per_node == 0) return min_nodes;
    return std::max(min_nodes, tasks / tasks_per_node + (tasks % tasks_per_node != 0));
  }
  const RequestExtras& extras() const;  // the defaults when there are none
  void set_extras(RequestExtras extras);

  friend bool operator==(const ResourceRequest& a, const ResourceRequest& b);
  template <class A>
  void save(A& a) const {
    a(min_nodes, max_nodes, tasks, cpus_per_task, tasks_per_node, mem_per_node_mib, mem_per_cpu_mib,
      exclusive, exclusive_user, asked, nodes_wanted, nodes_excluded, constraint, licenses,
      extras_or_null != nullptr);
    if (extras_or_null) a(*extras_or_null);
  }
  template <class A>
  void load(A& a) {
    bool rare = false;
    a(min_nodes, max_nodes, tasks, cpus_per_task, tasks_per_node, mem_per_node_mib, mem_per_cpu_mib,
      exclusive, exclusive_user, asked, nodes_wanted, nodes_excluded, constraint, licenses, rare);
    if (!rare) return;
    RequestExtras extras;
    a(extras);
    for (const auto& alternative : extras.alternatives)
      if (!alternative.extras().alternatives.empty()) return a.fail("an alternative has alternatives");
    extras_or_null = std::make_shared<const RequestExtras>(std::move(extras));
  }
};

}  // namespace bai
