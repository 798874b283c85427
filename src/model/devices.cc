#include "model/devices.h"

#include <algorithm>

#include "base/text.h"

namespace bai {
namespace {

DeviceAmount capacity(const DeviceGroup& group, bool whole_group) {
  return group.counted || whole_group ? kWholeDevice * group.count : kWholeDevice;
}

}  // namespace

DeviceRoom::DeviceRoom(std::vector<DeviceGroup> from) : groups(std::move(from)) {
  for (const auto& group : groups) {
    if (group.counted) {
      free.push_back(capacity(group, true));
      continue;
    }
    const std::size_t first = free.size();
    free.insert(free.end(), group.count, kWholeDevice);
    for (const auto number : group.out)
      if (number < group.count) free[first + number] = 0;
  }
}

int DeviceRoom::slot(const DeviceShare& share) const {
  int slot = 0;
  std::uint32_t index = 0;  // of the group's first device within the kind
  for (const auto& group : groups) {
    const bool same = group.kind == share.kind;
    if (group.counted) {
      if (same && share.index == kCountedDevice && group.type == share.type) return slot;
      ++slot;
      continue;
    }
    if (same && share.index >= index && share.index - index < group.count)
      return share.type.empty() || group.type == share.type ? slot + static_cast<int>(share.index - index)
                                                            : -1;
    if (same) index += group.count;
    slot += static_cast<int>(group.count);
  }
  return -1;
}

bool DeviceRoom::holds(const std::vector<DeviceShare>& shares) const {
  if (shares.empty()) return true;
  auto left = free;
  for (const auto& share : shares) {
    const int at = slot(share);
    if (at < 0 || left[static_cast<std::size_t>(at)] < share.amount) return false;
    left[static_cast<std::size_t>(at)] -= share.amount;
  }
  return true;
}

void DeviceRoom::take(const std::vector<DeviceShare>& shares) {
  for (const auto& share : shares)
    if (const int at = slot(share); at >= 0) {
      auto& left = free[static_cast<std::size_t>(at)];
      left -= std::min(left, share.amount);
    }
}

void DeviceRoom::give(const std::vector<DeviceShare>& shares) {
  for (const auto& share : shares)
    if (const int at = slot(share); at >= 0) free[static_cast<std::size_t>(at)] += share.amount;
}

DeviceAmount DeviceRoom::free_of(std::string_view kind, std::string_view type) const {
  DeviceAmount sum = 0;
  std::size_t slot = 0;
  for (const auto& group : groups) {
    const std::size_t slots = group.counted ? 1 : group.count;
    if (group.kind == kind && type_matches(type, group.type))
      for (std::size_t i = 0; i < slots; ++i) sum += free[slot + i];
    slot += slots;
  }
  return sum;
}

DeviceAmount total_of(const std::vector<DeviceGroup>& groups, std::string_view kind, std::string_view type) {
  DeviceAmount sum = 0;
  for (const auto& group : groups)
    if (group.kind == kind && type_matches(type, group.type)) sum += capacity(group, true);
  return sum;
}

bool type_matches(std::string_view wanted, std::string_view type) {
  if (wanted.empty() || wanted == type) return true;
  if (wanted.find('|') == wanted.npos) return false;
  const auto list = split(wanted, '|');
  return std::any_of(list.begin(), list.end(), [&](std::string_view one) { return trim(one) == type; });
}

std::string format_amount(DeviceAmount amount) {
  std::string out = std::to_string(amount / kWholeDevice);
  if (auto rest = amount % kWholeDevice; rest != 0) {
    std::string digits = std::to_string(rest + kWholeDevice).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    out += "." + digits;
  }
  return out;
}

}  // namespace bai
