// Site: the cluster on which a trace is played, as the scheduler is fed with it, and how a trace's jobs become requests there. Plain values.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/scheduling.h"
#include "sim/openb.h"
#include "sim/workload.h"
#include "sokovan/sokovan.h"

namespace bai::sim {

// How its queues are worked off; what is not said stays as the site has it.
struct Rules {
  std::optional<SchedulingPolicy> policy;
  bool exact = false;  // estimates are replaced by the run times
  Istr placement;
};
// "fcfs", "easy", "easy-exact", "easy-sjbf", "conservative", "default". Errors: bad_option, with the nearest name.
Result<Rules> parse_rules(std::string_view policy);

struct Site {
  std::vector<sokovan::Change> changes;  // what the scheduler is told before the first job
  std::uint64_t cpus = 0;                // in all, in the scheduler's units
  std::uint32_t cpu_scale = 1;           // of those for a processor: 1000 where jobs ask for parts of one
  std::uint64_t gpu_milli = 0;
  bool memory = false;  // its nodes say how much they have, so that what jobs ask counts
  std::set<Istr> partitions;
  sokovan::PlacementSource plugins;  // of placements
};

// The same for --placement.
Result<Istr> read_placement(std::string_view name);

// Where plugins come from, "DIR:DIR". Errors: bad_plugin, when a partition names one that is not there or no good.
Status use_plugins(Site& site, std::string dirs);

inline constexpr std::int64_t kMostProcs = 1'000'000'000;  // of a machine
// One machine of so many processors, as traces have it. The policy makes a pass at every single event, as in the published results.
Site machine(std::uint32_t procs, const Rules& rules);
// The nodes and partitions of a bai.conf; nodes that it has down or drained are not there. A policy in `rules` replaces every
// partition's. Errors: bad_config (no nodes, no partition, a node without CPUs=).
Result<Site> site_of(const ClusterConfig& config, const Rules& rules);
// Openb's nodes in one partition. CPUs are counted in thousandths.
Site site_of(const std::vector<OpenbNode>& nodes, const Rules& rules);

// What the jobs of a shape ask of that site, for so many tasks and so long. `limit` 0: its partition's.
std::shared_ptr<const JobSpec> request(const Site& site, const Shape& shape, std::uint32_t tasks,
                                       Seconds limit, std::uint32_t user);

}  // namespace bai::sim
