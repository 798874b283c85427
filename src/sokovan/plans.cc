// Planned starts: made in order of rank, so that none is ever delayed by one behind it.
#include <algorithm>

#include "sokovan/impl.h"

namespace bai::sokovan {

// Between full passes only who is first gets what has become free of it: the others of a long queue are chosen by the next full pass.
bool Scheduler::Impl::has_quota(const Option& option, std::uint32_t uid) const {
  const auto& q = queues[option.queue];
  if (q.planned >= q.rules.planned || (!full_pass && q.more && q.planned != 0)) return false;
  if (q.rules.planned_by_user == 0) return true;
  auto it = q.planned_by_user.find(uid);
  return it == q.planned_by_user.end() || it->second < q.rules.planned_by_user;
}

// The first time at which there are nodes and licences.
bool Scheduler::Impl::find_plan(const Option& option, Time now, Planned& out) {
  const auto limit = expected(option);
  Time from = now;
  for (int i = 0; i < 1000; ++i) {
    from = licenses.earliest(option.licenses, from, limit);
    if (from == kFarFuture || !planner.earliest(option, now, from, limit, out)) return false;
    const Time end = limit == kUnlimited ? kFarFuture : out.at + limit;
    if (licenses.fits(option.licenses, out.at, end)) return true;
    from = Time{out.at.us + 1};
  }
  return false;
}

Scheduler::Impl::Planning Scheduler::Impl::plan(JobClass& c, std::uint32_t job_class, Entry& entry,
                                                const Rank& rank, Time now) {
  const auto uid = entry.job->spec->uid;
  auto nothing = [&](Reason reason, const std::string& detail) {
    say_class(c, reason, detail);
    return Planning::kNever;
  };
  if (c.options.empty()) return nothing(Reason::kPartitionDown, "there is no such partition");
  if (c.bad_licenses) return nothing(Reason::kLicenses, "the licences cannot be read");
  const auto possible = std::find_if(c.options.begin(), c.options.end(),
                                     [](const Option& o) { return o.reason == Reason::kNone; });
  if (possible == c.options.end()) return nothing(c.options[0].reason, c.options[0].detail);
  if (!licenses.ever(possible->licenses)) return nothing(Reason::kLicenses, "more than there are");
  std::uint32_t best = kNowhere;
  Planned best_plan;
  bool quota = false, up = false, others_can = false, stopped = true;
  for (std::uint32_t i = 0; i < c.options.size(); ++i) {
    auto& option = c.options[i];
    if (option.reason != Reason::kNone) continue;
    stopped &= !usable(option);
    if (!usable(option) || !has_quota(option, uid)) continue;
    quota = true;
    const bool here = is_up(option);
    up |= here;
    if (option.fallback && others_can) continue;
    others_can |= here && !option.fallback;
    Planned planned;
    if (!here || !find_plan(option, now, planned)) continue;
    if (best != kNowhere && best_plan.at <= planned.at) continue;
    best = i;
    best_plan = std::move(planned);
  }
  if (!quota) {
    for (const auto& option : c.options) queues[option.queue].more |= usable(option);
    const bool waits = stopped || std::any_of(c.options.begin(), c.options.end(), [&](Option& o) {
                         return o.reason == Reason::kNone && is_up(o);
                       });
    say_class(c, waits ? Reason::kPriority : Reason::kReqNodeNotAvail,
              waits ? "" : "nodes that it needs are down or drained");
    return Planning::kNoQuota;
  }
  if (!up) return nothing(Reason::kReqNodeNotAvail, "nodes that it needs are down or drained");
  say_class(c, Reason::kPriority, {});
  auto& q = queues[best == kNowhere ? possible->queue : c.options[best].queue];
  Reason reason = Reason::kPriority;
  if (!q.blocked)
    reason = licenses.fits(possible->licenses, now, now + 1) ? Reason::kResources : Reason::kLicenses;
  if (!q.blocked) q.blocker = rank, q.oldest = entry.job->submitted;
  q.blocked = true;
  unreported.push_back(entry.job->id);
  if (best == kNowhere) {  // nobody knows when
    if (reason != Reason::kPriority) c.first = entry.job->id, c.first_reason = reason;
    return Planning::kNever;
  }
  add_plan(job_class, best, *entry.job, rank, reason, std::move(best_plan));
  return Planning::kPlanned;
}

void Scheduler::Impl::add_plan(std::uint32_t job_class, std::uint32_t option_index, const Job& job,
                               const Rank& rank, Reason reason, Planned planned) {
  const auto& option = classes[job_class]->options[option_index];
  const auto limit = expected(option);
  auto booking = std::make_unique<Booking>();
  booking->id = ++last_booking;
  booking->job = job.id;
  booking->array = job.array_id;
  booking->uid = job.spec->uid;
  booking->kind = Booking::kPlanned;
  booking->exclusive = option.wish.exclusive;
  booking->exclusive_user = option.single_user;
  booking->from = planned.at;
  booking->to = booking->latest = limit == kUnlimited ? kFarFuture : planned.at + limit;
  booking->licenses = option.licenses;
  for (auto& pick : planned.picks) booking->parts.push_back({pick.node, std::move(pick.taken)});
  nodes.add(*booking);
  licenses.add(*booking);
  ++planned_tasks[job.id];
  auto& q = queues[option.queue];
  ++q.planned;
  if (q.rules.planned_by_user) ++q.planned_by_user[booking->uid];
  plans.push_back({std::move(booking), rank, job_class, option_index, option.queue, reason});
  note_plan(plans.back());
}

void Scheduler::Impl::note_plan(const Plan& plan) {
  next_planned = std::min(next_planned, plan.booking->from);
  for (const auto& part : plan.booking->parts)
    for (const auto& place : nodes[part.node].places) {
      auto [it, is_new] = last_planned.try_emplace(place.arena, plan.rank);
      if (it->second < plan.rank) it->second = plan.rank;
    }
}

void Scheduler::Impl::unbook(const Plan& plan) {
  const auto& booking = *plan.booking;
  nodes.remove(booking);
  licenses.remove(booking);
  if (auto it = planned_tasks.find(booking.job); it != planned_tasks.end() && --it->second == 0)
    planned_tasks.erase(it);
  auto& q = queues[plan.queue];
  --q.planned;
  if (auto it = q.planned_by_user.find(booking.uid); it != q.planned_by_user.end() && it->second)
    --it->second;
  unreported.push_back(booking.job);
}

// What it had booked is anyone's.
void Scheduler::Impl::drop_plan(std::size_t index) {
  const auto plan = std::move(plans[index]);
  plans.erase(plans.begin() + static_cast<std::ptrdiff_t>(index));
  unbook(plan);
  touch_nodes(*plan.booking);
  auto& q = queues[plan.queue];
  // Where nothing passes, those who wait were not even tried.
  if (q.planned == 0) (q.rules.nothing_passes ? must_pass : q.headless) = true;
}

void Scheduler::Impl::drop_plans_of(JobId id) {
  if (!planned_tasks.count(id)) return;
  for (std::size_t i = plans.size(); i-- > 0;)
    if (plans[i].booking->job == id) drop_plan(i);
}

// What is left stands.
std::vector<Plan> Scheduler::Impl::drop_plans(bool those_that_stand) {
  auto before = std::exchange(plans, {});
  next_planned = kFarFuture;
  last_planned.clear();
  std::vector<Plan> dropped;
  for (auto& plan : before) {
    if (queues[plan.queue].rules.stand && !those_that_stand) {
      note_plan(plan);
      plans.push_back(std::move(plan));
    } else {
      unbook(plan);
      dropped.push_back(std::move(plan));
    }
  }
  return dropped;
}

void Scheduler::Impl::plan_again(Time now) {
  for (const auto& plan : drop_plans(false)) {
    const auto& c = *classes[plan.job_class];
    const auto& job = *jobs.at(plan.booking->job).job;
    Planned planned;
    if (find_plan(c.options[plan.option], now, planned))
      add_plan(plan.job_class, plan.option, job, plan.rank, plan.reason, std::move(planned));
  }
}

// Conservative backfilling with compression (Mu'alem, Feitelson, TPDS 2001). From the front of the queue on, each planned start that stands is taken
// out and put back where it is earliest among all others, also those behind it, or starts now: once, when something came free before its time.
// Otherwise only those move whose time has come. When one cannot be kept, because something ended late, nobody behind it shall profit: all
// are planned anew.
void Scheduler::Impl::move_plans_forward(Time now, Decisions& out) {
  const bool all = std::exchange(freed_until, kBeginning) > now;
  if (plans.empty() || (!all && next_planned > now)) return;
  auto standing = std::exchange(plans, {});
  next_planned = kFarFuture;
  last_planned.clear();
  std::stable_sort(standing.begin(), standing.end(),
                   [](const Plan& a, const Plan& b) { return a.rank < b.rank; });
  std::vector<bool> seen(queues.size());
  bool late = false;
  for (auto& plan : standing) {
    auto& entry = jobs.at(plan.booking->job);
    const bool moves = all || plan.booking->from <= now || entry.kind != Kind::kQueued;
    if (moves) {
      unbook(plan);
      if (entry.kind != Kind::kQueued) {  // the last of its array's tasks that may run has just started
        touch_nodes(*plan.booking);
        continue;
      }
      auto& c = *classes[plan.job_class];
      if (array_is_full(*entry.job)) {
        park(c, entry);
        continue;
      }
      std::vector<Pick> picks;
      if (const auto* option = startable(c, now, picks, out)) {
        start(c, entry, *option, std::move(picks), now, out);
        continue;
      }
      Planned planned;
      const bool found = find_plan(c.options[plan.option], now, planned);
      late |= !found || planned.at > plan.booking->from;
      if (!found) continue;
      add_plan(plan.job_class, plan.option, *entry.job, plan.rank, plan.reason, std::move(planned));
    } else {
      note_plan(plan);
      plans.push_back(std::move(plan));
    }
    auto& back = plans.back();
    const bool first = !seen[back.queue];
    seen[back.queue] = true;
    if (first && back.reason == Reason::kPriority) {
      back.reason = Reason::kResources;
      unreported.push_back(back.booking->job);
    }
  }
  if (late) drop_plans(true);
}

// A planned start whose time has come without what it waited for counts no more, nor do those planned around it.
void Scheduler::Impl::void_late_plans(Time now) {
  if (next_planned > now) return;
  next_planned = kFarFuture;
  for (const auto& plan : plans) next_planned = std::min(next_planned, plan.booking->from);
  must_pass |= next_planned <= now;
}

std::vector<PlannedStart> Scheduler::Impl::planned_starts() const {
  std::vector<PlannedStart> out;
  for (const auto& plan : plans) {
    const auto& booking = *plan.booking;
    auto allocation = std::make_shared<Allocation>();
    allocation->partition = queues[plan.queue].partition->name;
    for (const auto& part : booking.parts) allocation->nodes.push_back(share_of(part.node, 0, part.taken));
    out.push_back({booking.job, booking.from, booking.to, std::move(allocation)});
  }
  return out;
}

}  // namespace bai::sokovan
