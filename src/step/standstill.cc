#include "step/standstill.h"

#include <signal.h>

#include "step/cgroup.h"
#include "step/process.h"

namespace bai::step {

void Standstill::begin(const Tracker& processes, int64_t now_ms) {
  if (begun_) return;
  begun_ = true;
  bool told = false;
  for (pid_t pid : processes.find())
    if (handles_signal(pid, SIGTSTP)) told |= kill(pid, SIGTSTP) == 0;
  if (told)
    stop_at_ = now_ms + kStandstillGraceMs;
  else
    stop(processes);
}

void Standstill::on_time(const Tracker& processes, int64_t now_ms) {
  if (stop_at_ && *stop_at_ <= now_ms) stop(processes);
}

void Standstill::stop(const Tracker& processes) {
  stop_at_.reset();
  for (const auto& dir : processes.cgroups)
    if (freeze_cgroup(dir, true)) frozen_.push_back(dir);
  if (frozen_.empty()) processes.signal_all(SIGSTOP);
}

void Standstill::end(const Tracker& processes) {
  if (!begun_) return;
  begun_ = false;
  stop_at_.reset();
  for (const auto& dir : frozen_) freeze_cgroup(dir, false);
  frozen_.clear();
  // Also to those that were frozen: whoever handled SIGTSTP waits for it.
  processes.signal_all(SIGCONT);
}

}  // namespace bai::step
