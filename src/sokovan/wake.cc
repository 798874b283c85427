// Between full passes: what came free wakes those that could use it, what was submitted is tried alone. Planned starts stand;
// nothing that is decided here delays one of them.
#include <algorithm>

#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

Time end_of(Time now, Seconds limit) { return limit == kUnlimited ? kFarFuture : now + limit; }

}  // namespace

// The most that is free on a touched node of an arena, now or until a horizon: who needs more in any way is not woken.
class Touched {
 public:
  Touched(const Nodes& nodes, const std::vector<std::uint32_t>& touched) : nodes_(nodes) {
    for (auto node : touched)
      for (const auto& place : nodes[node].places) {
        if (place.arena >= most_.size()) most_.resize(place.arena + 1);
        auto& arena = most_[place.arena];
        for (std::size_t h = 0; h < kHorizons.size(); ++h)
          arena[h] = larger(arena[h], nodes.arena_at(place.arena).free(h).at(place.position));
      }
  }
  bool wakes(const Option& option, Time end) const {
    if (option.arena >= most_.size()) return false;
    return covers(most_[option.arena][nodes_.horizon_before(end)], option.wish.least);
  }
  bool wakes_now(const Option& option) const {
    return option.arena < most_.size() && covers(most_[option.arena][0], option.wish.least);
  }

 private:
  struct Most : std::array<Amounts, kHorizons.size()> {
    Most() { fill(Amounts::nothing()); }
  };
  const Nodes& nodes_;
  std::vector<Most> most_;
};

std::set<QueueKey>::const_iterator Scheduler::Impl::first_unplanned(const JobClass& c) const {
  auto it = c.queue.begin();
  while (it != c.queue.end() && planned_tasks.count(it->id)) ++it;
  return it;
}

// Who waited for nodes that were down was passed over, and may belong in front of what is planned.
bool Scheduler::Impl::someone_can_again() {
  return std::any_of(classes.begin(), classes.end(), [&](const auto& c) {
    if (!c || c->queue.empty() || c->rest != Reason::kReqNodeNotAvail) return false;
    refresh(*c);
    return std::any_of(c->options.begin(), c->options.end(),
                       [&](Option& o) { return o.reason == Reason::kNone && is_up(o); });
  });
}

// Planned starts that stand give way to who comes before them: all is planned anew.
bool Scheduler::Impl::someone_joined_before_standing_plans() {
  const Plan* last = nullptr;
  for (const auto& plan : plans)
    if (queues[plan.queue].rules.stand && (!last || last->rank < plan.rank)) last = &plan;
  return last && std::any_of(joined.begin(), joined.end(), [&](const auto& item) {
           const auto& c = classes[item.first];
           const auto it = jobs.find(item.second);
           if (!c || it == jobs.end() || it->second.kind != Kind::kQueued) return false;
           refresh(*c);
           const Rank rank{c->tier, 0, 0, key_of(it->second)};
           return rank < last->rank &&
                  std::any_of(c->options.begin(), c->options.end(), [&](const Option& option) {
                    const auto there = last_planned.find(option.arena);
                    return option.reason == Reason::kNone && there != last_planned.end() &&
                           rank < there->second;
                  });
         });
}

