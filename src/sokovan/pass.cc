// A pass: who starts now, who gets a planned start, and why the others do not.
#include <algorithm>

#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

Time end_of(Time now, Seconds limit) { return limit == kUnlimited ? kFarFuture : now + limit; }

}  // namespace

Scheduler::Impl::Impl(PlacementSource source)
    : plugins(std::move(source)), fragmentation(nodes), finder(nodes, topology), planner(nodes, finder) {
  placements["fragmentation"] = {
      "fragmentation", Placement::kCost,
      [this](const NodeView& node, const Taken& taken) { return fragmentation.cost(node, taken); }, true};
}

// What was planned counts no more, where it does not stand; all classes are looked at.
void Scheduler::Impl::begin_full_pass(Time now, Decisions& out) {
  void_standing |= someone_joined_before_standing_plans();
  drop_plans(std::exchange(void_standing, false));
  nodes.begin_pass(now);
  licenses.trim(now);
  nodes.clear_log();
  planner.forget();
  for (auto& q : queues) {
    q.blocked = q.more = q.headless = false;
    q.seconded = false;
  }
  touched_nodes.clear();
  joined.clear();
  touched_licenses = nodes_came = must_pass = changed = false;
  in_pass = full_pass = true;
  steps_before = finder.steps + planner.steps;
  last_pass = now;
  guesses = 0;
  guessed_some = false;
  heap.clear();
  for (const auto& c : classes) {
    if (!c || c->queue.empty()) continue;
    c->no_guess = false;
    refresh(*c);
  }
  move_plans_forward(now, out);
  for (const auto& plan : plans) queues[plan.queue].blocked = true;
  for (std::uint32_t i = 0; i < classes.size(); ++i)
    if (classes[i] && !classes[i]->queue.empty()) push(i, *classes[i]->queue.begin(), 0, false, false);
}

void Scheduler::Impl::push(std::uint32_t job_class, const QueueKey& key, std::uint32_t tasks_planned,
                           bool tried, bool passing) {
  const auto& c = *classes[job_class];
  Rank rank{c.tier, passing, 0, key};
  if (passing && !c.options.empty()) {
    const auto& option = c.options.front();
    const auto length = expected(option);
    if (queues[option.queue].rules.backfill == Rules::kShortest)
      rank.score = length == kUnlimited ? INT64_MAX : length;
  }
  heap.push_back({rank, job_class, tasks_planned, tried});
  std::push_heap(heap.begin(), heap.end());
}

Decisions Scheduler::Impl::decide(Time now, const Budget& budget) {
  Decisions out;
  last_now = std::max(last_now, now);
  now = last_now;
  nodes.set_now(now);
  if (learns_shapes) fragmentation.refresh();
  fire_timers(now);
  extend_overdue(now);
  void_late_plans(now);
  auto pass_is_due = [&] {
    return must_pass || (changed && (is_cheap() || now >= last_pass + settings.backfill_interval));
  };
  if (!in_pass && pass_is_due()) begin_full_pass(now, out);
  if (!in_pass && (!touched_nodes.empty() || !joined.empty() || touched_licenses)) {
    begin_small_pass(now, out);
    if (must_pass) {
      heap.clear();
      begin_full_pass(now, out);
    }
  }
  while (in_pass) {
    if (heap.empty()) {
      in_pass = false;
      must_pass |=
          full_pass && std::any_of(queues.begin(), queues.end(), [](const Queue& q) { return q.headless; });
      if (full_pass && guessed_some && !must_pass) plan_again(now);
      if (full_pass) pass_steps = finder.steps + planner.steps - steps_before;
      break;
    }
    if (out.starts.size() >= std::max(1u, budget.max_starts) ||
        (budget.max_jobs && out.jobs_tried >= budget.max_jobs))
      break;
    std::pop_heap(heap.begin(), heap.end());
    const auto next = heap.back();
    heap.pop_back();
    run(next, now, out);
  }
  // A pass that was cut short, or changes that came while one was, need another call.
  out.complete = !in_pass && !must_pass && touched_nodes.empty() && joined.empty() && !touched_licenses;
  if (out.complete) flush_reports(out);
  auto wake = [&](Time at) {
    if (!out.next_wakeup.is_set() || at < out.next_wakeup) out.next_wakeup = at;
  };
  if (!timers.empty()) wake(timers.begin()->first);
  if (!plans.empty()) wake(next_planned);
  if (changed && pending != 0) wake(last_pass + settings.backfill_interval);
  if (!plans.empty() && !ends.empty() && ends.begin()->first < kUnknownEnd)
    wake(ends.begin()->first);  // it may prove late
  return out;
}

