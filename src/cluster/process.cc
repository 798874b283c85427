#include "cluster/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/crash_point.h"
#include "base/env.h"
#include "base/text.h"
#include "base/units.h"
#include "step/process.h"

namespace bai::cluster {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kCloseOnExec = 1u << 2;  // CLOSE_RANGE_CLOEXEC, Linux 5.11

std::string pid_path(const Layout& layout, const std::string& name) {
  return layout.run_dir() + "/" + name + ".pid";
}
std::string start_path(const Layout& layout, const std::string& name) {
  return layout.run_dir() + "/" + name + ".start";
}

Fd open_pidfd(pid_t pid) { return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

int left_ms(Clock::time_point until) {
  return static_cast<int>(std::max<std::int64_t>(
      0, std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count()));
}

// Not durable on purpose: after a crash of the machine nothing of it runs any more.
bool write_small_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  {
    Fd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd || !write_all(fd.get(), text).ok()) return false;
  }
  return rename(fresh.c_str(), path.c_str()) == 0;
}

std::string start_mark(pid_t pid) {
  const auto stat = step::process_stat(pid);
  return stat ? std::to_string(stat->start_ticks) + " " + step::boot_id() + "\n" : std::string();
}

bool write_own_pid_files(const Layout& layout, const std::string& name) {
  return write_small_file(start_path(layout, name), start_mark(getpid())) &&
         write_small_file(pid_path(layout, name), std::to_string(getpid()) + "\n");
}

bool become(const RunAs& as) {
  return setgroups(1, &as.gid) == 0 && setresgid(as.gid, as.gid, as.gid) == 0 &&
         setresuid(as.uid, as.uid, as.uid) == 0;
}

[[noreturn]] void fail_child(const char* what) {
  dprintf(2, "bai-cluster: %s: %s\n", what, strerror(errno));
  _exit(127);
}

// In the child.
[[noreturn]] void become_program(const Layout& layout, const std::string& name,
                                 const std::vector<std::string>& argv, const std::optional<RunAs>& as) {
  setsid();  // from here on what is typed at the terminal is not for it
  Interrupt::restore_in_child();
  const int null = open("/dev/null", O_RDWR);
  const int log = open(layout.log(name).c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
    fail_child("cannot open the log");
  // Nothing else stays open in the program. Not closed at once: the starter's pipe is among them.
  if (syscall(SYS_close_range, 3u, ~0u, kCloseOnExec) != 0)
    for (int fd = 3; fd < 4096; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  if (!write_own_pid_files(layout, name)) fail_child("cannot write the pid file");
  if (chdir("/") != 0) fail_child("cannot go to /");
  if (as && !become(*as)) fail_child("cannot become another user");
  umask(022);
  unsetenv("NOTIFY_SOCKET");
  std::vector<char*> words;
  for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execv(words[0], words.data());
  fail_child(words[0]);
}

Error with_log(const Layout& layout, std::string code, std::string message, const std::string& name) {
  const auto tail = log_tail(layout.log(name));
  if (!tail.empty()) message += "; the last lines of its log:\n" + tail;
  return Error{std::move(code), std::move(message), "", ""};
}

// Whether SIGKILL is on its way to the process: a moment later it is no more.
bool is_dying(pid_t pid) {
  const auto status = read_all("/proc/" + std::to_string(pid) + "/status", 65536);
  if (!status.ok()) return true;
  for (auto line : split(*status, '\n')) {
    if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) continue;
    const std::string mask(trim(line.substr(7)));
    if (strtoull(mask.c_str(), nullptr, 16) & 1ull << (SIGKILL - 1)) return true;
  }
  return false;
}

}  // namespace

Result<Process> start_process(const Layout& layout, const std::string& name,
                              const std::vector<std::string>& argv, std::optional<RunAs> as) {
  if (access(argv[0].c_str(), X_OK) != 0)
    return Error{"spawn_failed", "cannot run it: " + std::string(strerror(errno)), argv[0], ""};
  auto until_exec = make_pipe();
  if (!until_exec.ok()) return until_exec.error();
  const pid_t pid = fork();
  if (pid < 0) return errno_error("cannot fork", name, errno);
  if (pid == 0) become_program(layout, name, argv, as);
  // Its end is closed when it has become the program (or failed to): from then on its pid file is there.
  until_exec->write.reset();
  (void)read_all(until_exec->read.get(), 1);
  Fd pidfd = open_pidfd(pid);
  if (!pidfd) return errno_error("cannot watch the process", name, errno);
  return Process{name, pid, std::move(pidfd)};
}

