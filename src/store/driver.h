// What both drivers bind, and say with the same words. Pure functions, any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/hash.h"
#include "base/result.h"
#include "model/ids.h"

namespace bai::store {

// Numbers and ids as databases take them. The bytes are the id's own.
inline std::int64_t signed_(std::uint64_t n) { return static_cast<std::int64_t>(n); }
inline std::string_view view(const Uuid& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}
// A hash as a database gives it back; one of another size (nobody wrote that) names nothing.
inline Hash256 hash_of(std::string_view bytes) {
  Hash256 hash;
  if (bytes.size() == hash.bytes.size()) std::copy(bytes.begin(), bytes.end(), hash.bytes.begin());
  return hash;
}

// Whether `now`, as the database has it, is not what this controller left there.
inline bool replaced(const Lineage& now, const Lineage& ours) {
  return now.cluster != ours.cluster || now.epoch != ours.epoch || now.lsn < ours.lsn;
}
// Another controller's lineage stands there.
inline Error superseded(std::string place) {
  return {"superseded", "another controller has taken over this database", std::move(place),
          "only one may run: stop this one"};
}
// After a failure nothing is done before reopen().
inline Error store_closed(std::string place) {
  return {"store_closed", "the database must be opened anew after an error", std::move(place)};
}

}  // namespace bai::store
