// Figures: what a simulation came to, one by one, for whoever prints them. Plain values.
#pragma once

#include <string>
#include <vector>

#include "sim/metrics.h"

namespace bai::sim {

struct Figure {
  enum Kind : std::uint8_t {
    kCount,     // a whole number
    kDuration,  // seconds; whole ones where they are
    kShare,     // 0 to 1
    kReal
  };
  const char* key = "";    // in JSON
  const char* label = "";  // for people
  Kind kind = kReal;
  double value = 0;
  bool moment = false;  // of this machine at this moment: differs from run to run
};

// `seconds`: real time that all of it took.
std::vector<Figure> figures(const Metrics& metrics, const Site& site, const Played& played, double seconds);

// "92.58", "6836.9 s", "68.56 %", "3.1 us".
std::string text_of(const Figure& figure);
// Of durations of a minute and more, as 1:53:57; else empty.
std::string clock_of(const Figure& figure);

}  // namespace bai::sim
