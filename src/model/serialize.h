// How base's values travel in our archives. Included by every header whose structs hold them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/archive.h"
#include "base/hash.h"
#include "base/idset.h"
#include "base/time.h"

namespace bai {

template <class A>
void serialize(A& a, Time& time) {
  a(time.us);
}

template <class A>
void serialize(A& a, Hash256& hash) {
  a(hash.bytes);
}

inline void save(OutArchive& a, const IdSet& set) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
  for (const auto& range : set.ranges()) ranges.emplace_back(range.first, range.last);
  a(ranges);
}

inline void load(InArchive& a, IdSet& set) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
  a(ranges);
  for (auto [first, last] : ranges)
    if (first <= last) set.insert(first, last);
}

}  // namespace bai
