// The task epilogs under way: an ended task counts as ended only when its epilog has, too. The shepherd's only thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "step/launch.h"

namespace bai::step {

class Epilogs {
 public:
  struct Ended {
    std::optional<uint32_t> rank;  // none: the batch script
    int wait_status = 0;           // the task's, not the epilog's
  };

  // Begins the epilogs of what has just ended. False when there are none, or they cannot begin.
  bool start(const StepLaunch& launch, const std::vector<std::string>& cgroups, Ended of);
  // Whose epilogs have ended, if it was the last process of some.
  std::optional<Ended> reaped(pid_t pid);
  bool empty() const { return running_.empty(); }

 private:
  std::map<pid_t, Ended> running_;
};

}  // namespace bai::step
