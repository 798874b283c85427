// Makes the processes of a step stand still, and go on. Those that handle SIGTSTP get it first and a moment to put things in order, as in
// Slurm; then the freezer of the step's cgroups holds everything, or, where there is none, SIGSTOP.
// The shepherd's only thread; times are monotonic milliseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "step/track.h"

namespace bai::step {

constexpr int64_t kStandstillGraceMs = 2000;  // Slurm's suspend_grace_time

class Standstill {
 public:
  // Repeating either changes nothing.
  void begin(const Tracker& processes, int64_t now_ms);
  void end(const Tracker& processes);
  bool begun() const { return begun_; }

  // Call on_time() then; nothing: it has nothing to do.
  std::optional<int64_t> next_ms() const { return stop_at_; }
  void on_time(const Tracker& processes, int64_t now_ms);

 private:
  void stop(const Tracker& processes);

  bool begun_ = false;
  std::optional<int64_t> stop_at_;
  std::vector<std::string> frozen_;  // cgroups
};

}  // namespace bai::step
