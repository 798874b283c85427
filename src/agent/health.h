// HealthCheckProgram, as in slurm.conf(5): a program of the site's that looks at the node. It runs before the agent registers, then every
// HealthCheckInterval, at the same moments on all nodes (or, with CYCLE, spread over the interval by the node's name). It may drain the
// node itself; one that fails, or takes too long and is killed, has the node drained for what it said last.
// One thread, the agent's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/program.h"
#include "base/time.h"
#include "model/config.h"

namespace bai::agent {

class HealthCheck {
 public:
  static constexpr std::int64_t kMostMs = 60'000;  // Slurm's bound, too

  // `most_ms`: how long it may take.
  explicit HealthCheck(std::int64_t most_ms = kMostMs) : most_ms_(most_ms) {}

  // `conf`: the node's own file, for the program's commands.
  void configure(const ClusterConfig& own, const std::string& node, const std::string& conf);
  // Runs it now until its end, or until `stop` can be read. Nothing when there is no program.
  void run_and_wait(int stop);
  // About once a second: begins it when it is due (not while the controller is away), looks whether it ended, ends it when it
  // takes too long.
  void on_time(Time now, std::int64_t mono_ms, bool has_jobs, bool connected);
  bool running() const { return running_ != nullptr; }
  // Why the node is unfit, once for each run that failed; empty: no run did since.
  std::string take_failure() { return std::exchange(failure_, {}); }

 private:
  void begin(std::int64_t mono_ms);
  bool look(std::int64_t mono_ms);      // false once it has ended
  std::int64_t moment(Time now) const;  // the number of the last one that was due

  std::int64_t most_ms_;
  std::string program_, node_, conf_;
  Seconds interval_ = 0;
  HealthCheckStates states_;
  std::int64_t last_ = -1;  // moment; -1: none yet
  std::unique_ptr<Program> running_;
  std::string failure_;
  std::int64_t until_ms_ = 0;
  bool killed_ = false;
};

}  // namespace bai::agent
