#include "step/use.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "base/fd.h"

namespace bai::step {

namespace {

constexpr int64_t kFirstLookMs = 2'000;
constexpr size_t kMaxFile = 64u << 10;
constexpr uint32_t kOutOfMemorySignal = 125;

uint64_t parse(std::string_view word) {
  uint64_t value = 0;
  std::from_chars(word.data(), word.data() + word.size(), value);
  return value;
}

// The number behind "KEY " at the beginning of a line; 0 when there is none.
uint64_t value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ')
      return parse(line.substr(key.size() + 1));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return 0;
}

std::string read_text(const std::string& path) {
  auto text = read_all(path, kMaxFile);
  return text.ok() ? std::move(*text) : std::string();
}

uint64_t microseconds(const timeval& t) {
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000 + static_cast<uint64_t>(t.tv_usec);
}

void read_io(const std::string& dir, ProcessUse* use) {
  const std::string io = read_text(dir + "/io");
  use->read_bytes = value_of(io, "rchar:");
  use->write_bytes = value_of(io, "wchar:");
}

}  // namespace

std::optional<ProcessUse> process_use(pid_t pid) {
  const std::string dir = "/proc/" + std::to_string(pid);
  const std::string stat = read_text(dir + "/stat");
  const size_t close = stat.rfind(')');  // the name may hold any byte
  if (close == std::string::npos) return {};
  static const uint64_t tick_us = 1'000'000 / static_cast<uint64_t>(std::max(1L, sysconf(_SC_CLK_TCK)));
  static const uint64_t page_kib = static_cast<uint64_t>(std::max(4096L, sysconf(_SC_PAGESIZE))) / 1024;
  ProcessUse use;
  use.pid = pid;
  std::string_view text = std::string_view(stat).substr(close + 1);
  // Fields 3 and on, each after a blank (proc(5)): 14 to 17 are utime, stime, cutime, cstime.
  for (int field = 3; field <= 24 && !text.empty(); ++field) {
    text.remove_prefix(1);
    const auto word = text.substr(0, text.find(' '));
    if (field == 4) use.parent = static_cast<pid_t>(parse(word));
    if (field >= 14 && field <= 17) use.cpu_us += parse(word) * tick_us;
    if (field == 24) use.rss_kib = parse(word) * page_kib;
    text.remove_prefix(word.size());
  }
  read_io(dir, &use);
  return use;
}

uint64_t cgroup_oom_kills(const std::string& dir) {
  const uint64_t kills = value_of(read_text(dir + "/memory.events"), "oom_kill");
  return kills != 0 ? kills : value_of(read_text(dir + "/memory.oom_control"), "oom_kill");
}

void judge_memory(uint64_t kills, const Confinement& confinement, StepStatus* status) {
  if (kills == 0 || (status->reason != EndReason::kExited && status->reason != EndReason::kSignalled)) return;
  status->reason = EndReason::kOutOfMemory;
  status->exit_code = 0;
  status->signal = kOutOfMemorySignal;
  status->message =
      std::to_string(kills) + (kills == 1 ? " process was" : " processes were") +
      " killed because the job used more memory than " +
      (confinement.memory_mib == 0 ? "there was" : "its " + std::to_string(confinement.memory_mib) + " MiB");
}

void UseMeter::start(uint32_t interval_s, int64_t now_ms) {
  interval_ms_ = static_cast<int64_t>(interval_s) * 1000;
  pause_ms_ = std::min(kFirstLookMs, interval_ms_);
  if (interval_ms_ > 0) next_ms_ = now_ms + pause_ms_;
}

void UseMeter::look(const std::vector<pid_t>& processes, const std::vector<pid_t>& tasks, int64_t now_ms) {
  if (interval_ms_ > 0) {
    pause_ms_ = std::min(2 * pause_ms_, interval_ms_);
    next_ms_ = now_ms + pause_ms_;  // not caught up with when we were kept from the processor
  }
  if (first_ == 0 && !tasks.empty()) first_ = tasks[0];
  std::map<pid_t, ProcessUse> found;
  for (pid_t pid : processes)
    if (auto use = process_use(pid)) found.emplace(pid, *use);
  const auto task_of = [&](pid_t pid) {
    for (size_t steps = 0; steps <= found.size(); ++steps) {
      if (std::find(tasks.begin(), tasks.end(), pid) != tasks.end()) return pid;
      const auto it = found.find(pid);
      if (it == found.end()) break;
      pid = it->second.parent;
    }
    return first_;
  };
  all_ended();
  std::map<pid_t, uint64_t> rss;
  for (const auto& [pid, use] : found) {
    const pid_t top = task_of(pid);
    rss[top] += use.rss_kib;
    Task& task = tasks_[top];
    task.live_cpu_us += use.cpu_us;
    task.live_read_bytes += use.read_bytes;
    task.live_write_bytes += use.write_bytes;
  }
  for (const auto& [pid, kib] : rss) tasks_[pid].peak_kib = std::max(tasks_[pid].peak_kib, kib);
}

void UseMeter::ending(pid_t pid) {
  ending_ = {};
  ending_.pid = pid;
  read_io("/proc/" + std::to_string(pid), &ending_);
}

void UseMeter::ended(pid_t pid, bool is_task, const rusage& used) {
  if (first_ == 0) first_ = pid;
  Task& task = tasks_[is_task ? pid : first_];
  // What of it was alive at the last look is exact now.
  if (is_task) task.live_cpu_us = task.live_read_bytes = task.live_write_bytes = 0;
  task.cpu_us += microseconds(used.ru_utime) + microseconds(used.ru_stime);
  if (ending_.pid == pid) {
    task.read_bytes += ending_.read_bytes;
    task.write_bytes += ending_.write_bytes;
  }
  task.peak_kib = std::max(task.peak_kib, static_cast<uint64_t>(used.ru_maxrss));
}

void UseMeter::all_ended() {
  for (auto& [pid, task] : tasks_) task.live_cpu_us = task.live_read_bytes = task.live_write_bytes = 0;
}

StepUse UseMeter::total() const {
  rusage reaped{};
  getrusage(RUSAGE_CHILDREN, &reaped);
  StepUse out;
  out.user_us = microseconds(reaped.ru_utime);
  out.system_us = microseconds(reaped.ru_stime);
  for (const auto& [pid, task] : tasks_) {
    out.user_us += task.live_cpu_us;  // not told apart
    out.max_rss_kib = std::max(out.max_rss_kib, task.peak_kib);
    out.sum_rss_kib += task.peak_kib;
    const uint64_t read = task.read_bytes + task.live_read_bytes;
    const uint64_t written = task.write_bytes + task.live_write_bytes;
    out.read_bytes += read;
    out.write_bytes += written;
    out.max_read_bytes = std::max(out.max_read_bytes, read);
    out.max_write_bytes = std::max(out.max_write_bytes, written);
  }
  return out;
}

}  // namespace bai::step
