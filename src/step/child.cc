#include "step/child.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/fd.h"
#include "step/enclose.h"
#include "step/task_hooks.h"
#include "step/track.h"

namespace bai::step {

namespace {

#ifndef CLOSE_RANGE_CLOEXEC
constexpr unsigned CLOSE_RANGE_CLOEXEC = 1u << 2;
#endif

[[noreturn]] void fail(int report_fd, ChildStage stage) {
  if (report_fd < 0) _exit(1);  // a task's, which says it itself
  const ChildFailure failure{stage, errno};
  // Smaller than PIPE_BUF, so written whole or not at all; there is nobody to tell if it is not.
  [[maybe_unused]] ssize_t n = write(report_fd, &failure, sizeof failure);
  _exit(127);
}

void unblock_signals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// A limit that we may not have is clipped to what we may: the step should run.
void set_limits(const StepLaunch& launch) {
  for (const auto& limit : launch.rlimits) {
    auto which = static_cast<__rlimit_resource_t>(limit.resource);
    rlimit have{};
    if (getrlimit(which, &have) != 0) continue;
    rlimit wanted{limit.soft == kKeepLimit ? have.rlim_cur : limit.soft,
                  limit.hard == kKeepLimit ? have.rlim_max : limit.hard};
    wanted.rlim_cur = std::min(wanted.rlim_cur, wanted.rlim_max);
    if (setrlimit(which, &wanted) == 0) continue;
    wanted.rlim_max = std::min(wanted.rlim_max, have.rlim_max);
    wanted.rlim_cur = std::min(wanted.rlim_cur, wanted.rlim_max);
    setrlimit(which, &wanted);
  }
  if (launch.priority) setpriority(PRIO_PROCESS, 0, *launch.priority);
}

void become_user(const StepLaunch& launch, int report_fd) {
  if (geteuid() != 0) return;
  std::vector<gid_t> groups(launch.groups.begin(), launch.groups.end());
  if (groups.empty()) groups.push_back(launch.gid);
  if (setgroups(groups.size(), groups.data()) != 0) fail(report_fd, ChildStage::kGroups);
  if (setresgid(launch.gid, launch.gid, launch.gid) != 0 ||
      setresuid(launch.uid, launch.uid, launch.uid) != 0)
    fail(report_fd, ChildStage::kIds);
}

int open_input(const std::string& path) {
  return open(path.empty() ? "/dev/null" : path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC);
}

int open_output(const std::string& path, OpenMode mode) {
  const int how = mode == OpenMode::kAppend ? O_APPEND : O_TRUNC;
  return open(path.empty() ? "/dev/null" : path.c_str(), O_WRONLY | O_CREAT | O_NOCTTY | O_CLOEXEC | how,
              0666);
}

void open_files(const StepLaunch& launch, int report_fd) {
  const int in = open_input(launch.stdin_path);
  if (in < 0) fail(report_fd, ChildStage::kStdin);
  const int out = open_output(launch.stdout_path, launch.open_mode);
  if (out < 0) fail(report_fd, ChildStage::kStdout);
  // One open file for both, so that neither overwrites the other.
  const int err =
      launch.stderr_path == launch.stdout_path ? out : open_output(launch.stderr_path, launch.open_mode);
  if (err < 0) fail(report_fd, ChildStage::kStderr);
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) fail(report_fd, ChildStage::kDescriptors);
}

std::string_view search_path(const std::vector<const char*>& envp) {
  for (const char* entry : envp)
    if (entry && std::string_view(entry).starts_with("PATH=")) return std::string_view(entry).substr(5);
  return "/usr/local/bin:/usr/bin:/bin";
}

// execve along PATH; errno is that of the most telling failure, as in execvp(3).
void exec_search(const ChildPlan& plan, const std::vector<const char*>& environment) {
  auto* const argv = const_cast<char* const*>(plan.argv.data());
  auto* const envp = const_cast<char* const*>(environment.data());
  if (plan.program.find('/') != std::string::npos) {
    execve(plan.program.c_str(), argv, envp);
    return;
  }
  int err = ENOENT;
  std::string_view path = search_path(environment);
  for (;;) {
    const size_t colon = path.find(':');
    std::string file(path.substr(0, colon));
    file += (file.empty() ? "./" : "/") + plan.program;
    execve(file.c_str(), argv, envp);
    if (errno != ENOENT && errno != ENOTDIR) {
      err = errno;
      if (err != EACCES) break;
    }
    if (colon == std::string_view::npos) break;
    path.remove_prefix(colon + 1);
  }
  errno = err;
}

std::vector<std::string> entries(const std::vector<const char*>& envp) {
  std::vector<std::string> out;
  for (const char* entry : envp)
    if (entry) out.emplace_back(entry);
  return out;
}

// Runs what the prologs change into the program's environment. Returns what the failed one ended with; else there is no return but
// with the exec's errno.
int prologs_and_exec(const StepLaunch& launch, const ChildPlan& plan) {
  if (!plan.prologs || launch.task_prologs.empty()) {
    unblock_signals();
    exec_search(plan, plan.envp);
    return 0;
  }
  std::vector<std::string> env = entries(plan.envp);
  if (const int status = run_task_prologs(launch.task_prologs, &env); status != 0) return status;
  std::vector<const char*> envp;
  for (const auto& entry : env) envp.push_back(entry.c_str());
  envp.push_back(nullptr);
  unblock_signals();
  exec_search(plan, envp);
  return 0;
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string in_workdir(const StepLaunch& launch, const std::string& path) {
  return path.starts_with("/") ? path : launch.workdir + "/" + path;
}

std::string file_message(const StepLaunch& launch, const std::string& what, const std::string& path,
                         int err) {
  const std::string full = in_workdir(launch, path);
  std::string out = "cannot open " + what + " file " + full + ": ";
  struct stat st {};
  if (err == ENOENT && what != "input" && stat(directory_of(full).c_str(), &st) != 0)
    return out + "directory " + directory_of(full) + " does not exist";
  if (err == ENOENT) return out + "it does not exist";
  return out + strerror(err);
}

// The word after "#!" of a script; nothing when it has none.
std::string interpreter_of(const std::string& script) {
  if (!script.starts_with("#!")) return "";
  std::string_view line = std::string_view(script).substr(2, script.find('\n') - 2).substr(0, 256);
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return std::string(line.substr(0, line.find_first_of(" \t")));
}

std::string exec_message(const StepLaunch& launch, const ChildPlan& plan, int err) {
  if (err == E2BIG) return "the arguments and the environment are too long for the system";
  if (launch.script.empty()) {
    if (err == ENOENT) return "command " + launch.argv[0] + " is not there, or its interpreter is not";
    return "cannot run " + launch.argv[0] + ": " + strerror(err);
  }
  std::string interpreter = interpreter_of(launch.script);
  if (err == ENOEXEC || interpreter.empty())
    return "the script does not begin with #! and the path of an interpreter";
  if (err == ENOENT && interpreter.ends_with("\r"))
    return "the script has DOS line ends: its interpreter would be " +
           interpreter.substr(0, interpreter.size() - 1) + "\\r";
  if (err == ENOENT) return "interpreter " + interpreter + " of the script does not exist";
  if (err == EACCES && access(interpreter.c_str(), X_OK) != 0)
    return "interpreter " + interpreter + " of the script may not be run";
  if (err == EACCES)
    return "the script may not be run by user " +
           (launch.user.empty() ? std::to_string(launch.uid) : launch.user) + " as " + plan.program +
           ": a directory is closed, or the file system is mounted noexec";
  return "cannot run the script with " + interpreter + ": " + strerror(err);
}

}  // namespace

std::string refused_user(const StepLaunch& launch, uint32_t own_uid) {
  if (own_uid != 0 && launch.uid != own_uid)
    return "the agent on this node runs as uid " + std::to_string(own_uid) +
           " and can start only that user's jobs, not those of " +
           (launch.user.empty() ? "uid " + std::to_string(launch.uid) : launch.user);
  if (launch.uid == 0 && !launch.as_root) return "this node does not run jobs of root";
  return "";
}

void ChildPlan::prepare_task(const StepLaunch& launch, const TaskLaunch& task,
                             std::vector<const char*> environment) {
  const auto& words = task.argv.empty() ? launch.argv : task.argv;
  program = words[0];
  argv.clear();
  for (const auto& word : words) argv.push_back(word.c_str());
  argv.push_back(nullptr);
  mark = std::string(kMarkVariable) + "=" + launch.mark;
  envp = std::move(environment);
  envp.push_back(mark.c_str());
  envp.push_back(nullptr);
}

void ChildPlan::prepare(const StepLaunch& launch) {
  argv = {launch.script.empty() ? launch.argv[0].c_str() : program.c_str()};
  for (size_t i = 1; i < launch.argv.size(); ++i) argv.push_back(launch.argv[i].c_str());
  argv.push_back(nullptr);
  mark = std::string(kMarkVariable) + "=" + launch.mark;
  envp = {mark.c_str()};
  envp.reserve(launch.env.size() + 2);
  for (const auto& entry : launch.env) envp.push_back(entry.c_str());
  envp.push_back(nullptr);
}

void run_child(const StepLaunch& launch, const ChildPlan& plan, int report_fd) {
  if (setsid() < 0) fail(report_fd, ChildStage::kSession);
  const Enclosed enclosed = enclose(launch, plan.cgroups);
  if (enclosed == Enclosed::kNotJoined) fail(report_fd, ChildStage::kCgroup);
  if (enclosed == Enclosed::kNotPrivate) fail(report_fd, ChildStage::kPrivate);
  set_limits(launch);
  become_user(launch, report_fd);
  umask(static_cast<mode_t>(launch.umask));
  if (chdir(launch.workdir.c_str()) != 0) fail(report_fd, ChildStage::kWorkdir);
  open_files(launch, report_fd);
  syscall(SYS_close_range, 3u, ~0u,
          CLOSE_RANGE_CLOEXEC);  // ours all are already; this is for what we inherited

  if (const int status = prologs_and_exec(launch, plan); status != 0) {
    errno = status;
    fail(report_fd, ChildStage::kTaskProlog);
  }
  fail(report_fd, ChildStage::kExec);
}

namespace {

// "slurmstepd: error: TEXT", where the task's standard error is, or will be.
void say(const StepLaunch& launch, const std::string& text, int fd) {
  const std::string line = launch.streams.speaker + ": error: " + text + "\n";
  [[maybe_unused]] ssize_t n = write(fd, line.data(), line.size());
}

[[noreturn]] void fail_task(const StepLaunch& launch, const std::string& what, int err, int fd = 2) {
  say(launch, what + ": " + strerror(err), fd);
  _exit(err & 0xff);
}

// What the task has in place of files is there; the files are opened by the user, in the working directory.
void set_up_streams(const StepLaunch& launch, const TaskLaunch& task, const ChildPlan& plan) {
  auto opened = [&](int fd, const char* what, const std::string& path) {
    const int err = errno;
    if (fd < 0)
      fail_task(launch, std::string("Could not open ") + what + " file " + path, err, plan.stdio[2]);
    return fd;
  };
  std::array<int, 3> fds = plan.stdio;
  if (fds[0] < 0) fds[0] = opened(open_input(task.stdin_path), "stdin", task.stdin_path);
  if (fds[1] < 0)
    fds[1] = opened(open_output(task.stdout_path, launch.open_mode), "stdout", task.stdout_path);
  if (fds[2] < 0)
    fds[2] = task.stderr_path == task.stdout_path
                 ? fds[1]
                 : opened(open_output(task.stderr_path, launch.open_mode), "stderr", task.stderr_path);
  for (int i = 0; i < 3; ++i)
    if (dup2(fds[static_cast<size_t>(i)], i) < 0) _exit(1);
  if (plan.terminal) ioctl(0, TIOCSCTTY, 0);
}

// Slurm's line: "cpu-bind=MASK - n1, task  0  0 [4711]: mask 0x3 set".
void say_binding(const StepLaunch& launch, const TaskLaunch& task) {
  unsigned char mask[1024] = {};
  const long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  std::string digits;
  for (long i = 0; i < bytes; ++i)
    for (unsigned half : {mask[i] & 15u, mask[i] / 16u})
      digits.insert(digits.begin(), "0123456789abcdef"[half]);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  const std::string& way = launch.confinement.say_binding;
  dprintf(2, "cpu-bind=%s - %s, task %2u %2u [%d]: mask 0x%s%s\n", way.c_str(), launch.node.c_str(),
          task.rank, task.local_id, static_cast<int>(getpid()), digits.c_str(), way == "NONE" ? "" : " set");
}

}  // namespace

void run_task(const StepLaunch& launch, const TaskLaunch& task, const ChildPlan& plan) {
  const int none_yet = plan.stdio[2];
  if (setsid() < 0) fail_task(launch, "setsid()", errno, none_yet);
  const Enclosed enclosed = enclose(launch, plan.cgroups);
  if (enclosed == Enclosed::kNotJoined) fail_task(launch, "cannot enter the step's cgroups", errno, none_yet);
  if (enclosed == Enclosed::kNotPrivate)
    fail_task(launch, "cannot have private directories", errno, none_yet);
  bind_to_cpus(task.cpu_mask);
  set_limits(launch);
  become_user(launch, -1);
  umask(static_cast<mode_t>(launch.umask));
  std::string elsewhere;
  if (chdir(launch.workdir.c_str()) != 0) {
    elsewhere = "couldn't chdir to `" + launch.workdir + "': " + strerror(errno) + ": going to /tmp instead";
    if (chdir("/tmp") != 0) _exit(1);
  }
  set_up_streams(launch, task, plan);
  if (!elsewhere.empty()) say(launch, elsewhere, 2);
  if (!launch.confinement.say_binding.empty()) say_binding(launch, task);
  if (!task.notice.empty()) (void)!write(2, task.notice.data(), task.notice.size());
  syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  if (plan.inherited >= 0) fcntl(plan.inherited, F_SETFD, 0);

  if (const int status = prologs_and_exec(launch, plan); status != 0) {
    say(launch, "TaskProlog failed status=" + std::to_string(status), 2);
    _exit(status);
  }
  fail_task(launch, "execve(): " + plan.program, errno);
}

void run_epilogs(const StepLaunch& launch, const TaskLaunch* task, const ChildPlan& plan) {
  setsid();
  const Enclosed enclosed = enclose(launch, plan.cgroups);
  if (enclosed != Enclosed::kYes) _exit(1);
  if (task) bind_to_cpus(task->cpu_mask);
  set_limits(launch);
  become_user(launch, -1);
  umask(static_cast<mode_t>(launch.umask));
  if (chdir(launch.workdir.c_str()) != 0 && chdir("/tmp") != 0) _exit(1);
  syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  unblock_signals();
  run_task_epilogs(launch.task_epilogs, entries(plan.envp));
  _exit(0);
}

std::string failure_message(const StepLaunch& launch, const ChildPlan& plan, ChildFailure failure) {
  std::string why = strerror(failure.err);
  switch (failure.stage) {
    case ChildStage::kSession:
      return "cannot make a session: " + why;
    case ChildStage::kGroups:
      return "cannot take the groups of user " + launch.user + ": " + why;
    case ChildStage::kIds:
      return "cannot become user " + launch.user + " (uid " + std::to_string(launch.uid) + "): " + why;
    case ChildStage::kWorkdir:
      if (failure.err == ENOENT) return "working directory " + launch.workdir + " does not exist";
      return "cannot enter working directory " + launch.workdir + ": " + why;
    case ChildStage::kStdin:
      return file_message(launch, "input", launch.stdin_path, failure.err);
    case ChildStage::kStdout:
      return file_message(launch, "output", launch.stdout_path, failure.err);
    case ChildStage::kStderr:
      return file_message(launch, "error", launch.stderr_path, failure.err);
    case ChildStage::kDescriptors:
      return "cannot set up the standard streams: " + why;
    case ChildStage::kCgroup:
      return "cannot enter the cgroups that limit it: " + why;
    case ChildStage::kPrivate:
      return "cannot have directories of its own: " + why;
    case ChildStage::kTaskProlog:
      return "the task prolog failed with exit status " + std::to_string(failure.err);
    case ChildStage::kExec:
      return exec_message(launch, plan, failure.err);
  }
  return why;
}

}  // namespace bai::step
