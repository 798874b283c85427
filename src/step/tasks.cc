#include "step/tasks.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "base/crash_point.h"
#include "step/child.h"
#include "step/clone.h"
#include "step/terminal.h"

namespace bai::step {

namespace {

constexpr const char* kNowhere = "/dev/null";
constexpr int kOutputPipe = 256 << 10;  // bytes: so that task, shepherd and client need not run in step

// Both ends of what a task has in place of files.
struct TaskStreams {
  Fd child_in, child_out, child_err;  // none: a file
  Fd in, out, err;                    // ours
  bool terminal = false;
};

Fd another(const Fd& fd) { return Fd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); }

Status make_output(bool unbuffered, uid_t owner, Fd* child, Fd* ours) {
  if (unbuffered) {
    auto terminal = open_terminal(true, owner);
    if (!terminal.ok()) return terminal.error();
    *child = std::move(terminal->slave);
    *ours = std::move(terminal->master);
    return {};
  }
  auto pipe = make_pipe();
  if (!pipe.ok()) return pipe.error();
  // Root's pipes alone do not count against what a user may have.
  if (geteuid() == 0) fcntl(pipe->read.get(), F_SETPIPE_SZ, kOutputPipe);
  *child = std::move(pipe->write);
  *ours = std::move(pipe->read);
  return set_nonblocking(ours->get());
}

Status make_input(Fd* child, Fd* ours) {
  auto pipe = make_pipe();
  if (!pipe.ok()) return pipe.error();
  *child = std::move(pipe->read);
  *ours = std::move(pipe->write);
  return set_nonblocking(ours->get());
}

Status make_terminal(const StepLaunch& launch, TaskStreams* s) {
  auto terminal = open_terminal(false, launch.uid);
  if (!terminal.ok()) return terminal.error();
  set_window(terminal->master.get(), launch.streams.pty_rows, launch.streams.pty_columns);
  s->terminal = true;
  s->child_in = std::move(terminal->slave);
  s->child_out = another(s->child_in);
  s->child_err = another(s->child_in);
  s->out = std::move(terminal->master);
  s->in = another(s->out);
  return {};
}

Status make_streams(const StepLaunch& launch, const TaskLaunch& task, TaskStreams* s) {
  if (launch.streams.pty && task.rank == 0) return make_terminal(launch, s);
  if (task.stdin_path.empty())
    if (auto made = make_input(&s->child_in, &s->in); !made.ok()) return made;
  if (task.stdout_path.empty())
    if (auto made = make_output(launch.streams.unbuffered, launch.uid, &s->child_out, &s->out); !made.ok())
      return made;
  if (task.stderr_path.empty()) return make_output(false, launch.uid, &s->child_err, &s->err);
  return {};
}

// A terminal is one task's; the others have nothing (srun's --pty).
TaskLaunch beside_a_terminal(const StepLaunch& launch, const TaskLaunch& task) {
  TaskLaunch out = task;
  if (launch.streams.pty && task.rank != 0) out.stdin_path = out.stdout_path = out.stderr_path = kNowhere;
  return out;
}

}  // namespace

std::vector<const char*> task_environment(const StepLaunch& launch, const TaskLaunch& task) {
  auto name = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  std::unordered_set<std::string_view> own;
  for (const auto& entry : task.env) own.insert(name(entry));
  std::vector<const char*> out;
  out.reserve(launch.env.size() + task.env.size() + 2);
  for (const auto& entry : launch.env)
    if (!own.count(name(entry))) out.push_back(entry.c_str());
  for (const auto& entry : task.env) out.push_back(entry.c_str());
  return out;
}

Status Tasks::start(const StepLaunch& launch, const std::vector<std::string>& cgroups, Streams* streams,
                    Mpi* mpi) {
  tasks_.reserve(launch.tasks.size());
  for (const TaskLaunch& given : launch.tasks) {
    TaskLaunch task = beside_a_terminal(launch, given);
    TaskStreams s;
    if (auto made = make_streams(launch, task, &s); !made.ok()) return made;
    Fd mpi_fd;
    if (mpi) {
      auto theirs = mpi->add_task(task.rank, &task.env);
      if (!theirs.ok()) return theirs.error();
      mpi_fd = std::move(*theirs);
    }
    ChildPlan plan;
    plan.inherited = mpi_fd.get();
    plan.prepare_task(launch, task, task_environment(launch, task));
    plan.stdio[0] = s.child_in.get();
    plan.stdio[1] = s.child_out.get();
    plan.stdio[2] = s.child_err.get();
    plan.terminal = s.terminal;
    auto pid = clone_into(cgroups, &plan.cgroups, [&] { run_task(launch, task, plan); });
    if (!pid.ok()) return pid.error();
    tasks_.push_back({task.rank, *pid});
    ++running_;
    if (s.terminal) streams->set_terminal(s.out.get());
    streams->add_task(task.rank, std::move(s.in), std::move(s.out), std::move(s.err));
  }
  return {};
}

std::optional<uint32_t> Tasks::reaped(pid_t pid, int wait_status) {
  const auto task = std::find_if(tasks_.begin(), tasks_.end(), [&](const Task& t) { return t.pid == pid; });
  if (pid <= 0 || task == tasks_.end()) return {};
  task->pid = 0;
  --running_;
  // As srun does: a signal counts for more than any exit code.
  const bool more = WIFSIGNALED(wait_status)
                        ? !WIFSIGNALED(worst_) || WTERMSIG(wait_status) > WTERMSIG(worst_)
                        : !WIFSIGNALED(worst_) && WEXITSTATUS(wait_status) > WEXITSTATUS(worst_);
  if (more) worst_ = wait_status;
  return task->rank;
}

pid_t Tasks::first_pid() const {
  for (const Task& task : tasks_)
    if (task.pid > 0) return task.pid;
  return 0;
}

bool Tasks::has(pid_t pid) const {
  return std::any_of(tasks_.begin(), tasks_.end(), [&](const Task& task) { return task.pid == pid; });
}

std::vector<std::pair<pid_t, uint32_t>> Tasks::running() const {
  std::vector<std::pair<pid_t, uint32_t>> out;
  for (const Task& task : tasks_)
    if (task.pid > 0) out.emplace_back(task.pid, task.rank);
  return out;
}

std::vector<pid_t> Tasks::pids() const {
  std::vector<pid_t> out;
  for (const Task& task : tasks_)
    if (task.pid > 0) out.push_back(task.pid);
  return out;
}

}  // namespace bai::step
