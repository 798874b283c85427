// A pass: who starts now, and why the others do not.
#include <algorithm>

#include "base/hostlist.h"
#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

Time end_of(Time now, Seconds limit) { return limit == kUnlimited ? kFarFuture : now + limit; }

bool includes(const Licenses& total, const Licenses& used, const Licenses& claimed, const Licenses& wanted) {
  auto get = [](const Licenses& from, const std::string& name) -> std::uint64_t {
    auto it = from.find(name);
    return it == from.end() ? 0 : it->second;
  };
  for (const auto& [name, count] : wanted)
    if (get(used, name) + get(claimed, name) + count > get(total, name)) return false;
  return true;
}

void take(NodeRoom& room, std::uint32_t cpus, std::uint64_t mem, const Sharing& sharing) {
  room.cpus_free -= std::min(room.cpus_free, cpus);
  room.mem_free_mib -= std::min(room.mem_free_mib, mem);
  ++room.jobs;
  room.exclusive_use |= sharing.exclusive;
  room.tenancy.add(sharing.uid, sharing.exclusive_user);
}

}  // namespace

// What the job may use of a node now without taking what a reservation needs at its time.
NodeRoom Scheduler::Impl::room_for(std::uint32_t index, const Wish& wish, Time end) const {
  const auto& node = nodes[index];
  if (!node.usable || !node.exists) return {};
  NodeRoom room = node.now();
  for (const auto& reservation : reservations) {
    if (reservation.at != kFarFuture && end <= reservation.at) continue;
    auto it = reservation.left.find(index);
    if (it == reservation.left.end()) continue;
    if (wish.exclusive || it->second.exclusive_use) return {};
    if (!it->second.tenancy.admits(wish.uid, wish.exclusive_user)) return {};
    room.cpus_free = std::min(room.cpus_free, it->second.cpus_free);
    room.mem_free_mib = std::min(room.mem_free_mib, it->second.mem_free_mib);
  }
  return room;
}

bool Scheduler::Impl::licenses_free(const JobClass& c) const {
  return includes(licenses_total, licenses_used, licenses_claimed, c.licenses);
}

void Scheduler::Impl::begin_pass() {
  in_pass = true;
  dirty = false;
  heap.clear();
  reservations.clear();
  licenses_claimed.clear();
  touched.clear();
  for (std::uint32_t i = 0; i < classes.size(); ++i) {
    if (!classes[i] || classes[i]->queue.empty()) continue;
    refresh(*classes[i]);
    heap.push_back({classes[i]->tier, *classes[i]->queue.begin(), i});
  }
  std::make_heap(heap.begin(), heap.end());
}

// Nothing came free since the last pass, whose reservations stand: only new heads behind them are tried.
void Scheduler::Impl::begin_small_pass() {
  in_pass = true;
  heap.clear();
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (auto i : touched)
    if (classes[i] && !classes[i]->queue.empty()) {
      refresh(*classes[i]);
      heap.push_back({classes[i]->tier, *classes[i]->queue.begin(), i});
    }
  touched.clear();
  std::make_heap(heap.begin(), heap.end());
}

Decisions Scheduler::Impl::decide(Time now, const Budget& budget) {
  Decisions out;
  last_now = std::max(last_now, now);
  while (!begins.empty() && begins.begin()->first <= now) {
    const auto id = begins.begin()->second;
    begins.erase(begins.begin());
    enqueue(jobs.at(id), now);
  }
  if (!in_pass && dirty) begin_pass();
  if (!in_pass && !touched.empty()) begin_small_pass();
  while (in_pass) {
    if (heap.empty()) {
      in_pass = false;
      break;
    }
    if (out.starts.size() >= std::max(1u, budget.max_starts) ||
        (budget.max_jobs && out.jobs_tried >= budget.max_jobs))
      break;
    std::pop_heap(heap.begin(), heap.end());
    const auto ranked = heap.back();
    heap.pop_back();
    auto* c = ranked.job_class < classes.size() ? classes[ranked.job_class].get() : nullptr;
    if (!c || c->queue.empty()) continue;
    refresh(*c);
    auto& entry = jobs.at(c->queue.begin()->id);
    ++out.jobs_tried;
    c->blocked = false;
    if (array_is_full(*entry.job)) {  // its tasks' records came after the head's
      park(*c, entry);
    } else if (!try_start(*c, entry, now, out)) {
      block(*c, entry, now, out);
      continue;
    }
    if (c->queue.empty()) continue;
    heap.push_back({c->tier, *c->queue.begin(), ranked.job_class});
    std::push_heap(heap.begin(), heap.end());
  }
  // A pass that was cut short, or changes that came while one was, need another call.
  out.complete = !in_pass && !dirty;
  if (out.complete) flush_reports(out);
  if (!begins.empty()) out.next_wakeup = begins.begin()->first;
  return out;
}

