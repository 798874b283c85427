#include "sokovan/sokovan.h"

#include "sokovan/impl.h"

namespace bai::sokovan {

bool fit(const NodeRoom& room, const NodeShare& share, const Sharing& sharing) {
  if (share.cpus == 0 || room.exclusive_use || (sharing.exclusive && room.jobs != 0)) return false;
  if (!room.tenancy.admits(sharing.uid, sharing.exclusive_user)) return false;
  return share.cpus <= room.cpus_free && share.mem_mib <= room.mem_free_mib &&
         room.devices.holds(share.devices);
}

Scheduler::Scheduler(PlacementSource plugins) : impl_(std::make_unique<Impl>(std::move(plugins))) {}
Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;
Scheduler& Scheduler::operator=(Scheduler&&) noexcept = default;

void Scheduler::apply(const Change& change) {
  struct Apply {
    Impl& impl;
    void operator()(const NodeSet& c) { impl.set_node(c); }
    void operator()(const NodeGone& c) { impl.node_gone(c); }
    void operator()(const PartitionSet& c) { impl.set_partition(c.partition); }
    void operator()(const PartitionGone& c) { impl.partition_gone(c.name); }
    void operator()(const JobSet& c) { impl.set_job(c.job, c.dependencies_met); }
    void operator()(const JobGone& c) { impl.remove_job(c.job); }
    void operator()(const LicensesSet& c) {
      impl.licenses.set(c.total);
      impl.plan_anew();
    }
    void operator()(const TopologySet& c) { impl.set_topology(c.switches); }
    void operator()(const SettingsSet& c) { impl.set_settings(c.settings); }
    void operator()(const EstimateEnded& c) { impl.estimates.add(c.late); }
    void operator()(const RunEnded& c) { impl.predictor.learn(c.uid, c.cpus, c.limit, c.run); }
  };
  std::visit(Apply{*impl_}, change);
}

Decisions Scheduler::decide(Time now, const Budget& budget) { return impl_->decide(now, budget); }
Result<Start> Scheduler::would_start(const Job& job, Time now, Time* expected) const {
  return impl_->would_start(job, now, expected);
}
Result<Explanation> Scheduler::explain(JobId job, Time now) const { return impl_->explain(job, now); }
std::vector<Delay> Scheduler::without(const std::vector<Istr>& nodes, Time now) const {
  return impl_->without(nodes, now);
}
Status Scheduler::feasible(const Job& job) const { return impl_->feasible(job); }
std::size_t Scheduler::pending() const { return impl_->pending; }
std::size_t Scheduler::running() const { return impl_->active; }
std::vector<PlannedStart> Scheduler::planned() const { return impl_->planned_starts(); }
std::string Scheduler::check(Time now) const { return impl_->nodes.check(now); }

}  // namespace bai::sokovan
