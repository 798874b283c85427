#include "step/enclose.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/fd.h"
#include "step/cgroup.h"

namespace bai::step {

namespace {

// Root's alone, so that nobody reaches another job's directory, or gives us one of theirs.
constexpr const char* kHidden = "/.bai-private";

Status make_hidden(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return errno_error("cannot make", path, errno);
  struct stat st {};
  if (lstat(path.c_str(), &st) != 0) return errno_error("cannot look at", path, errno);
  if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0)
    return Error{"not_ours", "it is not a directory of root's alone", path, "remove it"};
  return {};
}

bool see_own(const StepLaunch& launch) {
  const auto& dirs = launch.confinement.private_dirs;
  if (dirs.empty()) return true;
  if (unshare(CLONE_NEWNS) != 0 || mount("", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return false;
  return std::all_of(dirs.begin(), dirs.end(), [&](const std::string& dir) {
    return mount(private_dir(launch, dir).c_str(), dir.c_str(), nullptr, MS_BIND, nullptr) == 0;
  });
}

}  // namespace

std::string private_dir(const StepLaunch& launch, const std::string& dir) {
  std::string node = launch.node;
  std::replace(node.begin(), node.end(), '/', '_');
  return dir + kHidden + "/" + node + "-" + std::to_string(launch.job_id) + "." +
         std::to_string(launch.attempt);
}

Status make_private_dirs(const StepLaunch& launch) {
  for (const auto& dir : launch.confinement.private_dirs) {
    if (auto made = make_hidden(dir + kHidden); !made.ok()) return made;
    const std::string own = private_dir(launch, dir);
    if (mkdir(own.c_str(), 0700) != 0) {
      if (errno != EEXIST) return errno_error("cannot make", own, errno);
      continue;
    }
    if (chown(own.c_str(), launch.uid, launch.gid) != 0) return errno_error("cannot give away", own, errno);
  }
  return {};
}

void bind_to_cpus(const std::string& mask) {
  // The kernel wants whole words. Processors that we may not have are left out; with none left all stay.
  std::vector<unsigned long> words((mask.size() + sizeof(long) - 1) / sizeof(long));
  if (words.empty()) return;
  std::copy(mask.begin(), mask.end(), reinterpret_cast<char*>(words.data()));
  syscall(SYS_sched_setaffinity, 0, words.size() * sizeof(long), words.data());
}

Enclosed enclose(const StepLaunch& launch, const std::vector<std::string>& cgroups) {
  const auto& trees = launch.confinement.trees;
  for (const auto& dir : cgroups) {
    if (join_cgroup(dir)) continue;
    if (std::any_of(trees.begin(), trees.end(),
                    [&](const CgroupTree& tree) { return dir.starts_with(tree.parent + "/"); }))
      return Enclosed::kNotJoined;
  }
  bind_to_cpus(launch.confinement.cpu_mask);
  if (!see_own(launch)) return Enclosed::kNotPrivate;
  if (launch.confinement.no_new_privileges) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return Enclosed::kYes;
}

void remove_private_dirs(const StepLaunch& launch) {
  std::error_code ignored;  // it follows no link
  for (const auto& dir : launch.confinement.private_dirs)
    std::filesystem::remove_all(private_dir(launch, dir), ignored);
}

}  // namespace bai::step
