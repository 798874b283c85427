// Which of the nodes that can take part are taken. Private to sokovan; pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "sokovan/topology.h"
#include "sokovan/wish.h"

namespace bai::sokovan {

struct Candidate {
  std::uint32_t position = 0;  // in the arena
  std::uint32_t node = 0;
  std::uint32_t tasks = 0;  // as many as it could take; once chosen: as it takes
  std::uint32_t units = 0;  // of the devices asked for the whole job; the same
  std::uint32_t leaf = kNowhere;
  bool wanted = false;
};

// The fewest of the candidates (in order of preference) that do it, the first of them where that does not matter; tasks and units
// are laid out on them, one at least on each, node after node. Empty when it does not fit.
std::vector<Candidate> choose(const Wish& wish, std::vector<Candidate> candidates, const Nodes& nodes,
                              const Topology& topology, bool few_switches);

}  // namespace bai::sokovan
