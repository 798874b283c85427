// The whole of what was fed, as changes that make an equal scheduler; and questions that are tried on such a one.
#include <algorithm>

#include "base/hostlist.h"
#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

std::map<JobId, Time> first_planned(const Scheduler& scheduler) {
  std::map<JobId, Time> out;
  for (const auto& planned : scheduler.planned()) {
    auto [it, is_new] = out.try_emplace(planned.job, planned.at);
    if (!is_new) it->second = std::min(it->second, planned.at);
  }
  return out;
}

}  // namespace

std::vector<Change> Scheduler::Impl::snapshot() const {
  std::vector<Change> out;
  out.emplace_back(SettingsSet{settings});
  out.emplace_back(TopologySet{switches});
  out.emplace_back(LicensesSet{licenses.totals()});
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    const auto& slot = nodes[i];
    if (!slot.exists) continue;
    NodeSet set;
    set.name = slot.name;
    set.cpus = static_cast<std::uint32_t>(slot.total.cpus());
    set.mem_mib = static_cast<std::uint64_t>(slot.total.mem());
    set.features = slot.features;
    set.weight = slot.weight;
    set.usable = slot.usable;
    set.sockets = slot.sockets;
    set.cores_per_socket = slot.cores;
    set.threads_per_core = slot.threads;
    set.tmp_mib = slot.tmp_mib;
    set.devices = slot.devices;
    out.emplace_back(std::move(set));
  }
  for (const auto& queue : queues)
    if (queue.partition) out.emplace_back(PartitionSet{queue.partition});
  std::vector<JobId> ids;
  ids.reserve(jobs.size());
  for (const auto& [id, entry] : jobs) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (auto id : ids) {
    const auto& entry = jobs.at(id);
    out.emplace_back(JobSet{entry.job, entry.dependencies_met});
  }
  return out;
}

std::vector<Delay> Scheduler::Impl::without(const std::vector<Istr>& leaving, Time now) const {
  Scheduler copy;
  copy.impl_->placements.insert(placements.begin(), placements.end());  // its own "fragmentation" stays
  copy.impl_->predictor = predictor;
  auto changes = snapshot();
  // More starts than need be are planned, so that more jobs can be compared.
  for (auto& change : changes)
    if (auto* set = std::get_if<SettingsSet>(&change); set && set->settings.planned_starts == 0)
      set->settings.planned_starts = 100;
  for (const auto& change : changes) copy.apply(change);
  const auto decide = [&] {
    while (!copy.decide(std::max(now, last_now), Budget{}).complete) {
    }
  };
  decide();
  const auto before = first_planned(copy);
  for (const auto& change : changes)
    if (const auto* set = std::get_if<NodeSet>(&change))
      if (std::find(leaving.begin(), leaving.end(), set->name) != leaving.end()) {
        NodeSet gone = *set;
        gone.usable = false;
        copy.apply(gone);
      }
  copy.impl_->plan_anew();
  decide();
  const auto after = first_planned(copy);
  std::vector<Delay> out;
  for (const auto& [job, at] : before) {
    if (auto it = copy.impl_->jobs.find(job); it == copy.impl_->jobs.end() ||
                                              it->second.kind == Kind::kInFlight ||
                                              it->second.kind == Kind::kActive)
      continue;  // it starts at once elsewhere
    auto it = after.find(job);
    if (it == after.end())
      out.push_back({job, at, Time{}});
    else if (it->second > at)
      out.push_back({job, at, it->second});
  }
  std::sort(out.begin(), out.end(), [](const Delay& a, const Delay& b) {
    return a.before != b.before ? a.before < b.before : a.job < b.job;
  });
  return out;
}

}  // namespace bai::sokovan
