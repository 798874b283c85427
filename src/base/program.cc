#include "base/program.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/text.h"

namespace bai {

namespace {

constexpr std::size_t kStack = 64 << 10;

struct Start {
  const char* path;
  char* const* argv;
  char* const* envp;
  int nowhere, out;
  pid_t parent;
  bool with_us;
  int failed = 0;  // errno
};

// In the child, which shares our memory until its exec: nothing but system calls.
int become(void* given) {
  Start& start = *static_cast<Start*>(given);
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int signum = 1; signum < NSIG; ++signum) sigaction(signum, &plain, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  if (start.with_us) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != start.parent) _exit(127);
  }
  dup2(start.nowhere, 0);
  dup2(start.out, 1);
  dup2(start.out, 2);
  execve(start.path, start.argv, start.envp);
  start.failed = errno;
  _exit(127);
}

// As posix_spawn(3) does it, so that the parent's size costs nothing.
pid_t spawn(Start* start) {
  std::vector<char> stack(kStack);
  const auto top = (reinterpret_cast<std::uintptr_t>(stack.data()) + kStack) & ~std::uintptr_t{15};
  return clone(become, reinterpret_cast<void*>(top), CLONE_VM | CLONE_VFORK | SIGCHLD, start);
}

}  // namespace

Result<std::unique_ptr<Program>> Program::start(const std::string& path, const std::vector<std::string>& env,
                                                bool with_us) {
  auto pipe = make_pipe();
  if (!pipe.ok()) return pipe.error();
  auto nowhere = open_fd("/dev/null", O_RDONLY);
  if (!nowhere.ok()) return nowhere.error();
  if (auto set = set_nonblocking(pipe->read.get()); !set.ok()) return set.error();
  std::vector<char*> envp;
  for (const auto& entry : env) envp.push_back(const_cast<char*>(entry.c_str()));
  envp.push_back(nullptr);
  char* argv[] = {const_cast<char*>(path.c_str()), nullptr};
  Start how{path.c_str(), argv, envp.data(), nowhere->get(), pipe->write.get(), getpid(), with_us};
  // The child shares our memory: no handler of ours may run in it.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = spawn(&how);
  const int err = pid < 0 ? errno : how.failed;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid > 0 && err != 0) waitpid(pid, nullptr, 0);
  if (err != 0) return errno_error("cannot run", path, err);
  std::unique_ptr<Program> program(new Program);
  program->pid_ = pid;
  program->output_ = std::move(pipe->read);
  program->ended_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  return program;
}

Program::~Program() {
  if (pid_ == 0) return;
  kill();
  waitpid(pid_, nullptr, 0);
}

void Program::kill() {
  if (pid_ > 0) ::kill(-pid_, SIGKILL);
}

void Program::read() {
  char buffer[4096];
  for (int i = 0; output_ && i < 64; ++i) {
    const auto n = ::read(output_.get(), buffer, sizeof buffer);
    if (n == 0) output_.reset();
    if (n <= 0) return;
    said_.append(buffer, static_cast<std::size_t>(n));
    if (said_.size() > kMostOutput) said_.erase(0, said_.size() - kMostOutput);
  }
}

std::optional<int> Program::wait_status() {
  read();
  if (pid_ == 0) return {};
  int status = 0;
  const pid_t done = waitpid(pid_, &status, WNOHANG);
  if (done == 0) return {};
  if (done < 0) status = 127 << 8;  // somebody else reaped it
  pid_ = 0;
  read();
  return status;
}

std::string Program::said() const { return std::string(trim(said_)); }

std::string ending_text(int wait_status) {
  if (WIFSIGNALED(wait_status)) return "signal " + std::to_string(WTERMSIG(wait_status));
  return "exit status " + std::to_string(WEXITSTATUS(wait_status));
}

}  // namespace bai
