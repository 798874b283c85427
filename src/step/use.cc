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

std::map<pid_t, pid_t> tops_of(const std::map<pid_t, pid_t>& parents, const std::vector<pid_t>& tops,
                               pid_t otherwise) {
  std::map<pid_t, pid_t> out;
  for (pid_t top : tops) out[top] = top;
  for (const auto& [process, above] : parents) {
    std::vector<pid_t> way;
    pid_t top = otherwise;
    for (pid_t pid = process;;) {
      const auto parent = parents.find(pid);
      // A ring, as numbers that were given anew between two looks may make one, ends where it began.
      const auto [known, fresh] = out.try_emplace(pid, otherwise);
      top = known->second;
      if (!fresh || parent == parents.end()) break;
      way.push_back(pid);
      pid = parent->second;
    }
    for (pid_t pid : way) out[pid] = top;
  }
  return out;
}

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
  // Fields 3 and on, each after a blank (proc(5)): 12 and 13 are majflt, cmajflt; 14 to 17 utime, stime, cutime, cstime.
  for (int field = 3; field <= 24 && !text.empty(); ++field) {
    text.remove_prefix(1);
    const auto word = text.substr(0, text.find(' '));
    if (field == 4) use.parent = static_cast<pid_t>(parse(word));
    if (field == 12 || field == 13) use.pages += parse(word);
    if (field >= 14 && field <= 17) use.cpu_us += parse(word) * tick_us;
    if (field == 23) use.vm_kib = parse(word) / 1024;
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
  looked_ms_ = now_ms;
  if (interval_ms_ > 0) {
    pause_ms_ = std::min(2 * pause_ms_, interval_ms_);
    next_ms_ = now_ms + pause_ms_;  // not caught up with when we were kept from the processor
  }
  if (first_ == 0 && !tasks.empty()) first_ = tasks[0];
  std::map<pid_t, ProcessUse> found;
  for (pid_t pid : processes)
    if (auto use = process_use(pid)) found.emplace(pid, *use);
  std::map<pid_t, pid_t> parents;
  for (const auto& [pid, use] : found) parents.emplace(pid, use.parent);
  const auto task_of = tops_of(parents, tasks, first_);
  all_ended();
  for (const auto& [pid, use] : found) {
    Task& task = tasks_[task_of.at(pid)];
    task.live_kib += use.rss_kib;
    task.live_vm_kib += use.vm_kib;
    task.live_cpu_us += use.cpu_us;
    task.live_pages += use.pages;
    task.live_read_bytes += use.read_bytes;
    task.live_write_bytes += use.write_bytes;
  }
  for (auto& [pid, task] : tasks_) {
    task.peak_kib = std::max(task.peak_kib, task.live_kib);
    task.peak_vm_kib = std::max(task.peak_vm_kib, task.live_vm_kib);
  }
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
  if (is_task) task.none_live();
  task.cpu_us += microseconds(used.ru_utime) + microseconds(used.ru_stime);
  task.pages += static_cast<uint64_t>(used.ru_majflt);
  if (ending_.pid == pid) {
    task.read_bytes += ending_.read_bytes;
    task.write_bytes += ending_.write_bytes;
  }
  task.peak_kib = std::max(task.peak_kib, static_cast<uint64_t>(used.ru_maxrss));
}

void UseMeter::all_ended() {
  for (auto& [pid, task] : tasks_) task.none_live();
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

LiveUse UseMeter::live() const {
  LiveUse out;
  bool first = true;
  const auto add = [&first](UseFigure& figure, uint32_t rank, uint64_t now, uint64_t extreme) {
    figure.total += now;
    if (first || extreme > figure.most) figure.most = extreme, figure.most_task = rank;
    if (first || extreme < figure.least) figure.least = extreme, figure.least_task = rank;
  };
  const auto count = [&](uint32_t rank, const Task& task) {
    const uint64_t cpu = task.cpu_us + task.live_cpu_us, pages = task.pages + task.live_pages;
    const uint64_t read = task.read_bytes + task.live_read_bytes;
    const uint64_t written = task.write_bytes + task.live_write_bytes;
    add(out.cpu_us, rank, cpu, cpu);
    add(out.rss_kib, rank, task.live_kib, task.peak_kib);
    add(out.vm_kib, rank, task.live_vm_kib, task.peak_vm_kib);
    add(out.pages, rank, pages, pages);
    add(out.read_bytes, rank, read, read);
    add(out.write_bytes, rank, written, written);
    first = false;
    out.tasks++;
  };
  // In the order of ranks, so that of equals the first is named.
  std::map<uint32_t, pid_t> by_rank;
  for (const auto& [pid, rank] : ranks_) by_rank.emplace(rank, pid);
  for (const auto& [rank, pid] : by_rank) {
    const auto task = tasks_.find(pid);
    count(rank, task == tasks_.end() ? Task{} : task->second);
  }
  return out;
}

}  // namespace bai::step
