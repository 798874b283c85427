// What a step uses: looked at every so often while it runs, from /proc and its cgroups, and exactly at the end of each process that the
// shepherd reaps. A short step costs no look. One thread.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/step_use.h"
#include "step/confinement.h"
#include "step/status.h"

namespace bai::step {

// One process with those of its children that were reaped, from /proc/PID/stat and /proc/PID/io; also of one that ended and was not reaped.
struct ProcessUse {
  pid_t pid = 0;
  pid_t parent = 0;
  uint64_t cpu_us = 0;
  uint64_t rss_kib = 0, vm_kib = 0;
  uint64_t pages = 0;  // major faults
  uint64_t read_bytes = 0,
           write_bytes = 0;  // asked of the system, whatever answered: rchar, wchar (Slurm counts so, too)
};
std::optional<ProcessUse> process_use(pid_t pid);

// For each of the processes that `parents` names with its parent: the nearest of `tops` on the way up from it, itself included; `otherwise` where there is
// none. However deep they lie below each other, each step up is made once.
std::map<pid_t, pid_t> tops_of(const std::map<pid_t, pid_t>& parents, const std::vector<pid_t>& tops,
                               pid_t otherwise);

// How many processes of a cgroup the kernel ended because its memory had run out: memory.events; v1: memory.oom_control. 0 when the
// directory says nothing (another hierarchy, an older kernel, removed by somebody).
uint64_t cgroup_oom_kills(const std::string& dir);

// A step that ended by itself or by a signal, while the kernel ended `kills` of its processes for want of memory, ended for that reason
// (Slurm's OUT_OF_MEMORY, exit code 0:125); others keep theirs.
void judge_memory(uint64_t kills, const Confinement& confinement, StepStatus* status);

class UseMeter {
 public:
  // The first look comes soon, the next ones rarer, until they are `interval_s` apart; 0: no looks.
  void start(uint32_t interval_s, int64_t now_ms);
  // A process at the top of a task, and the task's rank. Before the first look.
  void task(pid_t pid, uint32_t rank) { ranks_[pid] = rank; }
  // When the next look is due, monotonic milliseconds.
  std::optional<int64_t> next_ms() const { return next_ms_; }
  // When the last one was; a long time ago when there was none.
  int64_t looked_ms() const { return looked_ms_; }
  // A look at those that live. `tasks`: the processes at the tops of the tasks; what descends from none counts for the first.
  void look(const std::vector<pid_t>& processes, const std::vector<pid_t>& tasks, int64_t now_ms);
  // One that has ended and is not reaped yet: what it read and wrote can be seen until then.
  void ending(pid_t pid);
  // Then, with what wait4(2) says that it used. `task`: it was one's top.
  void ended(pid_t pid, bool task, const rusage& used);

  // None lives any more: what was only seen in looks has ended and was counted then.
  void all_ended();
  // So far: of the processes that were reaped, and of the others at the last look.
  StepUse total() const;
  // As of the last look, task by task; the caller adds the processes.
  LiveUse live() const;

 private:
  struct Task {
    uint64_t peak_kib = 0, peak_vm_kib = 0;
    uint64_t cpu_us = 0, pages = 0, read_bytes = 0, write_bytes = 0;  // ended
    // At the last look.
    uint64_t live_kib = 0, live_vm_kib = 0;
    uint64_t live_cpu_us = 0, live_pages = 0, live_read_bytes = 0, live_write_bytes = 0;
    void none_live() {
      live_kib = live_vm_kib = live_cpu_us = live_pages = live_read_bytes = live_write_bytes = 0;
    }
  };

  int64_t pause_ms_ = 0, interval_ms_ = 0;
  std::optional<int64_t> next_ms_;
  int64_t looked_ms_ = INT64_MIN / 2;
  std::map<pid_t, uint32_t> ranks_;
  std::map<pid_t, Task> tasks_;  // those that used something
  pid_t first_ = 0;              // gets what is nobody's
  ProcessUse ending_;
};

}  // namespace bai::step
