#include "cluster/directory.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/env.h"

namespace bai::cluster {
namespace {

constexpr std::string_view kMark = "bai-cluster\n";  // in the lock: this directory is ours
constexpr int kPauseMs = 20;

Error no_cluster(const Layout& layout) {
  return Error{"no_cluster", "there is no cluster in " + layout.dir, "",
               "bai-cluster up makes one; --dir names another directory"};
}

// The topmost directory of a path that is not there; empty when all of it is.
std::string first_missing(const std::string& dir) {
  std::string missing;
  for (std::string at = dir; at != "/" && access(at.c_str(), F_OK) != 0; at = parent_dir(at)) missing = at;
  return missing;
}

bool is_the_file(int fd, const std::string& path) {
  struct stat held, there;
  return fstat(fd, &held) == 0 && stat(path.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
         held.st_dev == there.st_dev;
}

// The lock of a directory that is there. Nothing: it was removed, lock and all, by whom we waited for.
Result<Fd> lock_once(const Layout& layout, Interrupt* interrupt, int flags) {
  auto fd = open_fd(layout.lock(), O_RDWR | flags, 0600);
  if (!fd.ok()) return fd;
  while (flock(fd->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_error("cannot lock", layout.lock(), errno);
    pollfd told{interrupt ? interrupt->fd() : -1, POLLIN, 0};
    poll(&told, 1, kPauseMs);
    if (interrupt && interrupt->came()) return interrupted();
  }
  if (!is_the_file(fd->get(), layout.lock())) return Fd();
  return fd;
}

// What is in a directory without a cluster must be what a start has left that was killed.
Status check_ours(const Layout& layout) {
  if (has_cluster(layout) || is_claimed(layout)) return {};
  const auto names = Env::real().list_dir(layout.dir);
  if (!names.ok()) return names.error();
  for (const auto& name : *names)
    if (name != "lock")
      return Error{"not_empty", "there is something else in " + layout.dir + ": " + name, "--dir",
                   "name a directory that is new or empty"};
  return {};
}

}  // namespace

unsigned dir_mode() { return geteuid() == 0 ? 0755 : 0700; }

bool is_claimed(const Layout& layout) {
  const auto mark = read_all(layout.lock(), 64);
  return mark.ok() && *mark == kMark;
}

Result<Claim> claim_directory(const Layout& layout, Interrupt& interrupt) {
  const Env env = Env::real();
  Claim claim;
  while (!claim.lock) {
    if (auto missing = first_missing(layout.dir); !missing.empty()) claim.made = std::move(missing);
    if (auto made = env.make_dirs(layout.dir, dir_mode()); !made.ok()) return made.error();
    const auto nobody = [&] { return access(layout.lock().c_str(), F_OK) != 0; };
    if (nobody())  // and still nobody after a look: what another start has just made is not somebody else's
      if (auto ours = check_ours(layout); !ours.ok() && nobody()) return ours.error();
    auto lock = lock_once(layout, &interrupt, O_CREAT);
    if (lock.ok())
      claim.lock = std::move(*lock);
    else if (lock.error().code != "not_found")
      return lock.error();
  }
  if (auto ours = check_ours(layout); !ours.ok()) return ours.error();
  if (lseek(claim.lock.get(), 0, SEEK_END) == 0)
    if (auto marked = write_all(claim.lock.get(), kMark); !marked.ok()) return marked.error();
  return claim;
}

Result<Fd> lock_directory(const Layout& layout, Interrupt* interrupt) {
  auto lock = lock_once(layout, interrupt, 0);
  if (lock.ok() ? !*lock : lock.error().code == "not_found") return no_cluster(layout);
  return lock;
}

Status remove_files(const Layout& layout, const Settings& settings) {
  const Env env = Env::real();
  Status result;
  // The settings go late and the lock last, so that a `down` that was cut off can be repeated.
  std::vector<std::string> paths = {layout.agents_dir(),   layout.ctld_dir(), layout.munge_dir(),
                                    layout.postgres_dir(), layout.log_dir(),  layout.run_dir()};
  if (!settings.socket_dir.empty()) paths.push_back(settings.socket_dir);
  if (const auto runtime = runtime_dir(layout); !runtime.empty()) paths.push_back(runtime);
  for (const auto& path : {layout.conf(), layout.settings(), layout.lock()}) paths.push_back(path);
  for (const auto& path : paths)
    if (auto removed = env.remove_tree(path); !removed.ok()) result = removed;
  const bool above = !settings.made.empty() && layout.dir.starts_with(settings.made);
  for (std::string at = layout.dir; rmdir(at.c_str()) == 0 && above && at != settings.made;)
    at = parent_dir(at);
  return result;
}

}  // namespace bai::cluster
