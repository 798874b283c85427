// Finding, signalling and ending every process of a step: by its cgroups when it has some, by descent from its shepherd, and by
// the mark in the environment (then also by descent from whatever carries it). The shepherd is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER), so whatever escapes by setsid or a double fork
// is still its descendant; when the shepherd is dead, cgroup and mark find the rest.
// One thread at a time per value.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "step/launch.h"

namespace bai::step {

// Entry of the environment that marks a step's processes.
constexpr const char* kMarkVariable = "BAI_STEP_MARK";

// Live descendants of a process, without itself; zombies are left out.
std::vector<pid_t> descendants(pid_t root);
// Live processes that carry the mark (a scan of /proc/*/environ), without the caller.
std::vector<pid_t> marked_processes(const std::string& mark);

// What a running step's processes are.
struct Tracker {
  std::vector<std::string> cgroups;  // existing directories of this step
  pid_t shepherd = 0;                // 0: dead
  std::string mark;                  // searched for only when the shepherd is dead

  // All live processes of the step, sorted, each once.
  std::vector<pid_t> find() const;
  // Sends a signal to all of them, looking again until no new one is found (at most a few times); `except` is left out. Returns how many got it.
  size_t signal_all(int signum, pid_t except = 0) const;
  // The same to those that are not in `told` yet, and puts them there. Returns how many there were.
  size_t signal_new(int signum, std::set<pid_t>& told) const;
  // One round of SIGKILL: cgroup.kill, or frozen and killed (v1 freezer), or stopped and killed. Returns how many were found.
  size_t kill_round() const;
};

// Ends everything that a dead shepherd left behind, and removes its cgroups. Blocks, at most `timeout_ms`; waits on pidfds, not by polling.
// Errors: shepherd_alive (then nothing is done), still_running, naming the pids that remain. Safe to repeat.
// What it cannot see: without a cgroup, a process that cleared its environment and whose ancestors in the step are all gone.
Status kill_step_remains(const std::string& dir, const StepLaunch& launch, int timeout_ms = 10'000);
// The same question without the killing: is there any live process of this step (the shepherd not counted)?
std::vector<pid_t> find_step_remains(const std::string& dir, const StepLaunch& launch);

}  // namespace bai::step
