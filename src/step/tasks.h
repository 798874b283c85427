// The tasks of a step on this node: made, named, seen to their ends. Their streams are Streams'.
// The shepherd's only thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "step/launch.h"
#include "step/mpi.h"
#include "step/streams.h"

namespace bai::step {

// The launch's environment with what is the task's own in its place, but for the mark.
std::vector<const char*> task_environment(const StepLaunch& launch, const TaskLaunch& task);

class Tasks {
 public:
  // Starts all; what began before one could not be made runs on, and is the caller's to end. `mpi` may
  // be null. The launch must outlive the call only. Errors: io_error.
  Status start(const StepLaunch& launch, const std::vector<std::string>& cgroups, Streams* streams, Mpi* mpi);

  // Takes note of a process that was reaped. The rank if it was a task's.
  std::optional<uint32_t> reaped(pid_t pid, int wait_status);
  bool all_ended() const { return running_ == 0; }
  bool any_ended() const { return running_ < tasks_.size(); }
  size_t size() const { return tasks_.size(); }
  // The end that speaks for all, as of waitpid(2): the highest signal, else the highest exit code.
  int worst() const { return worst_; }
  // Of the first task that still runs; 0: none.
  pid_t first_pid() const;
  // Of all that still run.
  std::vector<pid_t> pids() const;
  bool has(pid_t pid) const;
  // Of all that still run, with their ranks.
  std::vector<std::pair<pid_t, uint32_t>> running() const;

 private:
  struct Task {
    uint32_t rank = 0;
    pid_t pid = 0;  // 0 once it was reaped
  };
  std::vector<Task> tasks_;
  size_t running_ = 0;
  int worst_ = 0;
};

}  // namespace bai::step
