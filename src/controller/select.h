// Selector: a JobFilter made ready to be asked about many records. Any thread; holds copies.
#pragma once

#include <string>
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
  wire::JobFilter filter_;
  std::uint32_t caller_uid_;
  std::vector<std::uint32_t> uids_;        // users that were given as numbers
  std::unordered_set<std::string> nodes_;  // expanded
  std::unordered_set<JobId> plain_ids_;    // refs without a task
  std::uint32_t states_ = 0;
};

}  // namespace bai::controller
