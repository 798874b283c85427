// Sokovan, the scheduler: changes in, decisions and reasons out. A library without I/O, threads or a clock; equal inputs
// give equal decisions. The daemon, the simulator and what-if questions all use it through this interface.
// One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/istr.h"
#include "base/result.h"
#include "base/time.h"
#include "model/explanation.h"
#include "model/job.h"
#include "model/node.h"
#include "model/scheduling.h"
#include "model/topology.h"
#include "sokovan/tenants.h"

struct bai_placement;  // placement_plugin.h

namespace bai::sokovan {

// The feed. Each change is absolute: the newest word about its subject.
struct NodeSet {  // a node exists; usable tells whether jobs may start there now
  Istr name;
  std::uint32_t cpus = 0;
  std::uint64_t mem_mib = 0;
  std::vector<std::string> features;
  std::uint32_t weight = 1;  // lower is used first
  bool usable = false;
  std::uint32_t sockets = 1, cores_per_socket = 1, threads_per_core = 1;
  std::uint64_t tmp_mib = 0;
  std::vector<DeviceGroup> devices;

  friend bool operator==(const NodeSet&, const NodeSet&) = default;
};
struct NodeGone {
  Istr name;
};
struct PartitionSet {
  PartitionPtr partition;
};
struct PartitionGone {
  Istr name;
};
struct JobSet {  // pending, active or just ended: what it holds follows from its state
  JobPtr job;
  // What the library cannot know: whether dependencies are satisfied. A job is startable when it is pending, not held, this is true,
  // and its begin time has come.
  bool dependencies_met = true;
};
struct JobGone {
  JobId job = 0;
};
struct LicensesSet {
  std::map<std::string, std::uint32_t> total;
};
struct TopologySet {  // all switches
  std::vector<Switch> switches;
};
struct SettingsSet {
  SchedulingSettings settings;
};
// A run that ended before this scheduler knew of it, for the prediction of run times; in order of their ends. Those that it saw
// active it learns from their last JobSet.
struct RunEnded {
  std::uint32_t uid = 0;
  Seconds limit = kUnlimited;  // what was asked
  Seconds run = 0;
  std::uint64_t cpus = 0;  // that were asked for: tasks times CPUs of a task
};
// How a first estimate turned out before this scheduler knew of it: see Start::late. What is told in explanations.
struct EstimateEnded {
  Seconds late = 0;
};
using Change = std::variant<NodeSet, NodeGone, PartitionSet, PartitionGone, JobSet, JobGone, LicensesSet,
                            TopologySet, SettingsSet, RunEnded, EstimateEnded>;

struct Start {
  JobId job = 0;
  std::uint32_t task = kNoTask;  // of an array head: which task to split off
  std::shared_ptr<const Allocation> allocation;
  std::optional<Seconds> late = std::nullopt;  // than was first said in Waiting; negative: earlier
};
struct Waiting {  // reported when it changed since the last report
  JobId job = 0;
  Reason reason = Reason::kNone;
  std::string detail;   // short; may be empty
  Time expected_start;  // 0: unknown
};
struct Decisions {
  std::vector<Start> starts;  // in order; later ones assume the earlier
  std::vector<Waiting> waiting;
  Time next_wakeup;      // a begin time or the like; 0: only changes can make a difference
  bool complete = true;  // false: the budget ran out, call again
  std::uint64_t jobs_tried = 0;
};

// A start to come that nothing behind it may delay.
struct PlannedStart {
  JobId job = 0;  // an array's head may have several
  Time at;
  Time end;  // by the limit, or as predicted
  std::shared_ptr<const Allocation> allocation;
};

struct Budget {
  std::uint32_t max_starts = 1000;  // per call
  std::uint64_t max_jobs = 0;       // tried per call; 0: all
};

// Free and total of one node, as fit() sees it.
struct NodeRoom {
  std::uint32_t cpus_total = 0, cpus_free = 0;
  std::uint64_t mem_total_mib = 0, mem_free_mib = 0;
  std::uint32_t jobs = 0;
  bool exclusive_use = false;
  Tenancy tenancy{};
  DeviceRoom devices{};
};

// Who wants to share a node, and with whom.
struct Sharing {
  bool exclusive = false;       // with nobody
  bool exclusive_user = false;  // with the same user's jobs only
  std::uint32_t uid = Tenancy::kSeveral;
};

// The one answer to "can this node give `share` to this job": used by the scheduler when it plans and by the controller
// when it commits a start.
bool fit(const NodeRoom& room, const NodeShare& share, const Sharing& sharing);

// Where a placement of the name comes from that is not built in; asked once for each.
using PlacementSource = std::function<Result<const bai_placement*>(std::string_view name)>;

class Scheduler {
 public:
  // A partition whose plugin cannot be had is placed as if it named none: who configures it asks the source before.
  explicit Scheduler(PlacementSource plugins = {});
  ~Scheduler();
  Scheduler(Scheduler&&) noexcept;
  Scheduler& operator=(Scheduler&&) noexcept;

  void apply(const Change& change);
  // Does not apply its own decisions: starts come back through apply() as active jobs. A start that was decided and not yet confirmed
  // keeps its resources until the job's next JobSet (so that two passes cannot give the same node twice). A JobSet of an array's head
  // ends that for all of its tasks: feed what came of one Decisions, heads and tasks, before the next call.
  // A start that was refused is told by feeding the job as it is.
  Decisions decide(Time now, const Budget& budget);
  // Where and when `job` (not known to the scheduler) would start if it were submitted now. Error when never.
  Result<Start> would_start(const Job& job, Time now, Time* expected) const;
  // Whether any nodes, empty, could ever hold it; the Error says what no node has.
  Status feasible(const Job& job) const;

  // Why a job that was fed waits, and what would let it start. Looks at every node and every queue once, and tries some thirty
  // changed requests. Errors: "not_pending".
  Result<Explanation> explain(JobId job, Time now) const;

  // Planned starts that would be later, or not planned any more, without these nodes: an equal scheduler is made and tried, which
  // takes as long as feeding all anew and two full passes.
  std::vector<Delay> without(const std::vector<Istr>& nodes, Time now) const;

  std::size_t pending() const;
  std::size_t running() const;
  // As of the last decide(), in the order in which they were planned.
  std::vector<PlannedStart> planned() const;
  // For tests: whether what is known incrementally is what a scheduler made anew would know. Empty when it is.
  std::string check(Time now) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bai::sokovan
