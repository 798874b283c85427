// fork that can bear the child inside a v2 cgroup: moving a process later makes the kernel wait for a grace period (milliseconds).
// Single-threaded processes only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace bai::step {

// Forks and calls `child` in the new process, born in the first v2 directory of `cgroups` when the kernel can do that (clone3(2), 5.7). The directories that
// the child must still join itself are in `*to_join` when `child` runs. Returns the child's pid. Errors: io_error.
Result<pid_t> clone_into(const std::vector<std::string>& cgroups, std::vector<std::string>* to_join,
                         const std::function<void()>& child);

}  // namespace bai::step
