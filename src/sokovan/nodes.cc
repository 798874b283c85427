#include "sokovan/nodes.h"

#include <algorithm>

namespace bai::sokovan {

const NodeSlot* Nodes::find(std::string_view name, std::uint32_t* index) const {
  auto it = index_.find(std::string(name));
  if (it == index_.end()) return nullptr;
  if (index) *index = it->second;
  return &slots_[it->second];
}

Nodes::Changed Nodes::set(const NodeSet& set) {
  auto [it, is_new] = index_.try_emplace(set.name.str(), static_cast<std::uint32_t>(slots_.size()));
  if (is_new) slots_.emplace_back().name = set.name;
  auto& slot = slots_[it->second];
  const bool members = is_new || slot.weight != set.weight;
  const bool shape = !slot.exists || slot.total.cpus() != saturated(set.cpus) ||
                     slot.total.mem() != saturated(set.mem_mib) || slot.features != set.features ||
                     slot.devices != set.devices || slot.sockets != set.sockets ||
                     slot.cores != set.cores_per_socket || slot.threads != set.threads_per_core ||
                     slot.tmp_mib != set.tmp_mib;
  if (!members && !shape && slot.usable == set.usable) return Changed::kNothing;
  slot.exists = true;
  slot.usable = set.usable;
  slot.weight = set.weight;
  slot.features = set.features;
  slot.sockets = set.sockets;
  slot.cores = set.cores_per_socket;
  slot.threads = set.threads_per_core;
  slot.tmp_mib = set.tmp_mib;
  if (shape) {
    slot.devices = set.devices;
    slot.layout = Layout(set.devices, names_);
    slot.total = Amounts(saturated(set.cpus), saturated(set.mem_mib));
    if (slot.layout.slots) slot.layout.summarise(slot.layout.all().data(), slot.total);
  }
  if (members) forget_arenas();
  if (shape) rebuild(it->second);
  log_.push_back({it->second, kBeginning, kFarFuture});
  update(it->second);
  return members ? Changed::kMembers : shape ? Changed::kShape : Changed::kUsable;
}

bool Nodes::gone(std::string_view name) {
  std::uint32_t node = 0;
  if (!find(name, &node) || !slots_[node].exists) return false;
  slots_[node].exists = slots_[node].usable = false;  // what still runs there stays booked
  log_.push_back({node, kBeginning, kFarFuture});
  update(node);
  return true;
}

void Nodes::forget_arenas() {
  for (auto& slot : slots_) slot.places.clear();
  arenas_.clear();
  arena_of_.clear();
  ++arena_generation_;
}

std::uint32_t Nodes::arena(const std::vector<Istr>& members) {
  std::vector<std::uint32_t> list;
  for (const auto& name : members)
    if (auto it = index_.find(name.str()); it != index_.end()) list.push_back(it->second);
  auto [it, is_new] = arena_of_.try_emplace(std::move(list), static_cast<std::uint32_t>(arenas_.size()));
  if (!is_new) return it->second;
  std::vector<Arena::Member> order;
  for (auto node : it->first) order.push_back({node, slots_[node].weight});
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.weight < b.weight; });
  arenas_.push_back(std::make_unique<Arena>(std::move(order)));
  for (std::uint32_t i = 0; i < arenas_.back()->size(); ++i) {
    const auto node = arenas_.back()->node(i);
    slots_[node].places.push_back({it->second, i});
    update(node);
  }
  return it->second;
}

void Nodes::update(std::uint32_t node) {
  const auto& slot = slots_[node];
  const auto& timeline = slot.timeline;
  std::array<Amounts, kHorizons.size()> free;
  free.fill(Amounts::nothing());
  if (slot.exists && slot.usable) {
    // Only planned starts take something in the future.
    free.fill(timeline.segments()[0].free);
    if (slot.plans) timeline.lowest(now_, std::span(horizons_).subspan(1), std::span(free).subspan(1));
  }
  for (const auto& place : slot.places) {
    auto& arena = *arenas_[place.arena];
    arena.set_total(place.position, slot.exists ? slot.total : Amounts::nothing());
    for (std::size_t i = 0; i < free.size(); ++i) arena.set_free(place.position, i, free[i]);
  }
}

Taken Nodes::taken_by(const Booking& booking, const Booking::Part& part) const {
  if (!booking.exclusive) return part.taken;
  const auto& slot = slots_[part.node];
  Taken all{std::max(slot.total.cpus(), part.taken.cpus), std::max(slot.total.mem(), part.taken.mem), {}};
  const auto full = slot.layout.full();
  for (std::uint32_t i = 0; i < full.size(); ++i) all.devices.push_back({i, full[i]});
  return all;
}

void Nodes::rebuild(std::uint32_t node) {
  auto& slot = slots_[node];
  slot.timeline.reset(slot.total, &slot.layout);
  for (const auto& seat : slot.seats)
    slot.timeline.take(seat.booking->from, seat.booking->to,
                       taken_by(*seat.booking, seat.booking->parts[seat.part]));
  slot.timeline.trim(now_);
}

