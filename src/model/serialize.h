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
  // As save() writes them: then each goes to the end, while in another order each could move all others.
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const auto [first, last] = ranges[i];
    if (first > last || (i > 0 && first <= std::uint64_t{ranges[i - 1].second} + 1))
      return a.fail("ranges of ids are not in order");
    set.insert(first, last);
  }
}

}  // namespace bai
