// Changes in: what the scheduler knows of nodes, partitions and jobs.
#include <algorithm>

#include "sokovan/impl.h"

namespace bai::sokovan {

void Scheduler::Impl::set_node(const NodeSet& set) {
  const auto what = nodes.set(set);
  if (what == Nodes::Changed::kNothing) return;
  std::uint32_t node = 0;
  const auto& slot = *nodes.find(set.name, &node);
  if (what != Nodes::Changed::kUsable) {
    ++generation;
    plan_anew();
    nodes.set_leaf(node, topology.leaf_of(set.name));
  }
  ++up_generation;
  changed = true;
  if (!slot.usable) {
    // Somebody counts on it, or avoids others while this one can do.
    if (slot.plans) plan_anew();
    must_pass |=
        std::any_of(classes.begin(), classes.end(), [](const auto& c) { return c && c->has_fallbacks; });
    return;
  }
  freed_until = kFarFuture;
  nodes_came = true;
  touched_nodes.push_back(node);
  released_tasks += static_cast<std::uint64_t>(std::max(0, slot.total.cpus()));
  ++released_nodes;
}

void Scheduler::Impl::node_gone(const NodeGone& gone) {
  if (!nodes.gone(gone.name)) return;
  ++up_generation;
  ++generation;
  plan_anew();
}

void Scheduler::Impl::set_partition(const PartitionPtr& partition) {
  auto [it, is_new] =
      queue_index.try_emplace(partition->name.str(), static_cast<std::uint32_t>(queues.size()));
  if (is_new) queues.emplace_back();
  auto& q = queues[it->second];
  const auto before = q.rules;
  const bool single = q.partition && q.partition->exclusive_user;
  q.partition = partition;
  q.arena_as_of = 0;
  q.rules = rules_of(partition->scheduling, settings);
  q.placement = placement_named(partition->scheduling.placement);
  learns_shapes |= partition->scheduling.placement == "fragmentation";
  ++generation;
  plan_anew();
  if (q.rules.predict != before.predict || q.rules.by_due != before.by_due ||
      q.rules.planned_by_user != before.planned_by_user || partition->exclusive_user != single)
    reclass();
}

const Partition* Scheduler::Impl::partition_named(const Istr& name) const {
  auto it = queue_index.find(name.str());
  return it == queue_index.end() ? nullptr : queues[it->second].partition.get();
}

void Scheduler::Impl::partition_gone(const Istr& name) {
  auto it = queue_index.find(name.str());
  if (it == queue_index.end() || !queues[it->second].partition) return;
  queues[it->second].partition = nullptr;
  ++generation;
  plan_anew();
}

void Scheduler::Impl::set_settings(const SchedulingSettings& to) {
  if (settings == to) return;
  settings = to;
  for (auto& q : queues)
    if (q.partition) q.rules = rules_of(q.partition->scheduling, settings);
  ++generation;
  plan_anew();
}

void Scheduler::Impl::set_topology(std::vector<Switch> to) {
  topology.set(to, nodes);
  switches = std::move(to);
  ++generation;
  plan_anew();
}

// Out of every queue and booking that knows it as it is now.
void Scheduler::Impl::unlink(Entry& entry) {
  const auto& job = *entry.job;
  if (entry.kind == Kind::kActive) {
    --active;
    release(entry.booking->id);
    entry.booking = nullptr;
    return;
  }
  --pending;
  auto& c = *classes[entry.job_class];
  if (entry.kind == Kind::kQueued) {
    c.queue.erase(key_of(entry));
    drop_plans_of(job.id);
    if (c.first == job.id) {
      c.first = 0;
      changed = true;
    }
  }
  if (entry.timer.is_set()) timers.erase({entry.timer, job.id});
  entry.timer = Time{};
  if (job.array) {
    auto it = arrays.find(job.array_id);
    if (it != arrays.end() && it->second.head == job.id) it->second.head = 0;
    if (it != arrays.end() && it->second.running == 0) arrays.erase(it);
  }
  leave_class(entry.job_class);
}

void Scheduler::Impl::remove_job(JobId id) {
  if (auto it = jobs.find(id); it != jobs.end()) {
    unlink(it->second);
    jobs.erase(it);
  }
  estimates.gone(id);
  drop_decided(id);
}

void Scheduler::Impl::set_job(const JobPtr& job, bool dependencies_met) {
  if (is_finished(job->state)) {
    if (auto it = jobs.find(job->id); it != jobs.end() && it->second.kind == Kind::kActive &&
                                      job->started.is_set() && job->ended >= job->started) {
      const auto* partition =
          it->second.job->allocation ? partition_named(it->second.job->allocation->partition) : nullptr;
      predictor.learn(job->spec->uid, cpus_asked(job->spec->request),
                      partition ? limit_in(*job->spec, *partition) : job->spec->time_limit,
                      run_time(*job, job->ended));
    }
    remove_job(job->id);
  } else if (is_active(job->state)) {
    set_active(job);
  } else {
    set_pending(job, dependencies_met);
  }
}

void Scheduler::Impl::set_active(const JobPtr& job) {
  if (auto it = jobs.find(job->id); it != jobs.end() && it->second.kind == Kind::kActive) {
    auto& entry = it->second;
    auto& old = *entry.booking;
    const bool same_end = entry.job->started == job->started && entry.job->spec == job->spec &&
                          entry.job->interruptions == job->interruptions &&
                          (entry.job->state == JobState::kSuspended) == (job->state == JobState::kSuspended);
    entry.job = job;
    Booking now = booking_of(*job);
    if (now.parts == old.parts && now.exclusive == old.exclusive &&
        now.exclusive_user == old.exclusive_user) {
      if (same_end) return;
      old.latest = now.latest;
      old.extensions = 0;
      if (now.to == old.to) return;
      const bool earlier = now.to < old.to;
      move_end(old, now.to);
      changed = true;
      if (earlier) touch_nodes(old);
    } else {
      release(old.id);
      entry.booking = acquire(std::move(now));
    }
    return;
  }
  Booking mine = booking_of(*job);
  // The start that this confirms: decided for the job itself, or for a task of the array whose head had it.
  JobId owner = job->id;
  if (auto array = arrays.find(job->array_id); job->array_id && array != arrays.end() && array->second.head)
    if (!decided.count(owner)) owner = array->second.head;
  Booking* booking = nullptr;
  if (auto it = decided.find(owner); it != decided.end()) {
    auto& list = it->second;
    for (auto candidate = list.begin(); candidate != list.end(); ++candidate) {
      auto& planned = *bookings.at(*candidate);
      if (planned.task != job->array_task) continue;
      if (planned.parts == mine.parts && planned.exclusive == mine.exclusive &&
          planned.exclusive_user == mine.exclusive_user)
        booking = &planned;
      else
        release(*candidate);
      list.erase(candidate);
      break;
    }
    if (list.empty()) decided.erase(it);
  }
  if (auto it = jobs.find(job->id); it != jobs.end()) {
    unlink(it->second);
    jobs.erase(it);
  }
  if (booking) {
    booking->job = job->id;
    booking->kind = Booking::kRunning;
    booking->latest = mine.latest;
    move_end(*booking, mine.to);
  } else {
    booking = acquire(std::move(mine));
  }
  Entry entry;
  entry.job = job;
  entry.kind = Kind::kActive;
  entry.booking = booking;
  jobs.emplace(job->id, std::move(entry));
  ++active;
}

void Scheduler::Impl::set_pending(const JobPtr& job, bool dependencies_met) {
  const bool was_decided = decided.count(job->id);
  auto it = jobs.find(job->id);
  if (it != jobs.end() && !was_decided && it->second.kind != Kind::kActive &&
      it->second.kind != Kind::kInFlight) {
    // Often only what is shown changed (the reason that we reported ourselves).
    auto& entry = it->second;
    const auto& old = *entry.job;
    if (old.spec == job->spec && old.priority == job->priority && old.submitted == job->submitted &&
        old.eligible == job->eligible && old.hold == job->hold && old.array == job->array &&
        old.failed_nodes == job->failed_nodes && entry.dependencies_met == dependencies_met) {
      if (entry.reported != job->reason || entry.expected != job->expected_start)
        unreported.push_back(job->id);
      entry.reported = job->reason;
      entry.expected = job->expected_start;
      entry.job = job;
      return;
    }
  }
  if (it != jobs.end()) {
    // Join the new class before leaving the old one, so that it is not unmade between.
    const auto joined = class_of(*job, false);
    auto& entry = it->second;
    unlink(entry);
    // Its place in the queue stays while it is the same job.
    const bool same = entry.job->spec == job->spec && entry.job->submitted == job->submitted;
    const auto due = entry.due;
    const auto predicted = entry.predicted;
    entry = Entry{};
    entry.job_class = joined;
    if (same) entry.due = due, entry.predicted = predicted;
  } else {
    it = jobs.emplace(job->id, Entry{}).first;
    it->second.job_class = class_of(*job, false);
    if (learns_shapes)
      fragmentation.came(
          job->spec->request,
          job->array ? static_cast<std::uint32_t>(std::min<std::uint64_t>(1000, job->array->waiting.count()))
                     : 1,
          nodes.names());
  }
  drop_decided(job->id);
  auto& entry = it->second;
  entry.job = job;
  entry.class_epoch = class_epoch;
  entry.dependencies_met = dependencies_met;
  entry.reported = job->reason;
  entry.expected = job->expected_start;
  ++pending;
  if (job->array) arrays[job->array_id].head = job->id;
  enqueue(entry, last_now);
}

// Finds the place of a pending job that is in no queue.
void Scheduler::Impl::enqueue(Entry& entry, Time now) {
  const auto& job = *entry.job;
  const auto& extras = job.spec->request.extras();
  const Time begin = job.spec->extras().begin;
  unreported.push_back(job.id);
  if (job.hold != Hold::kNone || !entry.dependencies_met) {
    entry.kind = Kind::kStopped;
    return;
  }
  if (begin > now) {
    entry.kind = Kind::kBegin;
    entry.timer = begin;
    timers.emplace(begin, job.id);
    return;
  }
  if (job.array) {
    if (array_is_full(job)) {
      entry.kind = Kind::kParked;
      return;
    }
    if (tasks_left(job, 0) == 0) {
      entry.kind = Kind::kInFlight;
      return;
    }
  }
  // How long it waits for few switches.
  bool any_switches = false;
  if (extras.switches && extras.switches_wait != kUnlimited) {
    const Time until = std::max(job.eligible, job.submitted) + extras.switches_wait;
    any_switches = until <= now;
    if (!any_switches && !entry.timer.is_set()) {
      entry.timer = until;
      timers.emplace(until, job.id);
    }
  }
  if (entry.any_switches != any_switches || entry.class_epoch != class_epoch) {
    const auto joined = class_of(job, any_switches);
    leave_class(entry.job_class);
    entry.job_class = joined;
    entry.any_switches = any_switches;
    entry.class_epoch = class_epoch;
  }
  entry.kind = Kind::kQueued;
  auto& c = *classes[entry.job_class];
  if (!entry.due.is_set()) set_due(entry);
  c.queue.insert(key_of(entry));
  joined.emplace_back(entry.job_class, job.id);
}

void Scheduler::Impl::fire_timers(Time now) {
  while (!timers.empty() && timers.begin()->first <= now) {
    auto& entry = jobs.at(timers.begin()->second);
    timers.erase(timers.begin());
    entry.timer = Time{};
    if (entry.kind == Kind::kQueued) {  // it waited long enough for few switches
      auto& c = *classes[entry.job_class];
      c.queue.erase(key_of(entry));
      drop_plans_of(entry.job->id);
      if (c.first == entry.job->id) c.first = 0;
    }
    enqueue(entry, now);
  }
}

}  // namespace bai::sokovan