// The next job of one class.
void Scheduler::Impl::run(Run next, Time now, Decisions& out) {
  auto* c = next.job_class < classes.size() ? classes[next.job_class].get() : nullptr;
  if (!c) return;
  refresh(*c);
  auto it = c->queue.lower_bound(next.rank.key);
  if (it == c->queue.end()) return;
  const bool passing = next.rank.passing;
  if (*it != next.rank.key) return push(next.job_class, *it, 0, next.tried, passing);
  auto& entry = jobs.at(it->id);
  const auto uid = entry.job->spec->uid;
  auto go_on = [&](bool tried) {  // to the job after this one
    const auto after = c->queue.upper_bound(next.rank.key);
    if (after != c->queue.end()) push(next.job_class, *after, 0, tried, passing);
  };
  if (const auto planned = planned_tasks.find(it->id);
      next.tasks_planned == 0 && planned != planned_tasks.end()) {  // it has its start
    if (!full_pass || tasks_left(*entry.job, planned->second) == 0) return go_on(next.tried);
    next.tasks_planned = planned->second;  // some of an array's have
  }
  if (array_is_full(*entry.job)) {  // its tasks' records came after the head's
    park(*c, entry);
    return go_on(next.tried);
  }
  // Behind the planned ones, a policy may have another order.
  if (!passing) {
    const bool others = std::any_of(c->options.begin(), c->options.end(), [&](const Option& o) {
      return o.reason == Reason::kNone &&
             (queues[o.queue].rules.backfill == Rules::kQueue || has_quota(o, uid));
    });
    const bool some = std::any_of(c->options.begin(), c->options.end(),
                                  [](const Option& o) { return o.reason == Reason::kNone; });
    if (some && !others) return push(next.job_class, next.rank.key, next.tasks_planned, next.tried, true);
  }
  if (full_pass) note_second(*c, entry);
  if (!next.tried) c->blocked = false;
  if (!next.tried || goes_on_guessing(*c)) {
    guesses += next.tried;
    if (try_start(*c, entry, !next.tried, now, out)) {
      const auto again = c->queue.lower_bound(next.rank.key);
      if (again != c->queue.end()) push(next.job_class, *again, 0, next.tried, passing);
      return;
    }
    c->blocked = true;
  }
  switch (plan(*c, next.job_class, entry, next.rank, now)) {
    case Planning::kPlanned:
      if (tasks_left(*entry.job, next.tasks_planned + 1) != 0)
        return push(next.job_class, next.rank.key, next.tasks_planned + 1, true, passing);
      return go_on(true);
    case Planning::kNoQuota:
      if (goes_on_guessing(*c)) go_on(true);
      return;
    case Planning::kNever:
      return;
  }
}

// Of an array's head, how many of its tasks are neither decided nor planned; 1 or 0 for a plain job.
std::uint32_t Scheduler::Impl::tasks_left(const Job& job, std::uint32_t planned) const {
  if (!job.array) return planned ? 0 : 1;
  auto it = decided.find(job.id);
  std::uint64_t waiting = job.array->waiting.count();
  const std::uint64_t going = it == decided.end() ? 0 : it->second.size();
  waiting -= std::min(waiting, going);
  if (job.array->max_running) {
    auto info = arrays.find(job.array_id);
    const std::uint64_t running = info == arrays.end() ? 0 : info->second.running;
    waiting = std::min(waiting, job.array->max_running > running ? job.array->max_running - running : 0);
  }
  return static_cast<std::uint32_t>(waiting > planned ? waiting - planned : 0);
}

bool Scheduler::Impl::usable(const Option& option) const {
  const auto& q = queues[option.queue];
  return option.reason == Reason::kNone && !(q.blocked && q.rules.nothing_passes);
}

// `surely`: for as long as it may run; where not, or where that fails, for as long as it is predicted to, if the policy has it so.
bool Scheduler::Impl::try_start(JobClass& c, Entry& entry, bool surely, Time now, Decisions& out) {
  std::vector<Pick> picks;
  const auto* option = surely ? startable(c, now, picks, out) : nullptr;
  if (!option && (option = guessed(c, entry, now, picks, out))) guessed_some = changed = true;
  if (!option) return false;
  start(c, entry, *option, std::move(picks), now, out);
  return true;
}

