#include "step/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "step/track.h"

namespace bai::step {

namespace {

struct Actions {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  Actions() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~Actions() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
};

}  // namespace

Result<SpawnedShepherd> spawn_shepherd(const std::string& stepd, const std::string& dir,
                                       const std::string& mark) {
  Actions actions;
  posix_spawn_file_actions_addopen(&actions.files, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions.files, 0, 1);
  posix_spawn_file_actions_adddup2(&actions.files, 0, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions.files, 3);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&actions.attributes, &all);
  posix_spawnattr_setsigmask(&actions.attributes, &none);
  posix_spawnattr_setflags(&actions.attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);

  std::string mark_entry = std::string(kMarkVariable) + "=" + mark;
  std::string crash_entry;
  if (const char* point = getenv("BAI_CRASH_POINT")) crash_entry = std::string("BAI_CRASH_POINT=") + point;
  char* environment[] = {mark_entry.data(), crash_entry.empty() ? nullptr : crash_entry.data(), nullptr};
  std::string program = stepd, directory = dir;
  char* arguments[] = {program.data(), directory.data(), nullptr};

  SpawnedShepherd out;
  const int err =
      posix_spawn(&out.pid, stepd.c_str(), &actions.files, &actions.attributes, arguments, environment);
  if (err != 0) return Error{"spawn_failed", "cannot start " + stepd + ": " + strerror(err), dir};
  out.pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, out.pid, 0)));
  if (!out.pidfd) {
    // Only when descriptors run out: the shepherd runs all the same, but unseen it would be of no use.
    const int why = errno;
    kill(out.pid, SIGTERM);
    return Error{"spawn_failed", std::string("cannot watch the shepherd: ") + strerror(why), dir};
  }
  return out;
}

}  // namespace bai::step
