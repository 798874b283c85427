// The switch tree as the scheduler walks it. Private to sokovan.
#pragma once

#include <cstdint>
#include <vector>

#include "model/topology.h"
#include "sokovan/nodes.h"

namespace bai::sokovan {

class Topology {
 public:
  struct Vertex {
    std::uint32_t level = 0;  // leaves are 0
    std::uint32_t parent = kNowhere;
    std::uint32_t first = 0,
                  last = 0;  // leaves below it, as positions of leaf(), both ends as in [first, last)
  };
  // Says each node its leaf. Nodes that no switch names have none; each counts as a leaf of its own.
  void set(const std::vector<Switch>& switches, Nodes& nodes);
  // For a node that came later.
  std::uint32_t leaf_of(const Istr& node) const;
  bool empty() const { return vertices_.empty(); }
  // Inner switches from the lowest level up, in the configuration's order; leaves as intervals of leaf numbers.
  const std::vector<Vertex>& inner() const { return inner_; }
  std::uint32_t leaves() const { return leaves_; }

 private:
  std::vector<Vertex> vertices_, inner_;
  std::uint32_t leaves_ = 0;
  std::map<Istr, std::uint32_t> leaf_of_;
};

}  // namespace bai::sokovan
