// Plot: one or more simulations of one trace as an SVG picture: how busy the CPUs were, how many jobs waited, and how long jobs waited.
#pragma once

#include <string>
#include <vector>

#include "sim/simulation.h"

namespace bai::sim {

struct Curve {
  std::string name;                // "easy", "a.conf"
  const Played* played = nullptr;  // with its history
  std::uint64_t cpus = 0;          // of its site
};

// A whole SVG document, in seconds after the trace's beginning, or as dates where the trace says when that was (UTC).
std::string plot(const std::string& title, std::int64_t unix_start, const std::vector<Curve>& curves);

}  // namespace bai::sim
