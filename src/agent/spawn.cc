#include "agent/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"

namespace bai::agent {

namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

std::vector<std::string> own_environment() {
  std::vector<std::string> out;
  for (char** p = environ; *p; ++p) out.emplace_back(*p);
  return out;
}

Result<pid_t> spawn_apart(const std::string& path, std::vector<std::string> words,
                          std::vector<std::string> environment, PassedFd passed) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  Fd high;
  if (passed.ours >= 0) {
    // Not onto itself, which would leave it to be closed.
    high.reset(fcntl(passed.ours, F_DUPFD_CLOEXEC, passed.theirs + 1));
    posix_spawn_file_actions_adddup2(&files, high.get(), passed.theirs);
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  auto argv = pointers(words), env = pointers(environment);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, path.c_str(), &files, &attributes, argv.data(), env.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return Error{"io_error", strerror(failed), path};
  return pid;
}

}  // namespace bai::agent
