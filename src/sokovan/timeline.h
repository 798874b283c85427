// Timeline: what is free of a node (or of a licence) from now on, as running jobs' ends and planned starts will have it. A
// step function over time, kept without equal neighbours, so that equal bookings give equal timelines in whatever order they
// were made. Private to sokovan.
#pragma once

#include <span>
#include <vector>

#include "base/time.h"
#include "sokovan/amounts.h"
#include "sokovan/layout.h"

namespace bai::sokovan {

inline constexpr Time kBeginning{INT64_MIN};
// When running jobs without a limit end: later than anything known, before the end of time.
inline constexpr Time kUnknownEnd{INT64_MAX / 2};

// What a job takes from one node.
struct Taken {
  std::int32_t cpus = 0;
  std::int32_t mem = 0;
  std::vector<SlotShare> devices;
  friend bool operator==(const Taken&, const Taken&) = default;
};

class Timeline {
 public:
  struct Segment {
    Time from;
    Amounts free;
  };

  // All of it free, for ever. `layout` may be null and must outlive this.
  void reset(const Amounts& total, const Layout* layout);
  // Takes it for [from, to), or gives it back. kFarFuture: for ever.
  void take(Time from, Time to, const Taken& taken) { change(from, to, taken, -1); }
  void give(Time from, Time to, const Taken& taken) { change(from, to, taken, 1); }
  // Forgets what was before `now`.
  void trim(Time now);

  // The smallest of what is free within [from, to), lane by lane. O(segments up to `to`).
  Amounts lowest(Time from, Time to) const;
  // The same for windows that end at each of `to`, which ascends. One walk.
  void lowest(Time from, std::span<const Time> to, std::span<Amounts> out) const;
  // The same of each slot, into `out`.
  void lowest_slots(Time from, Time to, std::vector<SlotAmount>& out) const;
  bool covers(Time from, Time to, const Amounts& need) const;
  const std::vector<Segment>& segments() const { return segments_; }
  const SlotAmount* slots(std::size_t segment) const { return slots_.data() + segment * width_; }
  bool has_devices() const { return width_ != 0; }
  friend bool operator==(const Timeline& a, const Timeline& b);

 private:
  void change(Time from, Time to, const Taken& taken, int sign);
  std::size_t boundary(Time at);    // index of the segment that begins there; makes one
  void merge(std::size_t index);    // into the one before, if they are equal
  std::size_t find(Time at) const;  // index of the segment that holds `at`

  std::vector<Segment> segments_{{kBeginning, {}}};
  std::vector<SlotAmount> slots_;  // `width_` for each segment
  const Layout* layout_ = nullptr;
  std::size_t width_ = 0;
};

}  // namespace bai::sokovan
