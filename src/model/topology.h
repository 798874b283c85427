// The network between nodes as a tree of switches: topology.conf(5)'s SwitchName lines. Plain values.
#pragma once

#include <vector>

#include "base/istr.h"
#include "model/serialize.h"

namespace bai {

// A leaf names nodes, an inner switch names switches.
struct Switch {
  Istr name;
  std::vector<Istr> nodes;     // Nodes=, expanded
  std::vector<Istr> switches;  // Switches=, expanded

  friend bool operator==(const Switch&, const Switch&) = default;
  template <class A>
  void serialize(A& a) {
    a(name, cap(nodes, 65536), cap(switches, 65536));
  }
};

}  // namespace bai
