#include "step/nursery.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "step/shepherd.h"
#include "step/track.h"

namespace bai::step {

namespace {

constexpr std::size_t kMarkBytes = 32;
constexpr std::size_t kMaxRequest = kMarkBytes + PATH_MAX;
constexpr const char* kNotAsked = "not_asked";
constexpr int kPatienceS = 10;  // for an answer; a nursery that does not give one is killed

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

Error spawn_failed(const std::string& why, const std::string& dir) {
  return Error{"spawn_failed", "cannot start bai-stepd: " + why, dir};
}

// Shepherds, and the steps' programs, inherit no ignored signal. The kernel's own call: libc's hides two signals from us, which may be
// ignored as well. Its structure begins with the handler; all zero is SIG_DFL. Handlers (a sanitizer's) stay: no program inherits them.
void reset_signals() {
  const char standard[64] = {};
  for (int signum = 1; signum <= 64; ++signum) {
    sighandler_t now[8] = {};
    syscall(SYS_rt_sigaction, signum, nullptr, now, 8);
    if (now[0] == SIG_IGN) syscall(SYS_rt_sigaction, signum, standard, nullptr, 8);
  }
}

// A copy of this process whose parent is ours. Past libc's fork: nothing here uses what its handlers would mend (one thread, no stdio,
// no thread ids).
pid_t clone_sibling() { return static_cast<pid_t>(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)); }

[[noreturn]] void become_shepherd(const std::string& mark, const std::string& dir, pid_t agent, char* title,
                                  std::size_t room) {
  setpgid(0, 0);
  memset(title, 0, room);
  dir.copy(title, room - 1);
  if (char* entry = getenv(kMarkVariable)) mark.copy(entry, strlen(entry));
  const Status done = run_shepherd(dir, agent);
  if (!done.ok()) log_shepherd(dir, done.error().text());
  exit(done.ok() ? 0 : 1);
}

}  // namespace

Status run_nursery(int socket, char* title, std::size_t room) {
  reset_signals();
  const pid_t agent = getppid();
  std::vector<char> request(kMaxRequest);
  for (;;) {
    const ssize_t n = recv(socket, request.data(), request.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("cannot read what to start", "", errno);
    if (n <= static_cast<ssize_t>(kMarkBytes)) return {};
    const pid_t pid = clone_sibling();
    if (pid == 0) {
      ::close(socket);
      const std::string text(request.data(), static_cast<std::size_t>(n));
      become_shepherd(text.substr(0, kMarkBytes), text.substr(kMarkBytes), agent, title, room);
    }
    const pid_t answer = pid > 0 ? pid : -errno;
    if (send(socket, &answer, sizeof answer, MSG_NOSIGNAL) < 0) return {};
  }
}

Result<SpawnedShepherd> Nursery::spawn(const std::string& dir, const std::string& mark) {
  if (mark.size() != kMarkBytes || dir.size() > longest_dir_ || dir.size() >= PATH_MAX)
    return spawn_failed("the name of its directory, or the mark, is not of the agreed length", dir);
  if (!socket_)
    if (auto started = start(); !started.ok()) return started.error();
  auto pid = ask(dir, mark);
  if (!pid.ok() && pid.error().code == kNotAsked) {  // somebody ended it
    close();
    if (auto started = start(); !started.ok()) return started.error();
    pid = ask(dir, mark);
  }
  if (!pid.ok()) {
    close();
    return spawn_failed(pid.error().message, dir);
  }
  if (*pid < 0) return spawn_failed(strerror(-*pid), dir);
  SpawnedShepherd out{*pid, Fd(static_cast<int>(syscall(SYS_pidfd_open, *pid, 0)))};
  if (out.pidfd) return out;
  // Only when descriptors run out: the shepherd runs all the same, but unseen it would be of no use.
  const int why = errno;
  kill(out.pid, SIGTERM);
  return spawn_failed(std::string("cannot watch it: ") + strerror(why), dir);
}

Result<pid_t> Nursery::ask(const std::string& dir, const std::string& mark) const {
  const std::string request = mark + dir;
  if (send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0)
    return Error{kNotAsked, strerror(errno), dir};
  pid_t answer = 0;
  ssize_t n;
  while ((n = recv(socket_.get(), &answer, sizeof answer, 0)) < 0 && errno == EINTR) {
  }
  if (n < 0) return spawn_failed(strerror(errno), dir);
  if (n != sizeof answer) return spawn_failed("the process that starts shepherds has ended", dir);
  return answer;
}

Status Nursery::start() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return spawn_failed(strerror(errno), stepd_);
  socket_.reset(ends[0]);
  const Fd theirs(ends[1]);
  const timeval patience{kPatienceS, 0};
  for (int which : {SO_RCVTIMEO, SO_SNDTIMEO})
    setsockopt(socket_.get(), SOL_SOCKET, which, &patience, sizeof patience);

  Actions actions;
  posix_spawn_file_actions_addopen(&actions.files, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions.files, 0, 1);
  posix_spawn_file_actions_adddup2(&actions.files, 0, 2);
  posix_spawn_file_actions_adddup2(&actions.files, theirs.get(), kNurserySocket);
  posix_spawn_file_actions_addclosefrom_np(&actions.files, kNurserySocket + 1);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&actions.attributes, &all);
  posix_spawnattr_setsigmask(&actions.attributes, &none);
  posix_spawnattr_setflags(&actions.attributes,
                           POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);

  std::string mark = std::string(kMarkVariable) + "=" + std::string(kMarkBytes, '-'), crash;
  if (const char* point = getenv("BAI_CRASH_POINT")) crash = std::string("BAI_CRASH_POINT=") + point;
  char* environment[] = {mark.data(), crash.empty() ? nullptr : crash.data(), nullptr};
  std::string program = stepd_, option = kNurseryOption, blanks(longest_dir_, ' ');
  char* arguments[] = {program.data(), option.data(), blanks.data(), nullptr};
  const int err =
      posix_spawn(&pid_, stepd_.c_str(), &actions.files, &actions.attributes, arguments, environment);
  if (err == 0) return {};
  pid_ = 0;
  socket_.reset();
  return Error{"spawn_failed", "cannot start " + stepd_ + ": " + strerror(err), stepd_};
}

void Nursery::close() {
  socket_.reset();
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);  // it may be one that does not answer; its shepherds do not need it
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

}  // namespace bai::step
