// HealthCheckProgram, as in slurm.conf(5): a program of the site's that looks at the node and does itself what must be done, such as
// draining it. It runs before the agent registers, then every HealthCheckInterval, at the same moments on all nodes (or, with
// CYCLE, spread over the interval by the node's name). One that fails is logged, one that takes too long is killed.
// One thread, the agent's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/time.h"
#include "model/config.h"

namespace bai::agent {

class HealthCheck {
 public:
  static constexpr std::int64_t kMostMs = 60'000;  // Slurm's bound, too

  // `most_ms`: how long it may take.
  explicit HealthCheck(std::int64_t most_ms = kMostMs) : most_ms_(most_ms) {}
  ~HealthCheck();
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  // `conf`: the node's own file, for the program's commands.
  void configure(const ClusterConfig& own, const std::string& node, const std::string& conf);
  // Runs it now until its end, or until `stop` can be read. Nothing when there is no program.
  void run_and_wait(int stop);
  // About once a second: begins it when it is due (not while the controller is away), looks whether it ended, ends it when it
  // takes too long.
  void on_time(Time now, std::int64_t mono_ms, bool has_jobs, bool connected);
  bool running() const { return pid_ != 0; }

 private:
  void begin(std::int64_t mono_ms);
  bool look(std::int64_t mono_ms);  // false once it has ended
  void read_output();
  std::int64_t moment(Time now) const;  // the number of the last one that was due

  std::int64_t most_ms_;
  std::string program_, node_, conf_;
  Seconds interval_ = 0;
  HealthCheckStates states_;
  std::int64_t last_ = -1;  // moment; -1: none yet
  pid_t pid_ = 0;
  Fd output_, ended_;  // a pipe; a pidfd
  std::string said_;
  std::int64_t until_ms_ = 0;
  bool killed_ = false;
};

}  // namespace bai::agent
