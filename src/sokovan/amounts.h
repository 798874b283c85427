// Amounts: what counts most of a node's resources, in one machine word vector, so that thousands of nodes are compared in
// microseconds. Private to sokovan; a plain value.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bai::sokovan {

// Signed: what is free may be less than nothing while a node shrinks under its jobs.
struct Amounts {
  typedef std::int32_t Lanes __attribute__((vector_size(16)));
  Lanes lanes{};

  Amounts() = default;
  // mem in MiB; whole: devices of kind gpu that are entirely free; share: the most that is free of one of them, in thousandths.
  Amounts(std::int32_t cpus, std::int32_t mem, std::int32_t whole = 0, std::int32_t share = 0)
      : lanes{cpus, mem, whole, share} {}

  std::int32_t cpus() const { return lanes[0]; }
  std::int32_t mem() const { return lanes[1]; }
  std::int32_t whole() const { return lanes[2]; }
  std::int32_t share() const { return lanes[3]; }

  // Less than any request.
  static Amounts nothing() { return {-1, -1, -1, -1}; }
  friend bool operator==(const Amounts& a, const Amounts& b) {
    return a.lanes[0] == b.lanes[0] && a.lanes[1] == b.lanes[1] && a.lanes[2] == b.lanes[2] &&
           a.lanes[3] == b.lanes[3];
  }
};

// In every lane.
inline bool covers(const Amounts& have, const Amounts& need) {
  const Amounts::Lanes less = have.lanes < need.lanes;  // -1 where it is
  typedef std::int64_t Halves __attribute__((vector_size(16)));
  const auto halves = reinterpret_cast<Halves>(less);
  return (halves[0] | halves[1]) == 0;
}
inline Amounts larger(const Amounts& a, const Amounts& b) {
  Amounts out;
  out.lanes = a.lanes > b.lanes ? a.lanes : b.lanes;
  return out;
}
inline Amounts smaller(const Amounts& a, const Amounts& b) {
  Amounts out;
  out.lanes = a.lanes < b.lanes ? a.lanes : b.lanes;
  return out;
}

// MiB, as far as a lane holds them: 2 PiB.
inline std::int32_t saturated(std::uint64_t n) {
  return static_cast<std::int32_t>(std::min<std::uint64_t>(n, 0x7fffffff));
}

}  // namespace bai::sokovan
