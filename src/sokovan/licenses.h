// Licences and other counts of the whole cluster, over time. Private to sokovan.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sokovan/nodes.h"
#include "sokovan/option.h"

namespace bai::sokovan {

class Licenses {
 public:
  void set(const std::map<std::string, std::uint32_t>& total);
  // Names that do not exist (yet) are licences of which there are none.
  LicenseNeeds needs(const std::map<std::string, std::uint32_t>& wanted);
  const std::string& name(std::uint32_t index) const { return slots_[index].name; }
  std::int32_t total(std::uint32_t index) const { return slots_[index].total; }
  std::int32_t free(std::uint32_t index, Time from, Time to) const;

  void add(const Booking& booking) { change(booking, -1); }
  void remove(const Booking& booking) { change(booking, 1); }
  void move_end(const Booking& booking, Time to);

  void trim(Time now);  // forgets what was before
  std::map<std::string, std::uint32_t> totals() const;
  bool ever(const LicenseNeeds& needs) const;
  bool fits(const LicenseNeeds& needs, Time from, Time to) const;
  // The first time from `from` on; kFarFuture: never.
  Time earliest(const LicenseNeeds& needs, Time from, Seconds limit) const;

 private:
  struct Slot {
    std::string name;
    std::int32_t total = 0;
    Timeline timeline;
  };
  void change(const Booking& booking, int sign);

  std::vector<Slot> slots_;
  std::map<std::string, std::uint32_t> index_;
};

}  // namespace bai::sokovan
