#include "sokovan/sokovan.h"

#include "sokovan/impl.h"

namespace bai::sokovan {

Scheduler::Scheduler() : impl_(std::make_unique<Impl>()) {}
Scheduler::~Scheduler() = default;
Scheduler::Scheduler(Scheduler&&) noexcept = default;
Scheduler& Scheduler::operator=(Scheduler&&) noexcept = default;

void Scheduler::apply(const Change& change) {
  struct Apply {
    Impl& impl;
    void operator()(const NodeSet& c) { impl.set_node(c); }
    void operator()(const NodeGone& c) {
      auto it = impl.node_index.find(c.name.str());
      if (it == impl.node_index.end()) return;
      impl.nodes[it->second].exists = impl.nodes[it->second].usable =
          false;  // what still runs there stays counted
      ++impl.generation;
      impl.dirty = true;
    }
    void operator()(const PartitionSet& c) { impl.set_partition(c.partition); }
    void operator()(const PartitionGone& c) {
      if (!impl.partitions.erase(c.name.str())) return;
      ++impl.generation;
      impl.dirty = true;
    }
    void operator()(const JobSet& c) { impl.set_job(c.job, c.dependencies_met); }
    void operator()(const JobGone& c) { impl.remove_job(c.job); }
    void operator()(const LicensesSet& c) {
      impl.dirty |= impl.licenses_total != c.total;
      impl.licenses_total = c.total;
    }
    void operator()(const TopologySet&) {}
    void operator()(const SettingsSet&) {}
    void operator()(const RunEnded&) {}
  };
  std::visit(Apply{*impl_}, change);
}

Decisions Scheduler::decide(Time now, const Budget& budget) { return impl_->decide(now, budget); }
Result<Start> Scheduler::would_start(const Job& job, Time now, Time* expected) const {
  return impl_->would_start(job, now, expected);
}
Status Scheduler::feasible(const Job& job) const { return impl_->feasible(job); }
std::size_t Scheduler::pending() const { return impl_->pending; }
std::size_t Scheduler::running() const { return impl_->active; }

}  // namespace bai::sokovan