bool Scheduler::Impl::try_start(JobClass& c, Entry& entry, Time now, Decisions& out) {
  if (c.bad_licenses || !licenses_free(c)) return false;
  for (const auto& option : c.options) {
    if (option.reason != Reason::kNone) continue;
    const Time end = end_of(now, option.limit);
    const auto picks = place(option.domain->nodes, option.wish,
                             [&](std::uint32_t node) { return room_for(node, option.wish, end); });
    if (picks.empty()) continue;
    start(c, entry, option, picks, now, out);
    return true;
  }
  return false;
}

std::shared_ptr<const Allocation> Scheduler::Impl::allocation_of(const Option& option,
                                                                 const std::vector<Pick>& picks) const {
  auto allocation = std::make_shared<Allocation>();
  allocation->partition = option.partition->name;
  for (const auto& pick : picks) {
    auto share = share_of(option.wish, pick.tasks, nodes[pick.node].empty());
    share.node = nodes[pick.node].name;
    allocation->nodes.push_back(std::move(share));
  }
  return allocation;
}

void Scheduler::Impl::start(JobClass& c, Entry& entry, const Option& option, const std::vector<Pick>& picks,
                            Time now, Decisions& out) {
  const auto& job = *entry.job;
  const auto allocation = allocation_of(option, picks);
  Held held;
  held.job = job.id;
  held.array = job.array_id;
  held.task = job.array_task;
  held.exclusive = option.wish.exclusive;
  held.exclusive_user = option.wish.exclusive_user;
  held.uid = job.spec->uid;
  held.decided = true;
  held.end = end_of(now, option.limit);
  held.licenses = c.licenses;
  for (std::size_t i = 0; i < picks.size(); ++i)
    held.parts.push_back({picks[i].node, allocation->nodes[i].cpus, allocation->nodes[i].mem_mib});
  Start start{job.id, kNoTask, allocation};
  bool more = false;
  if (job.array) {
    // Tasks are decided from the lowest up, so the last decided one tells where to go on.
    const auto& waiting = job.array->waiting;
    std::uint32_t from = 0;
    if (auto it = decided.find(job.id); it != decided.end()) from = holds.at(it->second.back()).task + 1;
    start.task = held.task = *waiting.next(from);
    more = start.task != kNoTask && waiting.next(start.task + 1).has_value();
  }
  take_from_reservations(held);
  decided[job.id].push_back(acquire(std::move(held)));
  out.starts.push_back(std::move(start));
  if (c.head == job.id) c.head = 0;
  if (more && array_is_full(job)) return park(c, entry);
  if (more) return;
  c.queue.erase({job.priority, job.id, job.submitted});
  entry.kind = Kind::kInFlight;
}

void Scheduler::Impl::park(JobClass& c, Entry& entry) {
  const auto& job = *entry.job;
  c.queue.erase({job.priority, job.id, job.submitted});
  entry.kind = Kind::kParked;
  unreported.push_back(job.id);
}

// A job that runs past a reservation's time lives on what the reservation leaves over.
void Scheduler::Impl::take_from_reservations(const Held& held) {
  for (auto& reservation : reservations) {
    if (reservation.at != kFarFuture && held.end <= reservation.at) continue;
    for (const auto& part : held.parts)
      if (auto it = reservation.left.find(part.node); it != reservation.left.end())
        take(it->second, part.cpus, part.mem, {held.exclusive, held.exclusive_user, held.uid});
  }
}

bool Scheduler::Impl::find_shadow(const Option& option, Time now, Time& at, std::vector<Pick>& picks,
                                  std::map<std::uint32_t, NodeRoom>& rooms) const {
  std::vector<std::uint64_t> order;  // holds, by their end
  order.reserve(ends.size());
  for (const auto& [end, hold] : ends) order.push_back(hold);
  std::vector<NodeRoom> room(nodes.size());
  // The rooms once the first `count` have ended.
  auto try_after = [&](std::size_t count) {
    for (auto node : option.domain->nodes) room[node] = nodes[node].usable ? nodes[node].now() : NodeRoom{};
    std::vector<std::uint32_t> exclusive(nodes.size());
    for (auto node : option.domain->nodes) exclusive[node] = nodes[node].exclusive_jobs;
    for (std::size_t i = 0; i < count; ++i) {
      const auto& held = holds.at(order[i]);
      for (const auto& part : held.parts) {
        auto& r = room[part.node];
        if (r.cpus_total == 0) continue;
        r.cpus_free = std::min(r.cpus_total, r.cpus_free + part.cpus);
        r.mem_free_mib = std::min(r.mem_total_mib, r.mem_free_mib + part.mem);
        if (r.jobs && --r.jobs == 0) r.tenancy = {};
        if (held.exclusive && exclusive[part.node] && --exclusive[part.node] == 0) r.exclusive_use = false;
      }
    }
    return place(option.domain->nodes, option.wish, [&](std::uint32_t node) { return room[node]; });
  };
  // More ends never leave less room: the fewest ends that do are found by halving.
  std::size_t low = 0, high = order.size();
  picks = try_after(high);
  if (picks.empty()) return false;
  while (low < high) {
    const auto middle = low + (high - low) / 2;
    if (try_after(middle).empty())
      low = middle + 1;
    else
      high = middle;
  }
  picks = try_after(low);
  // A job past its limit is about to end.
  at = low == 0 ? now : std::max(now + 1, holds.at(order[low - 1]).end);
  // Others that end by then leave room too: what the reservation does not need of it is anyone's.
  std::size_t through = low;
  while (at != kFarFuture && through < order.size() && holds.at(order[through]).end <= at) ++through;
  if (through != low) try_after(through);
  for (const auto& pick : picks) rooms[pick.node] = room[pick.node];
  return true;
}

