#include "step/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <set>
#include <string_view>

#include "base/env.h"
#include "base/fd.h"
#include "step/device_filter.h"

namespace bai::step {

namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxProcsBytes = 16u << 20;
constexpr int kCreateRounds = 5;
// The mode of a directory says whether it has all its settings: a maker may fail or die before.
constexpr mode_t kUnset = 0700, kSet = 0755;
constexpr int64_t kMaxLockPauseMs = 16;
constexpr std::string_view kDevicesDeny = "devices.deny";

bool write_file(const std::string& path, std::string_view text) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string step_dir_name(const StepLaunch& launch) {
  std::string name = "step-" + std::to_string(launch.job_id) + "." + std::to_string(launch.attempt) + "." +
                     launch.step + "-" + launch.mark.substr(0, 16);
  for (char& c : name)
    if (c == '/' || static_cast<unsigned char>(c) <= ' ') c = '_';
  return name;
}

std::string job_dir_name(const StepLaunch& launch) {
  return "job-" + std::to_string(launch.job_id) + "." + std::to_string(launch.attempt);
}

// v2 has no devices.deny.
Status deny_on_v2(const std::string& dir, const std::vector<CgroupSetting>& settings) {
  std::vector<DeviceRule> denied;
  for (const auto& setting : settings) {
    if (setting.file != kDevicesDeny) continue;
    auto rule = parse_rule(setting.value);
    if (!rule.ok()) return rule.error();
    denied.push_back(*rule);
  }
  return denied.empty() ? Status() : deny_devices(dir, denied);
}

Status write_settings(const std::string& dir, const std::vector<CgroupSetting>& settings) {
  const bool denies = std::any_of(settings.begin(), settings.end(),
                                  [](const CgroupSetting& s) { return s.file == kDevicesDeny; });
  const bool v2 = denies && open_unified(dir);
  for (const auto& setting : settings) {
    if (v2 && setting.file == kDevicesDeny) continue;
    const std::string path = dir + "/" + setting.file;
    if (write_file(path, setting.value)) continue;
    const int err = errno;
    if (access(dir.c_str(), F_OK) != 0 && errno == ENOENT)  // another step, that ended, took it away
      return errno_error("cannot set up cgroup", dir, ENOENT);
    // Not "not_found", which would be tried again.
    return Error{"io_error", "cannot set " + setting.value + ": " + strerror(err), path};
  }
  return v2 ? deny_on_v2(dir, settings) : Status();
}

// Makes a directory and writes its settings, unless it is there and has them all. Two at a time must not make the same one. Errors: not_found (its parent
// is not there, or it was removed meanwhile), io_error.
Status make_level(const std::string& dir, const std::vector<CgroupSetting>& settings) {
  if (mkdir(dir.c_str(), kUnset) != 0) {
    struct stat st {};
    if (errno != EEXIST || stat(dir.c_str(), &st) != 0) return errno_error("cannot make cgroup", dir, errno);
    if ((st.st_mode & 0777) == kSet) return {};
  }
  if (auto set = write_settings(dir, settings); !set.ok()) {
    rmdir(dir.c_str());
    return set;
  }
  chmod(dir.c_str(), kSet);  // where that cannot be, the next step writes the same settings again
  return {};
}

// Held while it is open. Errors: io_error, timed_out.
Result<Fd> lock_directory(const std::string& dir, int64_t wait_ms) {
  auto fd = open_fd(dir, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return fd;
  const Env env = Env::real();
  const int64_t until = env.monotonic_ms() + wait_ms;
  for (int64_t pause = 1; flock(fd->get(), LOCK_EX | LOCK_NB) != 0;
       pause = std::min(2 * pause, kMaxLockPauseMs)) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_error("cannot lock", dir, errno);
    if (env.monotonic_ms() >= until)
      return Error{"timed_out", "another step has been making its cgroups for too long", dir};
    poll(nullptr, 0, static_cast<int>(pause));
  }
  return fd;
}

// The levels that steps share: whoever finds one there finds its settings in it, too.
Status make_shared(const CgroupTree& tree, const std::string& job, const TreesLock& lock) {
  auto held = lock_directory(lock.dir, lock.wait_ms);
  if (!held.ok()) return held.error();
  Status done = make_level(job, tree.job);
  if (done.ok() || done.error().code != "not_found") return done;
  done = make_level(tree.parent, tree.node);
  return done.ok() ? make_level(job, tree.job) : done;
}

std::vector<std::string> subdirectories(const std::string& dir) {
  std::vector<std::string> out;
  std::unique_ptr<DIR, int (*)(DIR*)> d(opendir(dir.c_str()), closedir);
  if (!d) return out;
  while (const dirent* entry = readdir(d.get()))
    if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      out.push_back(dir + "/" + entry->d_name);
  return out;
}

void add_processes(const std::string& dir, int depth, std::vector<pid_t>* pids) {
  auto text = read_all(dir + "/cgroup.procs", kMaxProcsBytes);
  if (!text.ok()) return;
  const char* at = text->data();
  const char* end = at + text->size();
  while (at < end) {
    pid_t pid = 0;
    auto [next, error] = std::from_chars(at, end, pid);
    if (error != std::errc()) break;
    if (pid > 0) pids->push_back(pid);  // 0: a process of a pid namespace that we cannot see
    at = next + 1;
  }
  if (depth < kMaxDepth)
    for (const auto& sub : subdirectories(dir)) add_processes(sub, depth + 1, pids);
}

bool remove_below(const std::string& dir, int depth) {
  if (rmdir(dir.c_str()) == 0 || errno == ENOENT) return true;
  if (depth >= kMaxDepth) return false;
  bool removed_some = false;
  for (const auto& sub : subdirectories(dir)) removed_some |= remove_below(sub, depth + 1);
  return removed_some && (rmdir(dir.c_str()) == 0 || errno == ENOENT);
}

}  // namespace