void Scheduler::Impl::begin_small_pass(Time now, Decisions& out) {
  in_pass = true;
  full_pass = false;
  heap.clear();
  must_pass |= std::exchange(nodes_came, false) && someone_can_again();
  if (someone_joined_before_standing_plans()) plan_anew();
  if (must_pass) return;
  auto came = std::exchange(joined, {});
  std::sort(came.begin(), came.end());
  came.erase(std::unique(came.begin(), came.end()), came.end());
  std::uint32_t pushed = UINT32_MAX;
  for (const auto& [i, id] : came) {
    if (i == pushed) continue;  // once for all of a class: each start goes on to the next
    auto* c = i < classes.size() ? classes[i].get() : nullptr;
    if (!c || c->queue.empty()) continue;
    refresh(*c);
    const auto it = first_unplanned(*c);
    if (it == c->queue.end() || (c->blocked && it->id != id)) continue;  // an equal one before it did not fit
    // Who comes before one that planned on the same nodes belongs into the plan.
    const Rank rank{c->tier, 0, 0, *it};
    if (by_due(*c)) {
      // It may come anywhere in the queue.
      changed = true;
      must_pass |= is_cheap();
    }
    must_pass |= !by_due(*c) && std::any_of(c->options.begin(), c->options.end(), [&](const Option& option) {
      const auto& q = queues[option.queue];
      if (option.reason == Reason::kNone && q.rules.nothing_passes && q.blocked && rank < q.blocker)
        return true;
      const auto last = last_planned.find(option.arena);
      return option.reason == Reason::kNone && last != last_planned.end() && rank < last->second;
    });
    if (must_pass) return;
    push(i, *it, 0, false, false);
    pushed = i;
  }
  const auto freed = std::move(touched_nodes);
  touched_nodes.clear();
  const bool licensed = std::exchange(touched_licenses, false);
  if (freed.empty() && !licensed) return;
  // Nobody passes a blocked job, so nobody but that one is to be tried; where it is not planned, a full pass finds it.
  must_pass |= std::any_of(queues.begin(), queues.end(), [](const Queue& q) {
    return q.partition && q.rules.nothing_passes && q.blocked && q.planned == 0;
  });
  if (must_pass) return;
  start_planned_early(freed, licensed, now, out);
  if (!must_pass) plan_new_heads(now, out);
  if (must_pass) return;
  const Touched touched(nodes, freed);
  for (std::uint32_t i = 0; i < classes.size(); ++i) {
    auto* c = classes[i].get();
    if (!c || !c->blocked || c->queue.empty()) continue;
    refresh(*c);
    if (!(licensed && !c->licenses.empty())) {
      if (released_tasks - c->released_tasks < c->missing_tasks ||
          released_nodes - c->released_nodes < c->missing_nodes)
        continue;
      if (std::none_of(c->options.begin(), c->options.end(), [&](const Option& option) {
            return option.reason == Reason::kNone && touched.wakes(option, end_of(now, expected(option)));
          }))
        continue;
    }
    const auto it = first_unplanned(*c);
    if (it != c->queue.end()) push(i, *it, 0, false, false);
  }
}

// A planned job starts as soon as it can without touching another planned start. If the first of a queue could but for those
// behind it, they are planned anew.
void Scheduler::Impl::start_planned_early(const std::vector<std::uint32_t>& freed, bool licensed, Time now,
                                          Decisions& out) {
  const Touched touched(nodes, freed);
  struct Woken {
    Rank rank;
    std::uint64_t booking;  // plans move when some go
    bool head;
  };
  std::vector<const Plan*> heads(queues.size());
  for (const auto& plan : plans)
    if (auto& head = heads[plan.queue]; !head || plan.rank < head->rank) head = &plan;
  std::vector<Woken> woken;
  for (const auto& plan : plans) {
    const auto& c = *classes[plan.job_class];
    if (c.generation != generation || plan.option >= c.options.size()) {
      must_pass = true;
      return;
    }
    if ((licensed && !c.licenses.empty()) ||
        std::any_of(c.options.begin(), c.options.end(),
                    [&](const Option& o) { return o.reason == Reason::kNone && touched.wakes_now(o); }))
      woken.push_back({plan.rank, plan.booking->id, heads[plan.queue] == &plan});
  }
  std::stable_sort(woken.begin(), woken.end(),
                   [](const Woken& a, const Woken& b) { return a.rank < b.rank; });
  for (const auto& [rank, id, head] : woken) {
    const auto at =
        std::find_if(plans.begin(), plans.end(), [id = id](const Plan& p) { return p.booking->id == id; });
    if (at == plans.end()) continue;
    auto& plan = *at;
    auto& c = *classes[plan.job_class];
    auto& entry = jobs.at(plan.booking->job);
    const auto index = static_cast<std::size_t>(at - plans.begin());
    // Without its own plan, with all others'.
    nodes.remove(*plan.booking);
    licenses.remove(*plan.booking);
    std::vector<Pick> picks;
    const Option* option = nullptr;
    if (!array_is_full(*entry.job)) option = startable(c, now, picks, out);
    nodes.add(*plan.booking);
    licenses.add(*plan.booking);
    if (!option) {
      if (head && !queues[plan.queue].rules.stand &&
          std::any_of(c.options.begin(), c.options.end(),
                      [&](const Option& o) { return could_but_for_plans(o, now); })) {
        must_pass = true;
        return;
      }
      continue;
    }
    drop_plan(index);
    start(c, entry, *option, std::move(picks), now, out);
    if (must_pass) return;
  }
}

