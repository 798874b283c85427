// Facts about processes from /proc. Any thread. Errors are absent values: a process may vanish at any moment.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bai::step {

// This boot's id (/proc/sys/kernel/random/boot_id), 36 characters; empty when it cannot be read.
std::string boot_id();

// From /proc/PID/stat (proc(5)).
struct ProcessStat {
  char state = '?';  // 'Z' is dead and not reaped yet
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  uint64_t start_ticks = 0;
};
std::optional<ProcessStat> process_stat(pid_t pid);

// Every process id in /proc.
std::vector<pid_t> all_processes();

// True when the process's environment holds exactly this entry ("K=V"). False when it may not be read.
bool has_environment_entry(pid_t pid, const std::string& entry);

// Whether it has a handler for the signal (SigCgt).
bool handles_signal(pid_t pid, int signum);

// Whether it is one of our commands that stand for a step and pass signals on to its tasks: bai-run, bai-attach, bai-cast.
bool is_step_command(pid_t pid);

}  // namespace bai::step
