// Option: one way to run the jobs of a class: in which partition, with which of the alternatives that they gave. Private to sokovan.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/job.h"
#include "sokovan/wish.h"

namespace bai::sokovan {

// Which positions of an arena a request may use. Equal ones are shared.
class Filter {
 public:
  explicit Filter(std::size_t n) : words_((n + 63) / 64) {}
  void allow(std::uint32_t position) { words_[position / 64] |= std::uint64_t{1} << (position % 64); }
  // Whether nodes that are up could hold it; as of some state of the nodes, see Impl::is_up().
  std::uint64_t up_as_of = 0;
  bool up = false;

  bool allows(std::uint32_t position) const { return all || (words_[position / 64] >> (position % 64) & 1); }

  bool all = true;
  std::uint32_t count = 0;                                   // of nodes that exist
  std::int32_t least_cpus = 0, most_cpus = 0, most_mem = 0;  // of them
  std::int64_t cpus = 0;                                     // of them together
  bool unknown_shapes = false;                               // a node among them has not said how large it is

 private:
  std::vector<std::uint64_t> words_;
};

using LicenseNeeds = std::vector<std::pair<std::uint32_t, std::int32_t>>;  // index, count

struct Option {
  PartitionPtr partition;
  std::uint32_t queue = 0;                // the partition's number
  std::uint32_t alternative = 0;          // see Allocation
  bool fallback = false;                  // with the nodes that failed the job: only while no others can do
  bool single_user = false;               // nodes are shared with the same user's jobs only
  std::uint32_t uid = Tenancy::kSeveral;  // whose jobs they are, where it matters
  Wish wish;
  Seconds limit = kUnlimited;
  LicenseNeeds licenses;
  std::uint32_t arena = 0;
  std::shared_ptr<const Filter> filter;
  const Placement* placement = nullptr;
  Reason reason = Reason::kNone;  // why never, as things are configured
  std::string detail;

  // Whether nodes that are up could hold it; as of some state of the nodes, see Impl::is_up().
  std::uint64_t up_as_of = 0;
  bool up = false;

  bool allows(std::uint32_t position) const { return filter->allows(position); }
};

}  // namespace bai::sokovan
