#include "sokovan/timeline.h"

namespace bai::sokovan {

void Timeline::reset(const Amounts& total, const Layout* layout) {
  layout_ = layout && layout->slots ? layout : nullptr;
  width_ = layout_ ? layout_->slots : 0;
  segments_.assign(1, {kBeginning, total});
  slots_.clear();
  if (!layout_) return;
  slots_ = layout_->full();
  layout_->summarise(slots_.data(), segments_[0].free);
}

std::size_t Timeline::find(Time at) const {
  // Mostly near the beginning.
  std::size_t i = 0;
  const std::size_t n = segments_.size();
  if (n > 16) {
    const auto it = std::upper_bound(segments_.begin(), segments_.end(), at,
                                     [](Time t, const Segment& s) { return t < s.from; });
    return it == segments_.begin() ? 0 : static_cast<std::size_t>(it - segments_.begin()) - 1;
  }
  while (i + 1 < n && segments_[i + 1].from <= at) ++i;
  return i;
}

std::size_t Timeline::boundary(Time at) {
  if (at == kFarFuture) return segments_.size();
  const auto i = find(at);
  if (i == 0 && at <= segments_[0].from) return 0;
  if (segments_[i].from == at) return i;
  segments_.insert(segments_.begin() + static_cast<std::ptrdiff_t>(i) + 1, {at, segments_[i].free});
  if (width_) {
    const auto from = static_cast<std::ptrdiff_t>(i * width_), width = static_cast<std::ptrdiff_t>(width_);
    const std::vector<SlotAmount> copy(slots_.begin() + from, slots_.begin() + from + width);
    slots_.insert(slots_.begin() + from + width, copy.begin(), copy.end());
  }
  return i + 1;
}

void Timeline::merge(std::size_t i) {
  if (i == 0 || i >= segments_.size() || !(segments_[i].free == segments_[i - 1].free)) return;
  if (width_) {
    const auto at = slots_.begin() + static_cast<std::ptrdiff_t>(i * width_);
    const auto width = static_cast<std::ptrdiff_t>(width_);
    if (!std::equal(at, at + width, at - width)) return;
    slots_.erase(at, at + width);
  }
  segments_.erase(segments_.begin() + static_cast<std::ptrdiff_t>(i));
}

void Timeline::change(Time from, Time to, const Taken& taken, int sign) {
  if (from >= to) return;
  const auto first = boundary(from);
  const auto last = boundary(to);
  const Amounts::Lanes delta = {sign * taken.cpus, sign * taken.mem, 0, 0};
  for (auto i = first; i < last; ++i) {
    segments_[i].free.lanes += delta;
    if (taken.devices.empty() || !width_) continue;
    auto* slots = slots_.data() + i * width_;
    for (const auto& share : taken.devices)
      if (share.slot < width_) slots[share.slot] += sign * share.amount;
    layout_->summarise(slots, segments_[i].free);
  }
  merge(last);
  merge(first);
}

void Timeline::trim(Time now) {
  const auto i = find(now);
  if (i == 0) return;
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(i));
  if (width_) slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(i * width_));
  segments_[0].from = kBeginning;
}

Amounts Timeline::lowest(Time from, Time to) const {
  auto i = find(from);
  Amounts out = segments_[i].free;
  for (++i; i < segments_.size() && segments_[i].from < to; ++i) out = smaller(out, segments_[i].free);
  return out;
}

void Timeline::lowest(Time from, std::span<const Time> to, std::span<Amounts> out) const {
  auto i = find(from);
  Amounts low = segments_[i].free;
  for (std::size_t k = 0; k < to.size(); ++k) {
    while (i + 1 < segments_.size() && segments_[i + 1].from < to[k]) low = smaller(low, segments_[++i].free);
    out[k] = low;
  }
}

void Timeline::lowest_slots(Time from, Time to, std::vector<SlotAmount>& out) const {
  auto i = find(from);
  out.assign(slots(i), slots(i) + width_);
  for (++i; i < segments_.size() && segments_[i].from < to; ++i)
    for (std::size_t slot = 0; slot < width_; ++slot) out[slot] = std::min(out[slot], slots(i)[slot]);
}

bool Timeline::covers(Time from, Time to, const Amounts& need) const {
  auto i = find(from);
  if (!sokovan::covers(segments_[i].free, need)) return false;
  for (++i; i < segments_.size() && segments_[i].from < to; ++i)
    if (!sokovan::covers(segments_[i].free, need)) return false;
  return true;
}

bool operator==(const Timeline& a, const Timeline& b) {
  return a.width_ == b.width_ && a.slots_ == b.slots_ &&
         std::equal(a.segments_.begin(), a.segments_.end(), b.segments_.begin(), b.segments_.end(),
                    [](const auto& x, const auto& y) { return x.from == y.from && x.free == y.free; });
}

}  // namespace bai::sokovan