// The first option that has nodes now, or null.
const Option* Scheduler::Impl::startable(JobClass& c, Time now, std::vector<Pick>& picks, Decisions& out) {
  ++out.jobs_tried;
  c.missing_tasks = c.missing_nodes = UINT64_MAX;
  c.released_tasks = released_tasks;
  c.released_nodes = released_nodes;
  if (c.bad_licenses) return nullptr;
  bool others_can = false;
  for (auto& option : c.options) {
    if (!usable(option)) continue;
    if (c.has_fallbacks) {
      if (option.fallback && others_can) continue;
      if (!option.fallback) others_can |= is_up(option);
    }
    const Time end = end_of(now, expected(option));
    if (!licenses.fits(option.licenses, now, end)) {
      c.missing_tasks = c.missing_nodes = 0;
      continue;
    }
    picks = finder.find_now(option, now, end);
    if (picks.empty()) {
      c.missing_tasks = std::min(c.missing_tasks, finder.missing_tasks * option.wish.cpus_per_task);
      c.missing_nodes = std::min(c.missing_nodes, finder.missing_nodes);
      continue;
    }
    if (!holds(option, *allocation_of(option, picks), picks)) continue;
    c.missing_tasks = c.missing_nodes = 0;  // of the next one nobody knows
    return &option;
  }
  picks.clear();
  if (c.missing_tasks == UINT64_MAX) c.missing_tasks = c.missing_nodes = 0;  // nothing could be tried
  return nullptr;
}

std::shared_ptr<const Allocation> Scheduler::Impl::allocation_of(const Option& option,
                                                                 const std::vector<Pick>& picks) const {
  auto allocation = std::make_shared<Allocation>();
  allocation->partition = option.partition->name;
  allocation->alternative = option.alternative;
  allocation->nodes.reserve(picks.size());
  for (const auto& pick : picks) allocation->nodes.push_back(share_of(pick.node, pick.tasks, pick.taken));
  return allocation;
}

NodeShare Scheduler::Impl::share_of(std::uint32_t node, std::uint32_t tasks, const Taken& taken) const {
  const auto& slot = nodes[node];
  NodeShare share;
  share.node = slot.name;
  share.cpus = static_cast<std::uint32_t>(taken.cpus);
  share.mem_mib = static_cast<std::uint64_t>(taken.mem);
  share.tasks = tasks;
  for (const auto& device : taken.devices) share.devices.push_back(slot.layout.share(device, nodes.names()));
  return share;
}

// The last word is fit()'s, as the controller will ask it again.
bool Scheduler::Impl::holds(const Option& option, const Allocation& allocation,
                            const std::vector<Pick>& picks) const {
  for (std::size_t i = 0; i < picks.size(); ++i)
    if (!fit(nodes.room(picks[i].node), allocation.nodes[i],
             {option.wish.exclusive, option.single_user, option.uid}))
      return false;
  return true;
}

void Scheduler::Impl::start(JobClass& c, Entry& entry, const Option& option, std::vector<Pick> picks,
                            Time now, Decisions& out) {
  const auto& job = *entry.job;
  if (option.placement->order == Placement::kInTurn)
    nodes.arena_at(option.arena).next_in_turn = picks.back().position + 1;
  Start start{job.id, kNoTask, allocation_of(option, picks)};
  Booking booking;
  booking.job = job.id;
  booking.array = job.array_id;
  booking.task = job.array_task;
  booking.uid = job.spec->uid;
  booking.kind = Booking::kDecided;
  booking.exclusive = option.wish.exclusive;
  booking.exclusive_user = option.single_user;
  const auto length = expected(option);
  booking.to = length == kUnlimited ? kUnknownEnd : now + length;
  booking.latest = option.limit == kUnlimited ? kUnknownEnd : now + option.limit;
  booking.licenses = option.licenses;
  for (auto& pick : picks) booking.parts.push_back({pick.node, std::move(pick.taken)});
  if (job.array) {
    // Tasks are decided from the lowest up, so the last decided one tells where to go on.
    const auto& waiting = job.array->waiting;
    std::uint32_t from = 0;
    if (auto it = decided.find(job.id); it != decided.end()) from = bookings.at(it->second.back())->task + 1;
    start.task = booking.task = *waiting.next(from);
  }
  decided[job.id].push_back(acquire(std::move(booking))->id);
  start.late = estimates.started(job.id, now);
  out.starts.push_back(std::move(start));
  if (c.first == job.id) c.first = 0;
  if (job.array && array_is_full(job)) return park(c, entry);
  if (tasks_left(job, 0) != 0 && job.array) return;
  c.queue.erase(key_of(entry));
  drop_plans_of(job.id);
  entry.kind = Kind::kInFlight;
}

void Scheduler::Impl::park(JobClass& c, Entry& entry) {
  const auto& job = *entry.job;
  c.queue.erase(key_of(entry));
  drop_plans_of(job.id);
  entry.kind = Kind::kParked;
  unreported.push_back(job.id);
}

}  // namespace bai::sokovan
