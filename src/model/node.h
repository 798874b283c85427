// Nodes and partitions: what the configuration declares, what an agent found, what an administrator decided.
// Plain values; published records are immutable and shared, as jobs are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/istr.h"
#include "base/time.h"
#include "model/device_state.h"
#include "model/devices.h"
#include "model/ids.h"
#include "model/scheduling.h"
#include "model/serialize.h"
#include "model/states.h"

namespace bai {

// A node's shape, declared or found. Memory in MiB.
struct NodeShape {
  std::uint32_t cpus = 1;  // schedulable processors
  std::uint32_t boards = 1;
  std::uint32_t sockets = 1;
  std::uint32_t cores_per_socket = 1;
  std::uint32_t threads_per_core = 1;
  std::uint32_t numa_nodes = 1;
  std::uint64_t mem_mib = 1;
  std::uint64_t tmp_mib = 0;
  std::vector<DeviceGroup> devices;  // Gres=

  friend bool operator==(const NodeShape&, const NodeShape&) = default;
  template <class A>
  void serialize(A& a) {
    a(cpus, boards, sockets, cores_per_socket, threads_per_core, numa_nodes, mem_mib, tmp_mib,
      cap(devices, 256));
  }
};

// What an administrator or the controller decided; durable, and an override of the configuration.
struct NodeDecision {
  bool drain = false;
  bool down = false;  // set by hand, or lost
  Istr reason;
  std::uint32_t reason_uid = 0;
  Time reason_at;
  std::string features;  // set by `update`; empty with features_set unset
  bool features_set = false;
  std::uint32_t weight = 1;
  bool weight_set = false;

  template <class A>
  void serialize(A& a) {
    a(drain, down, reason, reason_uid, reason_at, features, features_set, weight, weight_set);
  }
};

struct Node {
  Istr name;
  Istr address;  // where the agent said it is
  NodeShape declared;
  NodeShape found;  // as the agent registered it
  std::vector<std::string> features;
  std::uint32_t weight = 1;
  NodeCondition condition = NodeCondition::kUnknown;
  bool connected = false;  // its session with the controller stands; the controller's own, not sent
  bool responding = false;
  bool drain = false;
  Istr reason;
  std::uint32_t reason_uid = 0;
  Time reason_at;
  Time boot;
  Time agent_started;
  Time last_heard;
  Time last_busy;  // when it was last found or left idle; the controller's start at first
  Istr version;    // of its agent
  Istr os;
  Istr arch;
  Uuid boot_id;
  std::uint64_t config_hash = 0;   // of the configuration it runs
  std::uint32_t load_percent = 0;  // 1-minute load average x 100
  std::uint64_t free_mib = 0;
  Istr not_enforced;  // which are not, and why
  // In use now.
  std::uint32_t cpus_used = 0;
  std::uint64_t mem_used_mib = 0;
  std::uint32_t jobs = 0;  // running or completing there
  std::uint32_t completing = 0;
  bool exclusive_use = false;              // one job holds it whole
  std::vector<DeviceAmount> devices_free;  // by slot, see DeviceRoom; empty: all of `declared.devices`
  DeviceReport devices;                    // found there

  template <class A>
  void serialize(A& a) {
    a(name, address, declared, found, features, weight, condition, responding, drain, reason, reason_uid,
      reason_at, boot, agent_started, last_heard, last_busy, version, os, arch, boot_id, config_hash,
      load_percent, free_mib, not_enforced, cpus_used, mem_used_mib, jobs, completing, exclusive_use,
      cap(devices_free, 65536), devices);
  }
};
using NodePtr = std::shared_ptr<const Node>;

// Slurm 22.05's words for a node, in the three forms that its commands print.
std::string node_state_long(const Node& node);  // scontrol show node: "IDLE+DRAIN", "DOWN+NOT_RESPONDING"
std::string node_state_compact(
    const Node& node);  // sinfo %t: "idle", "mix", "alloc", "drain", "drng", "down*"
std::string node_state_word(
    const Node& node);  // sinfo %T: "idle", "mixed", "allocated", "drained", "draining", "down*"

struct Partition {
  Istr name;
  std::vector<Istr> nodes;  // in configuration order
  Istr nodes_text;          // as configured
  bool is_default = false;
  bool hidden = false;
  bool root_only = false;
  bool exclusive_user = false;
  bool oversubscribe_exclusive = false;  // OverSubscribe=EXCLUSIVE
  PartitionState state = PartitionState::kUp;
  Seconds max_time = kUnlimited;
  Seconds default_time = 0;  // 0: none, max_time counts
  Seconds grace_time = 0;    // of jobs that are to leave their nodes: from the notice to SIGTERM
  std::uint32_t min_nodes = 0;
  std::uint32_t max_nodes = 0;  // 0: unlimited
  std::uint32_t priority_tier = 1;
  std::uint32_t priority_job_factor = 1;
  std::uint64_t default_mem_per_cpu_mib = 0;
  std::uint64_t default_mem_per_node_mib = 0;
  std::uint64_t max_mem_per_node_mib = 0;  // 0: unlimited
  std::vector<Istr> allow_accounts, deny_accounts, allow_groups;
  PartitionScheduling scheduling;  // how its queue is worked off
  std::uint32_t total_cpus = 0;
  bool overridden = false;  // something differs from the configuration

  template <class A>
  void serialize(A& a) {
    a(name, nodes, nodes_text, is_default, hidden, root_only, exclusive_user, oversubscribe_exclusive, state,
      max_time, default_time, min_nodes, max_nodes, priority_tier, priority_job_factor,
      default_mem_per_cpu_mib, default_mem_per_node_mib, max_mem_per_node_mib, allow_accounts, deny_accounts,
      allow_groups, scheduling, total_cpus, overridden, grace_time);
  }
};
using PartitionPtr = std::shared_ptr<const Partition>;

}  // namespace bai
