#include "step/clone.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "step/cgroup.h"

namespace bai::step {

Result<pid_t> clone_into(const std::vector<std::string>& cgroups, std::vector<std::string>* to_join,
                         const std::function<void()>& child) {
  *to_join = cgroups;
  for (auto unified = to_join->begin(); unified != to_join->end(); ++unified) {
    const Fd dir = open_unified(*unified);
    if (!dir) continue;
    to_join->erase(unified);
    clone_args args{};
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = SIGCHLD;
    args.cgroup = static_cast<uint64_t>(dir.get());
    // Past libc's fork: nothing here uses what its handlers would mend (one thread, no stdio, no thread ids).
    const long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
      child();
      _exit(127);
    }
    if (pid > 0) return static_cast<pid_t>(pid);
    *to_join = cgroups;  // an older kernel, or a seccomp filter: the long way
    break;
  }
  const pid_t pid = fork();
  if (pid < 0) return errno_error("cannot fork", "", errno);
  if (pid == 0) {
    child();
    _exit(127);
  }
  return pid;
}

}  // namespace bai::step