// The first without a planned start that waits in one of these queues, of the classes that are not in `but`. Null when there is none.
JobClass* Scheduler::Impl::first_in(const std::set<std::uint32_t>& in, const std::set<std::uint32_t>& but,
                                    std::uint32_t& job_class) {
  JobClass* best = nullptr;
  Rank rank;
  for (std::uint32_t i = 0; i < classes.size(); ++i) {
    auto* c = classes[i].get();
    if (!c || c->queue.empty() || but.count(i)) continue;
    refresh(*c);
    if (std::none_of(c->options.begin(), c->options.end(), [&](const Option& option) {
          return option.reason == Reason::kNone && in.count(option.queue);
        }))
      continue;
    const auto it = first_unplanned(*c);
    if (it == c->queue.end()) continue;
    const Rank mine{c->tier, 0, 0, *it};
    if (best && !(mine < rank)) continue;
    best = c, rank = mine, job_class = i;
  }
  return best;
}

// Where the last planned start is gone, who comes next starts or has one before others can pass it: of all such queues the first, since
// they may share nodes.
void Scheduler::Impl::plan_new_heads(Time now, Decisions& out) {
  constexpr int kMost = 64;  // a full pass finds so many sooner
  std::set<std::uint32_t> headless, never;
  for (std::uint32_t i = 0; i < queues.size(); ++i)
    if (std::exchange(queues[i].headless, false) && queues[i].partition) {
      queues[i].blocked = false;
      headless.insert(i);
    }
  for (int i = 0;; ++i) {
    std::erase_if(headless, [&](std::uint32_t q) { return queues[q].planned != 0; });
    std::uint32_t job_class = 0;
    auto* c = headless.empty() ? nullptr : first_in(headless, never, job_class);
    if (!c) return;
    if (i == kMost) {
      must_pass = true;
      return;
    }
    auto& entry = jobs.at(first_unplanned(*c)->id);
    if (array_is_full(*entry.job)) {
      park(*c, entry);
      continue;
    }
    c->blocked = false;
    if (try_start(*c, entry, true, now, out)) continue;
    c->blocked = true;
    must_pass |= std::any_of(c->options.begin(), c->options.end(),
                             [&](const Option& o) { return could_but_for_plans(o, now); });
    if (must_pass) return;
    const Rank rank{c->tier, 0, 0, key_of(entry)};
    if (plan(*c, job_class, entry, rank, now) != Planning::kPlanned) never.insert(job_class);
  }
}

// An upper bound: planned starts are all that could be in the way.
bool Scheduler::Impl::could_but_for_plans(const Option& option, Time now) {
  if (option.reason != Reason::kNone || !licenses.fits(option.licenses, now, now + 1)) return false;
  const auto& arena = nodes.arena_at(option.arena);
  std::uint64_t count = 0, tasks = 0;
  for (auto p = arena.free(0).find(option.wish.least, 0); p != kNowhere;
       p = arena.free(0).find(option.wish.least, p + 1)) {
    ++finder.steps;
    if (!option.allows(p)) continue;
    ++count;
    tasks += finder.capacity_at(option, p, now, now);
    if (count >= option.wish.min_nodes && tasks >= option.wish.tasks) return true;
  }
  return false;
}

}  // namespace bai::sokovan
