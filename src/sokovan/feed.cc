// Changes in: what the scheduler knows of nodes, partitions and jobs.
#include <algorithm>

#include "sokovan/impl.h"

namespace bai::sokovan {

NodeRoom NodeSlot::empty() const { return {cpus, cpus, mem, mem, 0, false, {}}; }

NodeRoom NodeSlot::now() const {
  NodeRoom room = empty();
  room.cpus_free = cpus > cpus_used ? cpus - cpus_used : 0;
  room.mem_free_mib = mem > mem_used ? mem - mem_used : 0;
  room.jobs = jobs;
  room.exclusive_use = exclusive_jobs != 0;
  room.tenancy = tenants.tenancy();
  return room;
}

void Scheduler::Impl::set_node(const NodeSet& set) {
  auto [it, is_new] = node_index.try_emplace(set.name.str(), static_cast<std::uint32_t>(nodes.size()));
  if (is_new) nodes.emplace_back().name = set.name;
  auto& node = nodes[it->second];
  if (!node.exists || node.cpus != set.cpus || node.mem != set.mem_mib || node.weight != set.weight ||
      node.features != set.features) {
    ++generation;
    dirty = true;
  } else if (node.usable == set.usable) {
    return;
  }
  dirty = true;
  node.exists = true;
  node.usable = set.usable;
  node.cpus = set.cpus;
  node.mem = set.mem_mib;
  node.weight = set.weight;
  node.features = set.features;
}

void Scheduler::Impl::set_partition(PartitionPtr partition) {
  ++generation;
  dirty = true;
  auto& slot = partitions[partition->name.str()];
  slot = std::move(partition);
}

std::uint64_t Scheduler::Impl::acquire(Held held) {
  const auto id = ++last_hold;
  for (const auto& part : held.parts) {
    auto& node = nodes[part.node];
    node.cpus_used += part.cpus;
    node.mem_used += part.mem;
    ++node.jobs;
    node.exclusive_jobs += held.exclusive;
    node.tenants.add(held.uid, held.exclusive_user);
  }
  for (const auto& [name, count] : held.licenses) licenses_used[name] += count;
  if (held.array) ++arrays[held.array].running;
  ends.emplace(held.end, id);
  holds.emplace(id, std::move(held));
  return id;
}

void Scheduler::Impl::release(std::uint64_t id) {
  auto it = holds.find(id);
  if (it == holds.end()) return;
  const Held held = std::move(it->second);
  holds.erase(it);
  ends.erase({held.end, id});
  for (const auto& part : held.parts) {
    auto& node = nodes[part.node];
    node.cpus_used -= part.cpus;
    node.mem_used -= part.mem;
    --node.jobs;
    node.exclusive_jobs -= held.exclusive;
    node.tenants.remove(held.uid, held.exclusive_user);
  }
  for (const auto& [name, count] : held.licenses) licenses_used[name] -= count;
  dirty = true;
  if (!held.array) return;
  --arrays[held.array].running;
  unpark(held.array);
}

bool Scheduler::Impl::array_is_full(const Job& job) const {
  if (!job.array || job.array->max_running == 0) return false;
  auto it = arrays.find(job.array_id);
  return it != arrays.end() && it->second.running >= job.array->max_running;
}

// After an array's count went down.
void Scheduler::Impl::unpark(JobId array) {
  auto it = arrays.find(array);
  if (it == arrays.end()) return;
  if (it->second.running == 0 && it->second.head == 0) {
    arrays.erase(it);
    return;
  }
  auto head = jobs.find(it->second.head);
  if (head == jobs.end() || head->second.kind != Kind::kParked) return;
  if (!array_is_full(*head->second.job)) enqueue(head->second, last_now);
}

void Scheduler::Impl::drop_decided(JobId id) {
  auto it = decided.find(id);
  if (it == decided.end()) return;
  const auto list = std::move(it->second);
  decided.erase(it);
  for (auto hold : list) release(hold);
}

Held Scheduler::Impl::held_of(const Job& job) const {
  Held held;
  held.job = job.id;
  held.array = job.array_id;
  held.task = job.array_task;
  held.exclusive = job.spec->request.exclusive;
  held.exclusive_user = job.spec->request.exclusive_user;
  held.uid = job.spec->uid;
  held.end = kFarFuture;
  if (!job.allocation) return held;
  if (auto it = partitions.find(job.allocation->partition.str()); it != partitions.end()) {
    held.exclusive |= it->second->oversubscribe_exclusive;
    const auto limit = limit_in(*job.spec, *it->second);
    if (limit != kUnlimited) held.end = (job.started.is_set() ? job.started : last_now) + limit;
  } else if (job.spec->time_limit > 0) {
    held.end = (job.started.is_set() ? job.started : last_now) + job.spec->time_limit;
  }
  for (const auto& share : job.allocation->nodes) {
    auto it = node_index.find(share.node.str());
    if (it != node_index.end()) held.parts.push_back({it->second, share.cpus, share.mem_mib});
  }
  if (auto licenses = parse_licenses(job.spec->request.licenses)) held.licenses = *std::move(licenses);
  return held;
}

// Out of every queue and hold that knows it as it is now.
void Scheduler::Impl::unlink(Entry& entry) {
  const auto& job = *entry.job;
  if (entry.kind == Kind::kActive) {
    --active;
    release(entry.hold);
    entry.hold = 0;
    return;
  }
  --pending;
  if (entry.kind == Kind::kQueued) {
    auto& c = *classes[entry.job_class];
    c.queue.erase({job.priority, job.id, job.submitted});
    if (c.head == job.id) {  // what was reserved for it is anyone's now
      c.head = 0;
      dirty = true;
    }
  } else if (entry.kind == Kind::kBegin) {
    begins.erase({job.spec->extras().begin, job.id});
  }
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
  drop_decided(id);
}

void Scheduler::Impl::set_job(const JobPtr& job, bool dependencies_met) {
  if (is_finished(job->state))
    remove_job(job->id);
  else if (is_active(job->state))
    set_active(job);
  else
    set_pending(job, dependencies_met);
}

void Scheduler::Impl::set_active(const JobPtr& job) {
  if (auto it = jobs.find(job->id); it != jobs.end() && it->second.kind == Kind::kActive) {
    auto& entry = it->second;
    auto& old = holds.at(entry.hold);
    Held held = held_of(*job);
    if (held.parts == old.parts && held.exclusive == old.exclusive) {
      if (held.end != old.end) {
        ends.erase({old.end, entry.hold});
        old.end = held.end;
        ends.emplace(old.end, entry.hold);
      }
    } else {
      release(entry.hold);
      entry.hold = acquire(std::move(held));
    }
    entry.job = job;
    return;
  }
  Held held = held_of(*job);
  // The start that this confirms: decided for the job itself, or for a task of the array whose head had it.
  JobId owner = job->id;
  if (auto array = arrays.find(job->array_id); job->array_id && array != arrays.end() && array->second.head)
    if (!decided.count(owner)) owner = array->second.head;
  std::uint64_t hold = 0;
  if (auto it = decided.find(owner); it != decided.end()) {
    auto& list = it->second;
    for (auto candidate = list.begin(); candidate != list.end(); ++candidate) {
      const auto& planned = holds.at(*candidate);
      if (planned.task != job->array_task) continue;
      if (planned.parts == held.parts && planned.exclusive == held.exclusive)
        hold = *candidate;
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
  if (hold) {
    auto& planned = holds.at(hold);
    planned.job = job->id;
    planned.decided = false;
    ends.erase({planned.end, hold});
    if (job->started.is_set() || held.end == kFarFuture) planned.end = held.end;
    ends.emplace(planned.end, hold);
  } else {
    hold = acquire(std::move(held));
  }
  Entry entry;
  entry.job = job;
  entry.kind = Kind::kActive;
  entry.hold = hold;
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
        old.hold == job->hold && old.array == job->array && entry.dependencies_met == dependencies_met) {
      if (entry.reported != job->reason) unreported.push_back(job->id);
      entry.reported = job->reason;
      entry.job = job;
      return;
    }
  }
  if (it != jobs.end()) {
    // Join the new class before leaving the old one, so that it is not unmade between.
    const auto joined = class_of(job);
    unlink(it->second);
    it->second = Entry{};
    it->second.job_class = joined;
  } else {
    it = jobs.emplace(job->id, Entry{}).first;
    it->second.job_class = class_of(job);
  }
  drop_decided(job->id);
  auto& entry = it->second;
  entry.job = job;
  entry.dependencies_met = dependencies_met;
  entry.reported = job->reason;
  ++pending;
  if (job->array) arrays[job->array_id].head = job->id;
  enqueue(entry, last_now);
}

// Finds the place of a pending job that is in no queue.
void Scheduler::Impl::enqueue(Entry& entry, Time now) {
  const auto& job = *entry.job;
  const Time begin = job.spec->extras().begin;
  unreported.push_back(job.id);
  if (job.hold != Hold::kNone || !entry.dependencies_met) {
    entry.kind = Kind::kStopped;
    return;
  }
  if (begin > now) {
    entry.kind = Kind::kBegin;
    begins.emplace(begin, job.id);
    return;
  }
  if (job.array) {
    if (array_is_full(job)) {
      entry.kind = Kind::kParked;
      return;
    }
    if (job.array->waiting.empty()) {
      entry.kind = Kind::kInFlight;
      return;
    }
  }
  entry.kind = Kind::kQueued;
  const QueueKey key{job.priority, job.id, job.submitted};
  classes[entry.job_class]->queue.insert(key);
  touch(entry.job_class, key);
}

// A job joined the queue: what has to be tried because of it.
void Scheduler::Impl::touch(std::uint32_t job_class, const QueueKey& key) {
  auto& c = *classes[job_class];
  if (dirty || (c.blocked && *c.queue.begin() != key)) return;  // an equal one before it did not fit
  refresh(c);
  for (const auto& reservation : reservations)
    if (c.tier > reservation.tier || (c.tier == reservation.tier && key < reservation.key)) dirty = true;
  if (!licenses_claimed.empty() || in_pass) dirty = true;
  if (!dirty) touched.push_back(job_class);
}

}  // namespace bai::sokovan