Status run_process(const Layout& layout, const std::string& name, const std::vector<std::string>& argv,
                   std::optional<RunAs> as, Interrupt& interrupt) {
  auto process = start_process(layout, name, argv, as);
  if (!process.ok()) return process.error();
  crash_point("cluster.initdb_started");
  pollfd fds[] = {{process->pidfd.get(), POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
  while (fds[0].revents == 0) {
    poll(fds, 2, -1);
    if (fds[1].revents != 0 && interrupt.take() != 0) kill(-process->pid, SIGTERM);
  }
  int status = 0;
  waitpid(process->pid, &status, 0);
  end_session(process->pid);
  remove_pid_files(layout, name);
  if (interrupt.came()) return interrupted();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return with_log(layout, "program_failed", argv[0] + " failed", name);
}

std::optional<Process> find_process(const Layout& layout, const std::string& name) {
  const auto text = read_all(pid_path(layout, name), 64);
  const auto start = read_all(start_path(layout, name), 256);
  if (!text.ok() || !start.ok()) return {};
  const auto pid = parse_int(trim(*text), 2, INT32_MAX);
  if (!pid.ok()) return {};
  Process out{name, static_cast<pid_t>(*pid), open_pidfd(static_cast<pid_t>(*pid))};
  // First the descriptor, then the question: so the answer is about what the descriptor holds.
  if (!out.pidfd || start_mark(out.pid) != *start) return {};
  const auto stat = step::process_stat(out.pid);
  // A process is gone when all its threads are: until then it may hold locks, although its first thread is a
  // zombie.
  if (!stat || ((stat->state == 'Z' || is_dying(out.pid)) && wait_for_end(out, 5'000))) return {};
  return out;
}

Status stop_process(const Layout& layout, Process process, int signum, int grace_ms) {
  auto send = [&](int number) {
    return syscall(SYS_pidfd_send_signal, process.pidfd.get(), number, nullptr, 0) == 0;
  };
  if (!send(signum) && errno == EPERM)
    return Error{"permission_denied", "may not end process " + std::to_string(process.pid), process.name,
                 "be the user who started the cluster"};
  if (!wait_for_end(process, grace_ms)) {
    send(SIGKILL);
    if (!wait_for_end(process, 10'000))
      return Error{"not_ended", "process " + std::to_string(process.pid) + " does not end", process.name, ""};
  }
  waitpid(process.pid, nullptr, WNOHANG);  // if it was our own child
  remove_pid_files(layout, process.name);
  return {};
}

void end_session(pid_t session) {
  for (int round = 0; round < 2; ++round) {
    bool any = false;
    for (pid_t pid : step::all_processes()) {
      const auto stat = step::process_stat(pid);
      if (!stat || stat->session != session || stat->state == 'Z') continue;
      const Process left{"", pid, open_pidfd(pid)};
      any = (left.pidfd && !wait_for_end(left, 2'000)) || any;
    }
    if (!any) return;
    kill(-session, SIGKILL);
  }
}

void remove_pid_files(const Layout& layout, const std::string& name) {
  unlink(pid_path(layout, name).c_str());
  unlink(start_path(layout, name).c_str());
}

Status wait_until(const Layout& layout, const std::vector<const Process*>& watched, Interrupt& interrupt,
                  int timeout_ms, int pause_ms, const std::string& what, const std::function<bool()>& done) {
  const auto until = Clock::now() + std::chrono::milliseconds(timeout_ms);
  std::vector<pollfd> fds = {{interrupt.fd(), POLLIN, 0}};
  for (const auto* process : watched) fds.push_back({process->pidfd.get(), POLLIN, 0});
  for (;;) {
    if (interrupt.came()) return interrupted();
    if (done()) return {};
    if (left_ms(until) == 0)
      return with_log(layout, "timed_out", what + " within " + std::to_string(timeout_ms / 1000) + " s",
                      watched.back()->name);
    if (poll(fds.data(), fds.size(), std::min(pause_ms, left_ms(until))) <= 0) continue;
    if (fds[0].revents != 0) continue;
    for (std::size_t i = 1; i < fds.size(); ++i)
      if (fds[i].revents != 0)
        return with_log(layout, "daemon_died", watched[i - 1]->name + " ended at once", watched[i - 1]->name);
  }
}

bool wait_for_end(const Process& process, int timeout_ms) {
  const auto until = Clock::now() + std::chrono::milliseconds(timeout_ms);
  pollfd fd = {process.pidfd.get(), POLLIN, 0};
  for (;;) {
    const int n = poll(&fd, 1, left_ms(until));
    if (n > 0) return true;
    if (n == 0) return false;
    if (errno != EINTR) return false;
  }
}

std::string log_tail(const std::string& path, std::size_t lines) {
  auto fd = open_fd(path, O_RDONLY);
  if (!fd.ok()) return "";
  const off_t size = lseek(fd->get(), 0, SEEK_END);
  lseek(fd->get(), std::max<off_t>(0, size - 8192), SEEK_SET);
  auto text = read_all(fd->get(), 65536);
  if (!text.ok()) return "";
  auto all = split_list(*text, '\n');
  std::string out;
  for (std::size_t i = all.size() > lines ? all.size() - lines : 0; i < all.size(); ++i)
    out += (out.empty() ? "  " : "\n  ") + escape_control(all[i]);
  return out;
}

std::optional<std::string> find_program(const std::string& name) {
  const char* path = getenv("PATH");
  const std::string dirs =
      std::string(path ? path : "") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (auto dir : split_list(dirs, ':')) {
    std::string file = std::string(dir) + "/" + name;
    if (file[0] == '/' && access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

}  // namespace bai::cluster
