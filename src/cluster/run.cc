#include "cluster/run.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/crash_point.h"
#include "base/env.h"
#include "base/fd.h"
#include "base/paths.h"
#include "step/track.h"

namespace bai::cluster {
namespace {

// Takes the ends of all children that have ended; that of `pid` if it is among them.
std::optional<int> reap_until(pid_t pid) {
  std::optional<int> out;
  int status = 0;
  for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
    if (ended == pid) out = status;
  return out;
}

}  // namespace

std::string path_with_programs() {
  const char* path = getenv("PATH");
  std::string rest = path && *path ? path : "/usr/local/bin:/usr/bin:/bin";
  const std::string own = parent_dir(program_path("bai-cluster"));
  if (rest == own || rest.starts_with(own + ":")) return rest;
  return own + ":" + rest;
}

void adopt_orphans() { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

void end_orphans() {
  for (int round = 0; round < 120; ++round) {
    (void)reap_until(0);
    const auto left = step::descendants(getpid());
    if (left.empty()) return;
    if (round == 0 || round == 100)
      for (pid_t pid : left) kill(pid, round == 0 ? SIGTERM : SIGKILL);
    usleep(10'000);
  }
}

Result<int> run_command(const std::vector<std::string>& words, const std::string& conf,
                        Interrupt& interrupt) {
  if (interrupt.came()) return interrupted();
  const std::string path = path_with_programs();
  const pid_t pid = fork();
  if (pid < 0) return errno_error("cannot fork", words[0], errno);
  if (pid == 0) {
    Interrupt::restore_in_child();
    setenv("PATH", path.c_str(), 1);
    setenv("BAI_CONF", conf.c_str(), 1);
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    const int err = errno;
    fprintf(stderr, "bai-cluster: %s: %s\n", argv[0], strerror(err));
    _exit(err == ENOENT ? 127 : 126);
  }
  crash_point("cluster.command_started");
  // What came before it was there has not reached it.
  if (interrupt.came()) kill(pid, SIGTERM);
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  Fd children(signalfd(-1, &child_ended, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!children) return errno_error("cannot watch the command", words[0], errno);
  pollfd fds[] = {{children.get(), POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
  for (;;) {
    signalfd_siginfo ignored;
    while (read(children.get(), &ignored, sizeof ignored) > 0) {
    }
    if (auto status = reap_until(pid))
      return WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
    if (poll(fds, 2, -1) < 0 || fds[1].revents == 0) continue;
    // The terminal has told the whole foreground group already; what somebody sent to us alone is passed on. A shell that waits for
    // a program does not end by an interrupt of its own, so that becomes a termination.
    const int signal = interrupt.take();
    if (signal == SIGTERM || signal == SIGHUP)
      kill(pid, signal);
    else if (signal != 0 && interrupt.by_process())
      kill(pid, SIGTERM);
  }
}

}  // namespace bai::cluster
