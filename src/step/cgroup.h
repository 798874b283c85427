// A step's own cgroups: made below the directories that the agent chose, emptied and removed by the shepherd or, after its
// death, by the agent. v2 and the v1 freezer can kill and stop without races; other v1 hierarchies only list and limit. cgroups(7).
// Any thread; nothing is kept.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "step/launch.h"

namespace bai::step {

// The directory that the step has below each of launch.cgroups, then in each of its trees.
std::vector<std::string> cgroup_dirs(const StepLaunch& launch);
// Makes those below launch.cgroups; those that cannot be made are left out and described in `problem`.
std::vector<std::string> create_cgroups(const StepLaunch& launch, std::string* problem);
// While a step makes and sets the directories that it shares with others of its node, it holds flock(2) on a directory that no user can open: on a cgroup's
// own, a job could hold it for ever.
struct TreesLock {
  std::string dir;
  int64_t wait_ms = 10'000;  // for a shepherd that hangs with it
};
// Makes those of the trees, with all their settings, and adds them to `made`. A limit that cannot be set is an error: io_error. Also timed_out.
Status create_trees(const StepLaunch& launch, const TreesLock& lock, std::vector<std::string>* made);
// After the step's own: takes away the job's directories in the trees if no other step is there.
void remove_job_cgroups(const StepLaunch& launch);
// Removes one with what is below it. False while processes are in it.
bool remove_cgroup(const std::string& dir);
// The processes in it and below, unsorted.
std::vector<pid_t> cgroup_processes(const std::string& dir);
// Stops all in it and below, or lets them go on (cgroup.freeze, freezer.state). False when this hierarchy cannot.
bool freeze_cgroup(const std::string& dir, bool frozen);
// Sends SIGKILL to all in it and below, at once where the kernel can (cgroup.kill; v1: frozen, killed, thawed).
void kill_cgroup(const std::string& dir);
// Opens a v2 directory, into which a process can be born; no descriptor for any other.
Fd open_unified(const std::string& dir);
// Moves the calling process into it. False with errno set.
bool join_cgroup(const std::string& dir);

}  // namespace bai::step
