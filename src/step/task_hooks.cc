#include "step/task_hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.h"
#include "base/text.h"
#include "step/track.h"

namespace bai::step {

namespace {

constexpr int kCannotRun = 127;

void erase(std::string_view name, std::vector<std::string>* env) {
  std::erase_if(*env, [&](const std::string& entry) {
    return entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name);
  });
}

int as_exit(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

// `out`: where its standard output goes; -1: nowhere.
pid_t start(const std::string& program, const std::vector<std::string>& env, const char* context, int out) {
  std::vector<std::string> all = env;
  for (const char* name : {"SLURM_SCRIPT_CONTEXT", "BAI_SCRIPT_CONTEXT"}) {
    erase(name, &all);
    all.push_back(std::string(name) + "=" + context);
  }
  std::vector<char*> envp;
  for (auto& entry : all) envp.push_back(entry.data());
  envp.push_back(nullptr);
  char* argv[] = {const_cast<char*>(program.c_str()), nullptr};
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(nowhere, 0);
  dup2(out >= 0 ? out : nowhere, 1);
  if (out < 0) dup2(nowhere, 2);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(program.c_str(), argv, envp.data());
  _exit(kCannotRun);
}

int await(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return kCannotRun;
  return as_exit(status);
}

// What it prints until it ends. One that it leaves behind with the pipe is not waited for.
std::string read_until_end(const Fd& pipe, pid_t pid) {
  std::string out;
  const Fd ended(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  char buffer[4096];
  for (bool over = false;;) {
    pollfd fds[] = {{pipe.get(), POLLIN, 0}, {ended.get(), POLLIN, 0}};
    if (!over && poll(fds, 2, -1) < 0 && errno != EINTR) return out;
    over = over || fds[1].revents != 0;
    const ssize_t n = read(pipe.get(), buffer, sizeof buffer);
    if (n == 0) return out;
    if (n < 0 && (errno == EAGAIN ? over : errno != EINTR)) return out;
    if (n > 0)
      out.append(buffer,
                 std::min(static_cast<size_t>(n), kMaxPrologOutput - std::min(kMaxPrologOutput, out.size())));
  }
}

int run_prolog(const std::string& program, std::vector<std::string>* env) {
  auto pipe = make_pipe();
  if (!pipe.ok() || !set_nonblocking(pipe->read.get()).ok()) return kCannotRun;
  const pid_t pid = start(program, *env, "prolog_task", pipe->write.get());
  if (pid < 0) return kCannotRun;
  pipe->write.reset();
  const std::string output = read_until_end(pipe->read, pid);
  const int status = await(pid);
  if (status != 0) return status;
  (void)write_all(1, apply_prolog(output, env));  // perhaps nobody reads it
  return 0;
}

}  // namespace

std::string apply_prolog(std::string_view output, std::vector<std::string>* env) {
  std::string printed;
  while (!output.empty()) {
    const auto end = output.find('\n');
    std::string_view line = output.substr(0, end);
    output.remove_prefix(end == output.npos ? output.size() : end + 1);
    const auto word = line.substr(0, line.find(' '));
    if (word.size() == line.size() || line.find('\0') != line.npos) continue;
    std::string_view rest = line.substr(word.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (word == "print") {
      printed.append(rest).push_back('\n');
      continue;
    }
    const auto equals = rest.find('=');
    const auto name = word == "export" ? trim(rest.substr(0, equals)) : trim(rest);
    if (name.empty() || name == kMarkVariable || name.find('=') != name.npos) continue;
    if (word == "unset") erase(name, env);
    if (word != "export" || equals == rest.npos) continue;
    erase(name, env);
    env->push_back(std::string(name) + "=" + std::string(rest.substr(equals + 1)));
  }
  return printed;
}

int run_task_prologs(const std::vector<std::string>& programs, std::vector<std::string>* env) {
  for (const auto& program : programs)
    if (const int status = run_prolog(program, env); status != 0) return status;
  return 0;
}

void run_task_epilogs(const std::vector<std::string>& programs, const std::vector<std::string>& env) {
  for (const auto& program : programs)
    if (const pid_t pid = start(program, env, "epilog_task", -1); pid > 0) await(pid);
}

}  // namespace bai::step
