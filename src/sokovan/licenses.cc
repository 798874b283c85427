#include "sokovan/licenses.h"

namespace bai::sokovan {

LicenseNeeds Licenses::needs(const std::map<std::string, std::uint32_t>& wanted) {
  LicenseNeeds out;
  for (const auto& [name, count] : wanted) {
    auto [it, is_new] = index_.try_emplace(name, static_cast<std::uint32_t>(slots_.size()));
    if (is_new) slots_.emplace_back().name = name;
    if (count) out.emplace_back(it->second, saturated(count));
  }
  return out;
}

void Licenses::set(const std::map<std::string, std::uint32_t>& total) {
  needs(total);
  for (auto& slot : slots_) {
    auto it = total.find(slot.name);
    const auto count = it == total.end() ? 0 : saturated(it->second);
    const Taken more{slot.total - count, 0, {}};
    slot.timeline.take(kBeginning, kFarFuture, more);
    slot.total = count;
  }
}

std::int32_t Licenses::free(std::uint32_t index, Time from, Time to) const {
  return slots_[index].timeline.lowest(from, to).cpus();
}

void Licenses::change(const Booking& booking, int sign) {
  for (const auto& [index, count] : booking.licenses)
    slots_[index].timeline.give(booking.from, booking.to, {sign * count, 0, {}});
}

void Licenses::move_end(const Booking& booking, Time to) {
  for (const auto& [index, count] : booking.licenses) {
    auto& timeline = slots_[index].timeline;
    if (to > booking.to)
      timeline.take(booking.to, to, {count, 0, {}});
    else
      timeline.give(to, booking.to, {count, 0, {}});
  }
}

void Licenses::trim(Time now) {
  for (auto& slot : slots_) slot.timeline.trim(now);
}

std::map<std::string, std::uint32_t> Licenses::totals() const {
  std::map<std::string, std::uint32_t> out;
  for (const auto& slot : slots_)
    if (slot.total > 0) out[slot.name] = static_cast<std::uint32_t>(slot.total);
  return out;
}

bool Licenses::ever(const LicenseNeeds& needs) const {
  for (const auto& [index, count] : needs)
    if (count > slots_[index].total) return false;
  return true;
}

bool Licenses::fits(const LicenseNeeds& needs, Time from, Time to) const {
  for (const auto& [index, count] : needs)
    if (!slots_[index].timeline.covers(from, to, {count, 0})) return false;
  return true;
}

Time Licenses::earliest(const LicenseNeeds& needs, Time from, Seconds limit) const {
  auto end = [&](Time t) { return limit == kUnlimited ? kFarFuture : t + limit; };
  if (fits(needs, from, end(from))) return from;
  Time best = kFarFuture;
  for (const auto& [index, count] : needs)
    for (const auto& segment : slots_[index].timeline.segments())
      if (segment.from > from && segment.from < best && fits(needs, segment.from, end(segment.from)))
        best = segment.from;
  return best;
}

}  // namespace bai::sokovan
