// The confinement of a step's process, between fork and exec, while it is still root: its cgroups, its processors, its own /tmp.
// Single-threaded processes only.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "step/launch.h"

namespace bai::step {

// What could not be done; errno says why.
enum class Enclosed { kYes, kNotJoined, kNotPrivate };

// Before the fork: makes the directories that the job shall see as its own. A step of a job finds those of the others.
// Errors: io_error; not_ours (somebody else made something of that name).
Status make_private_dirs(const StepLaunch& launch);
// In the child, as root if the shepherd is root. `cgroups`: to join by itself; without those of launch.cgroups there are descent and mark, but
// those of the trees must be.
Enclosed enclose(const StepLaunch& launch, const std::vector<std::string>& cgroups);
// Binds the calling process: bit i of byte i / 8 is processor i; an empty mask changes nothing.
void bind_to_cpus(const std::string& mask);
// After the job's last process: removes them and what is in them.
void remove_private_dirs(const StepLaunch& launch);

// Where the job's own instead of `dir` lies.
std::string private_dir(const StepLaunch& launch, const std::string& dir);

}  // namespace bai::step