void Nodes::add(const Booking& booking) {
  for (std::uint32_t i = 0; i < booking.parts.size(); ++i) {
    const auto& part = booking.parts[i];
    auto& slot = slots_[part.node];
    slot.timeline.take(booking.from, booking.to, taken_by(booking, part));
    slot.timeline.trim(now_);
    slot.seats.push_back({&booking, i});
    ++(booking.kind == Booking::kPlanned ? slot.plans : slot.jobs);
    slot.closed += booking.exclusive_user;
    closed_ += booking.exclusive_user;
    log_.push_back({part.node, booking.from, booking.to});
    update(part.node);
  }
}

void Nodes::remove(const Booking& booking) {
  for (const auto& part : booking.parts) {
    auto& slot = slots_[part.node];
    slot.timeline.give(booking.from, booking.to, taken_by(booking, part));
    slot.timeline.trim(now_);
    // Order does not matter: a timeline is a sum.
    auto it = std::find_if(slot.seats.begin(), slot.seats.end(),
                           [&](const Seat& seat) { return seat.booking == &booking; });
    *it = slot.seats.back();
    slot.seats.pop_back();
    --(booking.kind == Booking::kPlanned ? slot.plans : slot.jobs);
    slot.closed -= booking.exclusive_user;
    closed_ -= booking.exclusive_user;
    log_.push_back({part.node, booking.from, booking.to});
    update(part.node);
  }
}

void Nodes::move_end(Booking& booking, Time to) {
  for (const auto& part : booking.parts) {
    auto& slot = slots_[part.node];
    const auto taken = taken_by(booking, part);
    if (to > booking.to)
      slot.timeline.take(booking.to, to, taken);
    else
      slot.timeline.give(to, booking.to, taken);
    slot.timeline.trim(now_);
    log_.push_back({part.node, std::min(to, booking.to), std::max(to, booking.to)});
    update(part.node);
  }
  booking.to = to;
}

void Nodes::begin_pass(Time now) {
  now_ = now;
  for (std::size_t i = 0; i < kHorizons.size(); ++i) horizons_[i] = now + kHorizons[i];
  for (std::uint32_t node = 0; node < slots_.size(); ++node)
    if (slots_[node].plans) update(node);
}

std::size_t Nodes::horizon_before(Time end) const {
  std::size_t i = kHorizons.size() - 1;
  while (i > 0 && horizons_[i] > end) --i;
  return i;
}

NodeRoom Nodes::room(std::uint32_t node) const {
  const auto& slot = slots_[node];
  const Amounts free = slot.timeline.segments()[0].free;
  auto count = [](std::int32_t n) { return static_cast<std::uint32_t>(std::max(0, n)); };
  NodeRoom room;
  room.cpus_total = count(slot.total.cpus());
  room.cpus_free = count(free.cpus());
  room.mem_total_mib = count(slot.total.mem());
  room.mem_free_mib = count(free.mem());
  room.jobs = slot.jobs;
  for (const auto& seat : slot.seats) {
    if (seat.booking->kind == Booking::kPlanned) continue;
    room.exclusive_use |= seat.booking->exclusive;
    room.tenancy.add(seat.booking->uid, seat.booking->exclusive_user);
  }
  if (slot.layout.slots) {
    room.devices.groups = slot.devices;
    const auto* slots = slot.timeline.slots(0);
    for (std::uint32_t i = 0; i < slot.layout.slots; ++i)
      room.devices.free.push_back(static_cast<DeviceAmount>(std::max<SlotAmount>(0, slots[i])));
  }
  return room;
}

std::string Nodes::check(Time now) const {
  for (std::uint32_t node = 0; node < slots_.size(); ++node) {
    const auto& slot = slots_[node];
    Timeline fresh;
    fresh.reset(slot.total, &slot.layout);
    std::uint32_t plans = 0;
    for (const auto& seat : slot.seats) {
      fresh.take(seat.booking->from, seat.booking->to,
                 taken_by(*seat.booking, seat.booking->parts[seat.part]));
      plans += seat.booking->kind == Booking::kPlanned;
    }
    Timeline mine = slot.timeline;
    fresh.trim(now);
    mine.trim(now);
    if (!(fresh == mine)) return slot.name.str() + ": its timeline is not what is booked";
    if (plans != slot.plans || slot.seats.size() - plans != slot.jobs)
      return slot.name.str() + ": miscounted";
    for (const auto& place : slot.places) {
      const auto& arena = *arenas_[place.arena];
      const bool usable = slot.exists && slot.usable;
      const auto now_free = usable ? slot.timeline.segments()[0].free : Amounts::nothing();
      if (!(arena.free(0).at(place.position) == now_free))
        return slot.name.str() + ": its leaf is not what is free";
    }
  }
  return {};
}

}  // namespace bai::sokovan
