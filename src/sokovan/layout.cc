#include "sokovan/layout.h"

namespace bai::sokovan {

Names::Names() {
  intern("");
  intern("gpu");
}

std::uint16_t Names::intern(std::string_view name) {
  if (auto it = numbers_.find(name); it != numbers_.end()) return it->second;
  if (texts_.size() > kUnknown) return kUnknown;
  const auto number = static_cast<std::uint16_t>(texts_.size());
  numbers_.emplace(name, number);
  texts_.emplace_back(name);
  return number;
}

Layout::Layout(const std::vector<DeviceGroup>& devices, Names& names) {
  std::map<std::uint16_t, std::uint32_t> next;  // index within the kind
  for (const auto& device : devices) {
    Group group;
    group.kind = names.intern(device.kind);
    group.type = names.intern(device.type);
    group.counted = device.counted;
    group.shareable = device.shareable && !device.counted;
    group.slot = slots;
    group.slots = device.counted ? 1 : device.count;
    group.count = device.count;
    group.sockets = device.sockets;
    group.out = device.out;
    if (!device.counted) {
      group.index = next[group.kind];
      next[group.kind] += device.count;
    }
    slots += group.slots;
    groups.push_back(std::move(group));
  }
}

std::vector<SlotAmount> Layout::all() const {
  std::vector<SlotAmount> out;
  for (const auto& group : groups)
    out.insert(out.end(), group.slots,
               static_cast<SlotAmount>(group.counted ? kWholeDevice * group.count : kWholeDevice));
  return out;
}

std::vector<SlotAmount> Layout::full() const {
  auto out = all();
  for (const auto& group : groups)
    for (const auto number : group.out)
      if (number < group.slots && !group.counted) out[group.slot + number] = 0;
  return out;
}

void Layout::summarise(const SlotAmount* free, Amounts& amounts) const {
  SlotAmount whole = 0, share = 0;
  for (const auto& group : groups) {
    if (group.kind != kGpu) continue;
    for (std::uint32_t i = 0; i < group.slots; ++i) {
      const auto amount = free[group.slot + i];
      whole += group.counted ? amount / static_cast<SlotAmount>(kWholeDevice)
                             : amount >= static_cast<SlotAmount>(kWholeDevice);
      share = std::max(share, amount);
    }
  }
  amounts.lanes[2] = static_cast<std::int32_t>(std::clamp<SlotAmount>(whole, 0, 0x7fffffff));
  amounts.lanes[3] = static_cast<std::int32_t>(std::min<SlotAmount>(share, kWholeDevice));
}

DeviceShare Layout::share(const SlotShare& slot, const Names& names) const {
  for (const auto& group : groups) {
    if (slot.slot < group.slot || slot.slot - group.slot >= group.slots) continue;
    return {names.text(group.kind), names.text(group.type),
            group.counted ? kCountedDevice : group.index + (slot.slot - group.slot),
            static_cast<DeviceAmount>(slot.amount)};
  }
  return {};
}

std::vector<SlotShare> Layout::slots_of(const std::vector<DeviceShare>& shares, Names& names) const {
  std::vector<SlotShare> out;
  for (const auto& share : shares) {
    const auto kind = names.intern(share.kind);
    const auto type = names.intern(share.type);
    for (const auto& group : groups) {
      if (group.kind != kind || (type != 0 && group.type != type)) continue;
      if (group.counted != (share.index == kCountedDevice)) continue;
      const auto at = group.counted ? 0 : share.index - group.index;
      if (!group.counted && (share.index < group.index || at >= group.slots)) continue;
      out.push_back({group.slot + at, static_cast<SlotAmount>(share.amount)});
      break;
    }
  }
  return out;
}

}  // namespace bai::sokovan
