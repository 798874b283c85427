// Finder: nodes for an option in a window of time. Whatever starts or is planned was found here. Private to sokovan.
#pragma once

#include <span>
#include <vector>

#include "sokovan/choose.h"
#include "sokovan/option.h"

namespace bai::sokovan {

// What one node gives.
struct Pick {
  std::uint32_t node = 0, position = 0;
  std::uint32_t tasks = 0;
  Taken taken;
};

class Finder {
 public:
  Finder(const Nodes& nodes, const Topology& topology) : nodes_(nodes), topology_(topology) {}

  // For a start now that ends at `to`. Empty when it does not fit.
  std::vector<Pick> find_now(const Option& option, Time now, Time to);
  // For a start at `from`, among some positions.
  std::vector<Pick> find_among(const Option& option, std::span<const std::uint32_t> positions, Time from,
                               Time to);
  // Whether empty nodes could hold it; `usable`: those that are up only.
  bool possible(const Option& option, bool usable);
  // The same test for one node and one window: tasks that it can take.
  std::uint32_t capacity_at(const Option& option, std::uint32_t position, Time from, Time to);
  // Nodes looked at so far: what a pass costs.
  std::uint64_t steps = 0;
  // After a find_now() that found nothing: so many tasks and nodes, at least, must come free. 0: one node might do.
  std::uint64_t missing_tasks = 0, missing_nodes = 0;

 private:
  bool room(const Option& option, std::uint32_t position, Time from, Time to, Room& out);
  bool one_node(const Option& option, Time now, Time to, Pick& out);
  bool take_one(const Option& option, std::uint32_t position, Time from, Time to, Pick& out);
  void add_candidate(const Option& option, std::uint32_t position, const Room& room);
  std::vector<Pick> pick(const Option& option, Time from, Time to);
  void rank(const Option& option, Time from, Time to);

  const Nodes& nodes_;
  const Topology& topology_;
  std::vector<Candidate> candidates_;
  std::vector<SlotAmount> slots_;
};

}  // namespace bai::sokovan
