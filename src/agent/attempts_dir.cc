#include "agent/attempts_dir.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/fd.h"

namespace bai::agent {

namespace {

constexpr unsigned kMode = 0711;  // users search their way to their scripts, and read nothing else

bool in_memory(const std::string& dir) {
  struct statfs fs {};
  return statfs(dir.c_str(), &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

// Others may make names where it lies (/dev/shm), so it, or what it lies in, may be somebody else's.
bool ours_alone(const std::string& dir) {
  struct stat st {};
  if (lstat(dir.c_str(), &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
      (st.st_mode & 022) != 0)
    return false;
  for (std::string above = parent_dir(dir);; above = parent_dir(above)) {
    if (lstat(above.c_str(), &st) != 0 || !S_ISDIR(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()))
      return false;
    if ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0) return false;
    if (above == "/") return true;
  }
}

bool occupied(const Env& env, const std::string& dir) {
  auto names = env.list_dir(dir);
  return names.ok() && std::any_of(names->begin(), names->end(),
                                   [](const auto& name) { return !name.starts_with(kTrashPrefix); });
}

// Why attempts cannot lie in `dir`; empty when they can. Makes it.
std::string unfit(const Env& env, const std::string& dir) {
  if (auto made = env.make_dirs(dir, kMode); !made.ok()) return made.error().text();
  if (!ours_alone(dir)) return dir + " or what it lies in is somebody else's, a link, or open to others";
  struct statvfs fs {};
  std::string why;
  if (!in_memory(dir))
    why = " is no memory file system";
  else if (statvfs(dir.c_str(), &fs) != 0 || (fs.f_flag & ST_NOEXEC) != 0)
    why = " is mounted noexec, and scripts run from there";
  if (why.empty()) return why;
  rmdir(dir.c_str());
  return dir + why;
}

bool is_directory(const std::string& path) {
  struct stat st {};
  return lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string link_target(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t n = readlink(path.c_str(), target, sizeof target);
  return n < 0 ? std::string() : std::string(target, static_cast<std::size_t>(n));
}

}  // namespace

Result<AttemptsDir> place_attempts(const Env& env, const std::string& attempts, const std::string& runtime) {
  const std::string linked = link_target(attempts);
  const std::string& now = linked.empty() ? attempts : linked;
  // What a reboot emptied may be somebody else's by now.
  if ((linked.empty() || ours_alone(now)) && occupied(env, now)) return AttemptsDir{in_memory(now), ""};

  AttemptsDir out;
  if (!runtime.empty()) out.why_not = unfit(env, runtime);
  out.in_memory = !runtime.empty() && out.why_not.empty();
  if (out.in_memory ? linked == runtime : linked.empty() && is_directory(attempts)) return out;
  if (!linked.empty() ? unlink(attempts.c_str()) != 0 : !env.remove_tree(attempts).ok())
    return errno_error("cannot remove", attempts, errno);
  if (!out.in_memory) {
    if (auto made = env.make_dirs(attempts, kMode); !made.ok()) return made.error();
  } else if (symlink(runtime.c_str(), attempts.c_str()) != 0) {
    return errno_error("cannot link", attempts, errno);
  }
  return out;
}

}  // namespace bai::agent
