// Selector: a JobFilter made ready to be asked about many records. A caller may name a million things, so what a record costs
// does not depend on how many. Any thread; holds copies.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "controller/io.h"

namespace bai::controller {

class Selector {
 public:
  Selector(const wire::JobFilter& filter, const Caller& caller);
  // Empty lists match; states are judged only when some are given.
  bool matches(const Job& job) const;

 private:
  // Names that views can be looked up in.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Names = std::unordered_set<std::string, Hash, std::equal_to<>>;
  static Names set_of(const std::vector<std::string>& list) { return {list.begin(), list.end()}; }
  static bool among(const Names& names, std::string_view value) {
    return names.empty() || names.contains(value);
  }
  bool is_named(const Job& job) const;

  Names users_, names_, accounts_, partitions_;
  Names nodes_;                                                  // expanded
  std::unordered_set<std::uint32_t> uids_;                       // users that were given as numbers
  std::unordered_set<JobId> plain_ids_;                          // refs without a task
  std::unordered_map<JobId, std::vector<std::uint32_t>> tasks_;  // of arrays, sorted
  std::uint32_t caller_uid_;
  std::uint32_t states_ = 0;
  bool any_job_, any_node_, mine_;
};

}  // namespace bai::controller