std::vector<std::string> cgroup_dirs(const StepLaunch& launch) {
  const std::string name = step_dir_name(launch);
  std::vector<std::string> dirs;
  for (const auto& parent : launch.cgroups) dirs.push_back(parent + "/" + name);
  for (const auto& tree : launch.confinement.trees)
    dirs.push_back(tree.parent + "/" + job_dir_name(launch) + "/" + name);
  return dirs;
}

std::vector<std::string> create_cgroups(const StepLaunch& launch, std::string* problem) {
  std::vector<std::string> made;
  const std::string name = step_dir_name(launch);
  for (const auto& cgroup : launch.cgroups) {
    const std::string dir = cgroup + "/" + name;
    // Without the parent: the agent removed it while no step ran.
    if (mkdir(dir.c_str(), 0755) == 0 ||
        (errno == ENOENT && mkdir(parent_dir(dir).c_str(), 0755) == 0 && mkdir(dir.c_str(), 0755) == 0))
      made.push_back(dir);
    else
      *problem += (problem->empty() ? "" : "; ") + ("cannot make cgroup " + dir + ": " + strerror(errno));
  }
  return made;
}

Status create_trees(const StepLaunch& launch, const TreesLock& lock, std::vector<std::string>* made) {
  for (const auto& tree : launch.confinement.trees) {
    const std::string job = tree.parent + "/" + job_dir_name(launch);
    const std::string step = job + "/" + step_dir_name(launch);
    Status done;
    // Another step of the job that ends, or an agent without steps, may take directories away between two of ours.
    for (int round = 0; round < kCreateRounds; ++round) {
      done = make_shared(tree, job, lock);
      if (done.ok()) done = make_level(step, tree.step);
      if (done.ok() || done.error().code != "not_found") break;
    }
    if (!done.ok()) return done;
    made->push_back(step);
  }
  return {};
}

void remove_job_cgroups(const StepLaunch& launch) {
  for (const auto& tree : launch.confinement.trees) rmdir((tree.parent + "/" + job_dir_name(launch)).c_str());
}

bool freeze_cgroup(const std::string& dir, bool frozen) {
  return write_file(dir + "/cgroup.freeze", frozen ? "1" : "0") ||
         write_file(dir + "/freezer.state", frozen ? "FROZEN" : "THAWED");
}

bool remove_cgroup(const std::string& dir) { return remove_below(dir, 0); }

std::vector<pid_t> cgroup_processes(const std::string& dir) {
  std::vector<pid_t> pids;
  add_processes(dir, 0, &pids);
  return pids;
}

void kill_cgroup(const std::string& dir) {
  if (write_file(dir + "/cgroup.kill", "1")) return;
  // Frozen processes cannot fork ahead of us. v2 before 5.14 has cgroup.freeze; other v1 hierarchies have neither.
  const bool v1 = write_file(dir + "/freezer.state", "FROZEN");
  const bool v2 = !v1 && write_file(dir + "/cgroup.freeze", "1");
  std::set<pid_t> done;
  for (bool found = true; found;) {
    found = false;
    for (pid_t pid : cgroup_processes(dir)) {
      if (!done.insert(pid).second) continue;
      found = kill(pid, SIGKILL) == 0 && (v1 || v2);
    }
  }
  if (v1) write_file(dir + "/freezer.state", "THAWED");
  if (v2) write_file(dir + "/cgroup.freeze", "0");
}

Fd open_unified(const std::string& dir) {
  Fd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct statfs fs {};
  if (fd && (fstatfs(fd.get(), &fs) != 0 || fs.f_type != CGROUP2_SUPER_MAGIC)) fd.reset();
  return fd;
}

bool join_cgroup(const std::string& dir) { return write_file(dir + "/cgroup.procs", "0"); }

}  // namespace bai::step