void Scheduler::Impl::reserve(const JobClass& c, const Option& option, const Job& job, Time at,
                              const std::vector<Pick>& picks,
                              const std::map<std::uint32_t, NodeRoom>& rooms) {
  Reservation reservation{
      option.partition->name.str(), c.tier, {job.priority, job.id, job.submitted}, at, rooms};
  for (const auto& pick : picks) {
    const auto share = share_of(option.wish, pick.tasks, nodes[pick.node].empty());
    take(reservation.left.at(pick.node), share.cpus, share.mem_mib,
         {option.wish.exclusive, option.wish.exclusive_user, job.spec->uid});
  }
  reservations.push_back(std::move(reservation));
}

void Scheduler::Impl::block(JobClass& c, Entry& entry, Time now, Decisions& out) {
  const JobId id = entry.job->id;
  c.blocked = true;
  if (c.options.empty()) return say_class(c, 0, Reason::kPartitionDown, "there is no such partition", out);
  if (c.bad_licenses) return say_class(c, 0, Reason::kLicenses, "the licences cannot be read", out);
  const auto possible = std::find_if(c.options.begin(), c.options.end(),
                                     [](const Option& o) { return o.reason == Reason::kNone; });
  if (possible == c.options.end()) return say_class(c, 0, c.options[0].reason, c.options[0].detail, out);
  if (!licenses_free(c)) {
    if (!includes(licenses_total, {}, {}, c.licenses))
      return say_class(c, 0, Reason::kLicenses, "more than there are", out);
    // Later jobs must not take one by one what this one waits for.
    for (const auto& [name, count] : c.licenses) licenses_claimed[name] += count;
    say_class(c, id, Reason::kPriority, {}, out);
    return say_head(c, entry, Reason::kLicenses, {}, {}, out);
  }
  // The first blocked one of a partition gets a reservation; of several partitions, where it starts first.
  const Option* best = nullptr;
  Time best_at;
  std::vector<Pick> best_picks;
  std::map<std::uint32_t, NodeRoom> best_rooms;
  bool ever = false, taken = false;
  for (const auto& option : c.options) {
    if (option.reason != Reason::kNone) continue;
    if (std::any_of(reservations.begin(), reservations.end(),
                    [&](const Reservation& r) { return r.partition == option.partition->name.view(); })) {
      taken = true;
      continue;
    }
    Time at;
    std::vector<Pick> picks;
    std::map<std::uint32_t, NodeRoom> rooms;
    if (!find_shadow(option, now, at, picks, rooms)) continue;
    ever = true;
    if (best && best_at <= at) continue;
    best = &option;
    best_at = at;
    best_picks = std::move(picks);
    best_rooms = std::move(rooms);
  }
  if (!ever) {
    if (taken) return say_class(c, 0, Reason::kPriority, {}, out);
    return say_class(c, 0, Reason::kReqNodeNotAvail, "nodes that it needs are down or drained", out);
  }
  reserve(c, *best, *entry.job, best_at, best_picks, best_rooms);
  for (const auto& [name, count] : c.licenses) licenses_claimed[name] += count;
  say_class(c, id, Reason::kPriority, {}, out);
  const bool known = best_at != kFarFuture && best_at > now;
  std::string detail;
  if (entry.reported != Reason::kResources) {
    std::vector<std::string> names;
    for (const auto& pick : best_picks) names.push_back(nodes[pick.node].name.str());
    detail = "next on " + compress_hostlist_sorted(std::move(names));
  }
  say_head(c, entry, Reason::kResources, detail, known ? best_at : Time{}, out);
}

}  // namespace bai::sokovan
