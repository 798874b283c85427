// Layout: a node's devices as numbered slots, one for each device and one for each counted group, with interned names.
// Private to sokovan.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/devices.h"
#include "sokovan/amounts.h"

namespace bai::sokovan {

// Kinds and types of devices as small numbers, in the order in which they were first seen. 0 is the empty name, 1 is "gpu".
class Names {
 public:
  Names();
  std::uint16_t intern(std::string_view name);
  const Istr& text(std::uint16_t number) const { return texts_[number < texts_.size() ? number : 0]; }
  static constexpr std::uint16_t kUnknown = 0xffff;  // there are too many names to tell this one

 private:
  std::map<std::string, std::uint16_t, std::less<>> numbers_;
  std::vector<Istr> texts_;
};
inline constexpr std::uint16_t kGpu = 1;

using SlotAmount = std::int64_t;  // thousandths; signed as Amounts are

struct SlotShare {
  std::uint32_t slot = 0;
  SlotAmount amount = 0;
  friend bool operator==(const SlotShare&, const SlotShare&) = default;
};

struct Layout {
  struct Group {
    std::uint16_t kind = 0, type = 0;
    bool counted = false, shareable = true;
    std::uint32_t slot = 0, slots = 0;  // first, how many
    std::uint32_t index = 0;            // of the first device within its kind
    std::uint32_t count = 0;
    std::vector<std::uint16_t> sockets;
    std::vector<std::uint16_t> out;  // not to be given now, counted from `slot`
    friend bool operator==(const Group&, const Group&) = default;
  };
  std::vector<Group> groups;
  std::uint32_t slots = 0;

  Layout() = default;
  Layout(const std::vector<DeviceGroup>& devices, Names& names);
  std::vector<SlotAmount> all() const;   // what there is
  std::vector<SlotAmount> full() const;  // what can be given when nobody has any
  // Fills the lanes of `amounts` that tell of devices.
  void summarise(const SlotAmount* free, Amounts& amounts) const;
  DeviceShare share(const SlotShare& slot, const Names& names) const;
  // What names no device of this node is left out.
  std::vector<SlotShare> slots_of(const std::vector<DeviceShare>& shares, Names& names) const;
  friend bool operator==(const Layout&, const Layout&) = default;
};

}  // namespace bai::sokovan
