// A private cluster as a whole: up, how it is, down. bai-cluster's business, and its only caller; blocks, one
// thread. Two at once on the same directory wait for each other (DIR/lock).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/interrupt.h"
#include "cluster/layout.h"

namespace bai::cluster {

// What a caller asks for; unset is the default, or what the cluster in that directory was made of.
struct Wanted {
  std::optional<std::uint32_t> nodes;
  bool emulate = false;  // with nodes: they are virtual
  std::optional<std::uint32_t> cpus;
  std::optional<std::uint64_t> memory_mib;
  std::optional<Store> store;
  bool keep = false;
};

struct Up {
  Settings settings;
  std::vector<std::string> started;  // names of what had to be started; empty: all of it ran
  std::int64_t took_ms = 0;
};

// Makes the cluster, or starts whatever of it does not run, and waits until every node is ready. When that fails or is
// interrupted, all is as it was before: a new one is taken down again, of another what was started here. Errors: different
// (it exists and is made of something else), not_empty, interrupted, and those of its parts.
Result<Up> bring_up(const Layout& layout, const Wanted& wanted, Interrupt& interrupt);

struct ProcessState {
  std::string name;
  std::int64_t pid = 0;  // 0: does not run
};
struct ClusterState {
  Settings settings;
  std::vector<ProcessState> processes;
  bool answers = false;
  std::uint32_t nodes_ready = 0;
  bool whole() const;  // everything runs, all nodes are ready
};
// Errors: no_cluster.
Result<ClusterState> look(const Layout& layout);

// Cancels all jobs, ends every process and what the steps have left, and removes the files unless they are to
// be kept. Only the wait for somebody else who brings it up or down can be interrupted. Errors: no_cluster, interrupted,
// permission_denied, not_ended; it goes on as far as it can.
Status take_down(const Layout& layout, bool keep, Interrupt* interrupt);

}  // namespace bai::cluster
