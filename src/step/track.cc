#include "step/track.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "base/fd.h"
#include "step/cgroup.h"
#include "step/process.h"
#include "step/status.h"

namespace bai::step {

namespace {

constexpr int kMaxRounds = 8;
constexpr size_t kMaxChildrenBytes = 16u << 20;

bool alive(const ProcessStat& stat) { return stat.state != 'Z' && stat.state != 'X'; }

// The children of all threads, from /proc/PID/task/TID/children. False when the kernel has no such file.
bool read_children(pid_t pid, std::vector<pid_t>* children) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path), closedir);
  if (!dir) return true;  // it is gone
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_name[0] == '.') continue;
    auto text = read_all(std::string(path) + "/" + entry->d_name + "/children", kMaxChildrenBytes);
    if (!text.ok()) {
      if (access((std::string(path) + "/" + entry->d_name).c_str(), F_OK) == 0 &&
          text.error().code == "not_found")
        return false;
      continue;
    }
    const char* at = text->data();
    const char* end = at + text->size();
    while (at < end) {
      pid_t child = 0;
      auto [next, error] = std::from_chars(at, end, child);
      if (error != std::errc()) break;
      children->push_back(child);
      at = next + 1;
    }
  }
  return true;
}

// The same by every process's parent, for kernels without that file.
void add_descendants_by_parent(const std::vector<pid_t>& roots, std::set<pid_t>* found) {
  std::multimap<pid_t, pid_t> children;
  for (pid_t pid : all_processes())
    if (auto stat = process_stat(pid)) children.emplace(stat->parent, pid);
  std::vector<pid_t> todo = roots;
  while (!todo.empty()) {
    const pid_t pid = todo.back();
    todo.pop_back();
    auto [from, to] = children.equal_range(pid);
    for (auto it = from; it != to; ++it)
      if (found->insert(it->second).second) todo.push_back(it->second);
  }
}

void add_descendants(const std::vector<pid_t>& roots, std::set<pid_t>* found) {
  std::vector<pid_t> todo = roots;
  while (!todo.empty()) {
    const pid_t pid = todo.back();
    todo.pop_back();
    std::vector<pid_t> children;
    if (!read_children(pid, &children)) return add_descendants_by_parent(roots, found);
    for (pid_t child : children)
      if (found->insert(child).second) todo.push_back(child);
  }
}

std::vector<pid_t> live(const std::set<pid_t>& pids) {
  std::vector<pid_t> out;
  for (pid_t pid : pids) {
    auto stat = process_stat(pid);
    if (stat && alive(*stat)) out.push_back(pid);
  }
  return out;
}

int64_t monotonic_ms() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
}

// Processes that were told to die and are watched until they have. One may be out of find()'s sight meanwhile: its parents are gone, its
// environment is not ours.
class Dying {
 public:
  void add(const std::vector<pid_t>& pids) {
    for (pid_t pid : pids) {
      if (watched_.count(pid)) continue;
      Fd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
      if (fd) watched_.emplace(pid, std::move(fd));  // else it is gone already
    }
  }
  // Forgets those that have ended; waits up to `ms` for one if none has. True when none is left.
  bool wait(int ms) {
    std::vector<pollfd> polls;
    for (const auto& [pid, fd] : watched_) polls.push_back({fd.get(), POLLIN, 0});
    if (polls.empty()) return true;
    poll(polls.data(), polls.size(), ms);
    auto it = watched_.begin();
    for (const pollfd& p : polls) it = p.revents != 0 ? watched_.erase(it) : std::next(it);
    return watched_.empty();
  }
  std::string list() const {
    std::string out;
    for (const auto& [pid, fd] : watched_) out += " " + std::to_string(pid);
    return out;
  }

 private:
  std::map<pid_t, Fd> watched_;
};

Tracker remains_tracker(const StepLaunch& launch) {
  Tracker tracker;
  for (auto& dir : cgroup_dirs(launch))
    if (access(dir.c_str(), F_OK) == 0) tracker.cgroups.push_back(std::move(dir));
  tracker.mark = launch.mark;
  return tracker;
}

}  // namespace

std::vector<pid_t> descendants(pid_t root) {
  std::set<pid_t> found;
  add_descendants({root}, &found);
  return live(found);
}

std::vector<pid_t> marked_processes(const std::string& mark) {
  std::vector<pid_t> out;
  const std::string entry = std::string(kMarkVariable) + "=" + mark;
  for (pid_t pid : all_processes())
    if (pid != getpid() && has_environment_entry(pid, entry)) out.push_back(pid);
  return out;
}

std::vector<pid_t> Tracker::find() const {
  std::set<pid_t> found;
  for (const auto& dir : cgroups)
    for (pid_t pid : cgroup_processes(dir)) found.insert(pid);
  std::vector<pid_t> roots;
  if (shepherd != 0) {
    roots.push_back(shepherd);
  } else {
    if (!mark.empty()) roots = marked_processes(mark);
    found.insert(roots.begin(), roots.end());
  }
  add_descendants(roots, &found);
  found.erase(shepherd);
  found.erase(getpid());
  return live(found);
}

size_t Tracker::signal_all(int signum, pid_t except) const {
  std::set<pid_t> told = {except};
  return signal_new(signum, told);
}

size_t Tracker::signal_new(int signum, std::set<pid_t>& told) const {
  const size_t before = told.size();
  for (int round = 0; round < kMaxRounds; ++round) {
    bool found = false;
    for (pid_t pid : find())
      if (told.insert(pid).second) found |= kill(pid, signum) == 0;
    if (!found) break;
  }
  return told.size() - before;
}

size_t Tracker::kill_round() const {
  for (const auto& dir : cgroups) kill_cgroup(dir);
  std::vector<pid_t> pids = find();
  if (pids.empty()) return 0;
  // Stopped processes cannot fork ahead of us.
  if (cgroups.empty()) signal_all(SIGSTOP);
  return signal_all(SIGKILL);
}

Status kill_step_remains(const std::string& dir, const StepLaunch& launch, int timeout_ms) {
  auto started = read_started(dir);
  if (started.ok() && shepherd_alive(*started))
    return Error{
        "shepherd_alive",
        "the shepherd of " + step_name(launch) + " is alive (pid " + std::to_string(started->pid) + ")", dir,
        "talk to it"};
  const Tracker tracker = remains_tracker(launch);
  const int64_t until = monotonic_ms() + timeout_ms;
  Dying dying;
  for (;;) {
    const std::vector<pid_t> found = tracker.find();
    dying.add(found);
    if (!found.empty()) tracker.kill_round();
    const int64_t left = until - monotonic_ms();
    const bool none_left = dying.wait(static_cast<int>(std::clamp<int64_t>(left, 0, 200)));
    if (none_left && found.empty()) break;
    if (left <= 0)
      return Error{"still_running", "processes of " + step_name(launch) + " do not end:" + dying.list(), dir};
  }
  for (const auto& cgroup : tracker.cgroups) remove_cgroup(cgroup);
  remove_job_cgroups(launch);
  return {};
}

std::vector<pid_t> find_step_remains(const std::string& dir, const StepLaunch& launch) {
  Tracker tracker = remains_tracker(launch);
  auto started = read_started(dir);
  if (started.ok() && shepherd_alive(*started)) tracker.shepherd = started->pid;
  return tracker.find();
}

}  // namespace bai::step
