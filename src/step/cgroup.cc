#include "step/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <set>
#include <string_view>

#include "base/env.h"
#include "base/fd.h"

namespace bai::step {

namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxProcsBytes = 16u << 20;

bool write_file(const std::string& path, std::string_view text) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
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
  std::string name = "step-" + std::to_string(launch.job_id) + "." + std::to_string(launch.attempt) + "." +
                     launch.step + "-" + launch.mark.substr(0, 16);
  for (char& c : name)
    if (c == '/' || static_cast<unsigned char>(c) <= ' ') c = '_';
  std::vector<std::string> dirs;
  for (const auto& parent : launch.cgroups) dirs.push_back(parent + "/" + name);
  return dirs;
}

std::vector<std::string> create_cgroups(const StepLaunch& launch, std::string* problem) {
  std::vector<std::string> made;
  for (const auto& dir : cgroup_dirs(launch)) {
    // Without the parent: the agent removed it while no step ran.
    if (mkdir(dir.c_str(), 0755) == 0 ||
        (errno == ENOENT && mkdir(parent_dir(dir).c_str(), 0755) == 0 && mkdir(dir.c_str(), 0755) == 0))
      made.push_back(dir);
    else
      *problem += (problem->empty() ? "" : "; ") + ("cannot make cgroup " + dir + ": " + strerror(errno));
  }
  return made;
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
