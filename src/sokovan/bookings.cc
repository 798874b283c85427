// What jobs hold: from the decision to start them to their end.
#include <algorithm>

#include "sokovan/impl.h"

namespace bai::sokovan {

std::pair<Time, Time> Scheduler::Impl::ends_of(const Job& job) const {
  Seconds limit = job.spec->time_limit ? job.spec->time_limit : kUnlimited;
  bool predict = false;
  if (auto it = queue_index.find(job.allocation->partition.str()); it != queue_index.end())
    if (const auto& q = queues[it->second]; q.partition) {
      limit = limit_in(*job.spec, *q.partition);
      predict = q.rules.predict;
    }
  if (job.state == JobState::kSuspended) return {kUnknownEnd, kUnknownEnd};
  Time start = job.started.is_set() ? job.started : last_now;
  start.us += suspended_us(job, last_now);
  const Time latest = limit == kUnlimited ? kUnknownEnd : start + limit;
  if (!predict) return {latest, latest};
  const auto expected = predictor.predict_by_last_two(job.spec->uid, limit);
  return {expected == kUnlimited ? latest : start + expected, latest};
}

Booking Scheduler::Impl::booking_of(const Job& job) {
  Booking booking;
  booking.job = job.id;
  booking.array = job.array_id;
  booking.task = job.array_task;
  booking.uid = job.spec->uid;
  booking.exclusive = job.spec->request.exclusive;
  booking.exclusive_user = job.spec->request.exclusive_user;
  booking.to = booking.latest = kUnknownEnd;
  if (auto wanted = parse_licenses(job.spec->request.licenses)) booking.licenses = licenses.needs(*wanted);
  if (!job.allocation) return booking;
  std::tie(booking.to, booking.latest) = ends_of(job);
  if (auto it = queue_index.find(job.allocation->partition.str()); it != queue_index.end())
    if (const auto& partition = queues[it->second].partition) {
      booking.exclusive |= partition->oversubscribe_exclusive;
      booking.exclusive_user |= partition->exclusive_user;
    }
  for (const auto& share : job.allocation->nodes) {
    std::uint32_t node = 0;
    const auto* slot = nodes.find(share.node, &node);
    if (!slot) continue;
    booking.parts.push_back({node,
                             {saturated(share.cpus), saturated(share.mem_mib),
                              slot->layout.slots_of(share.devices, nodes.names())}});
  }
  return booking;
}

Booking* Scheduler::Impl::acquire(Booking booking) {
  booking.id = ++last_booking;
  auto& slot = bookings[booking.id];
  slot = std::make_unique<Booking>(std::move(booking));
  nodes.add(*slot);
  licenses.add(*slot);
  ends.emplace(slot->to, slot->id);
  if (slot->array) ++arrays[slot->array].running;
  return slot.get();
}

void Scheduler::Impl::release(std::uint64_t id) {
  auto it = bookings.find(id);
  if (it == bookings.end()) return;
  const auto booking = std::move(it->second);
  bookings.erase(it);
  ends.erase({booking->to, id});
  nodes.remove(*booking);
  licenses.remove(*booking);
  touch_nodes(*booking);
  if (!booking->array) return;
  --arrays[booking->array].running;
  unpark(booking->array);
}

// Something came free there, now or later.
void Scheduler::Impl::touch_nodes(const Booking& booking) {
  changed = true;
  freed_until = std::max(freed_until, booking.to);
  touched_licenses |= !booking.licenses.empty();
  for (const auto& part : booking.parts) {
    touched_nodes.push_back(part.node);
    // Nobody can get more of the node than is free of it now.
    released_tasks +=
        static_cast<std::uint64_t>(std::max(0, nodes[part.node].timeline.segments()[0].free.cpus()));
  }
  released_nodes += booking.parts.size();
}

void Scheduler::Impl::move_end(Booking& booking, Time to) {
  if (booking.to == to) return;
  ends.erase({booking.to, booking.id});
  licenses.move_end(booking, to);
  nodes.move_end(booking, to);
  ends.emplace(to, booking.id);
}

// What should have ended and has not: predictions are extended, jobs past their limit are about to end.
void Scheduler::Impl::extend_overdue(Time now) {
  while (!ends.empty() && ends.begin()->first <= now) {
    auto& booking = *bookings.at(ends.begin()->second);
    Time to = booking.to;
    while (to <= now && to < booking.latest)
      to = std::min(booking.latest, to + Predictor::extension(booking.extensions++));
    // Nobody knows; who is late for long is going to be late for as long again. In steps, so that it does not matter when we look.
    if (to <= now) {
      to = Time{booking.latest.us + 1};
      for (Seconds late = 1; to <= now; late *= 2) to = booking.latest + late;
    }
    move_end(booking, to);
    changed = true;
  }
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
  for (auto booking : list) release(booking);
}

}  // namespace bai::sokovan
