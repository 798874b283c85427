// A step's own cgroups: made below the directories that the agent chose, emptied and removed by the shepherd or, after its
// death, by the agent. v2 and the v1 freezer can kill without races; other v1 hierarchies only list. cgroups(7).
// Any thread; nothing is kept.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "step/launch.h"

namespace bai::step {

// The directory that the step has below each of launch.cgroups.
std::vector<std::string> cgroup_dirs(const StepLaunch& launch);
// Makes them; those that cannot be made are left out and described in `problem`.
std::vector<std::string> create_cgroups(const StepLaunch& launch, std::string* problem);
// Removes one with what is below it. False while processes are in it.
bool remove_cgroup(const std::string& dir);
// The processes in it and below, unsorted.
std::vector<pid_t> cgroup_processes(const std::string& dir);
// Sends SIGKILL to all in it and below, at once where the kernel can (cgroup.kill; v1: frozen, killed, thawed).
void kill_cgroup(const std::string& dir);
// Opens a v2 directory, into which a process can be born; no descriptor for any other.
Fd open_unified(const std::string& dir);
// Moves the calling process into it. False with errno set.
bool join_cgroup(const std::string& dir);

}  // namespace bai::step
