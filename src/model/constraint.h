// Feature constraints (sbatch -C) understood. Pure functions, any thread.
//
//   a&b  a|b  (a|b)&c   each node has such features
//   [a|b|c]             all nodes have the same one of them (Slurm's matching OR)
//   a*4                 at least four of the nodes have it
//   [a*2&b*4]           two nodes that have a and four that have b, and no node that has neither
// Terms of the last three forms are joined by & only; the counted thing may be an expression in parentheses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai {

// Any of the groups, each of them all of its features. No group at all: true.
struct FeatureTest {
  std::vector<std::vector<std::string>> any;

  bool holds(const std::vector<std::string>& features) const;
  friend bool operator==(const FeatureTest&, const FeatureTest&) = default;
};

struct Constraint {
  struct Count {
    FeatureTest test;
    std::uint32_t nodes = 0;
    friend bool operator==(const Count&, const Count&) = default;
  };
  FeatureTest each;                   // every node passes it
  std::vector<FeatureTest> matching;  // and all nodes pass the same one of these, unless there are none
  std::vector<Count> counts;          // and at least so many nodes pass these; a node counts for one of them

  bool empty() const { return each.any.empty() && matching.empty() && counts.empty(); }
  friend bool operator==(const Constraint&, const Constraint&) = default;
};

// Errors: bad_constraint, with the place in the text.
Result<Constraint> parse_constraint(std::string_view text);

}  // namespace bai
