#include "step/shepherd.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/crash_point.h"
#include "step/cgroup.h"
#include "step/clone.h"
#include "step/enclose.h"
#include "step/process.h"
#include "step/script_file.h"
#include "step/shepherd_impl.h"

namespace bai::step {

namespace {

constexpr int64_t kMaxKillPause = 1000;
constexpr int64_t kStatusRetry = 1000;  // ms, when the disk is full
// A job may make orphans faster than they are reaped: between so many of them everything else has its turn.
constexpr int kReapedAtOnce = 256;

}  // namespace

Status Shepherd::run() {
  if (auto ready = set_up(); !ready.ok()) return ready;
  if (auto running = start(); !running.ok()) {
    // Not an error of ours: the step's end.
    status_.reason = EndReason::kLaunchFailed;
    status_.exit_code = 1;
    status_.message = running.error().message;
    status_.end_us = env_.now().us;
    phase_ = Phase::kCleaning;
    for (const auto& dir : cgroups_) remove_cgroup(dir);
    cgroups_.clear();
    if (!streams_) phase_ = Phase::kEnded;
  }
  loop();
  return finish();
}

Status Shepherd::set_up() {
  if (chdir(dir_.c_str()) != 0) return errno_error("cannot enter", dir_, errno);
  auto launch = read_launch(".");
  if (!launch.ok()) return launch.error();
  launch_ = std::move(*launch);
  plan_.program = launch_.script.empty() ? launch_.argv[0] : dir_ + "/script";
  if (!launch_.tasks.empty()) launch_.script.clear();

  started_.boot_id = launch_.boot_id;
  started_.pid = getpid();
  if (auto stat = process_stat(getpid())) started_.start_ticks = stat->start_ticks;
  auto claimed = claim_start(".", started_);
  if (!claimed.ok()) return claimed.error();
  if (!*claimed) return Error{"already_started", "this step was started already", dir_};
  started_file_ = std::move(*claimed);

  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return errno_error("cannot become a subreaper", dir_, errno);
  sigset_t watched, blocked;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGTERM);
  blocked = watched;
  for (int signum : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGTSTP, SIGTTOU, SIGTTIN})
    sigaddset(&blocked, signum);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
  signals_.reset(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return errno_error("cannot make a signalfd", dir_, errno);
  // So that whoever connects later than the agent's spawn finds us, also while the file server of the user's directory hangs.
  auto server = StepServer::listen(geteuid(), [this](const Request& request) { return answer(request); });
  if (!server.ok()) return server.error();
  server_.emplace(std::move(*server));
  return {};
}

// Everything before the fork. Returns why it cannot be.
Status Shepherd::start() {
  if (!launch_.tasks.empty()) open_streams();
  if (std::string why = refused_user(launch_, geteuid()); !why.empty()) return Error{"refused", why};
  auto room = reserve_status(".");
  if (!room.ok())
    return Error{"io_error", "there is no room in the node's spool directory: " + room.error().text()};
  room_ = std::move(*room);
  if (!launch_.script.empty()) {
    if (auto written = write_script_file("script", launch_.script, launch_.uid, launch_.gid); !written.ok())
      return Error{"io_error",
                   "cannot write the script into the node's spool directory: " + written.error().text()};
    launch_.script.resize(
        std::min<size_t>(launch_.script.size(), 512));  // its first line is all that a message needs
    launch_.script.shrink_to_fit();
  }
  std::string problem;
  cgroups_ = create_cgroups(launch_, &problem);
  if (!problem.empty()) log_shepherd(dir_, problem + "; processes are tracked by descent and mark");

  // "..": the directory of all attempts, which is the agent's alone.
  if (auto made = create_trees(launch_, {".."}, &cgroups_); !made.ok())
    return Error{"io_error", "cannot confine the job: " + made.error().text()};
  if (auto made = make_private_dirs(launch_); !made.ok())
    return Error{"io_error", "cannot make the job's own directories: " + made.error().text()};

  crash_point("step.before_fork");
  if (auto begun = launch_.tasks.empty() ? start_script() : start_tasks(); !begun.ok()) return begun;
  crash_point("step.after_fork");
  children_ = true;
  started_ms_ = env_.monotonic_ms();
  status_.start_us = env_.now().us;
  started_.script_pid = script_;
  if (auto updated = update_started(started_file_, started_); !updated.ok())
    log_shepherd(dir_, updated.error().text());
  started_file_.reset();
  times_.start(launch_, started_ms_);
  use_.start(launch_.confinement.sample_s, started_ms_);
  if (launch_.tasks.empty())
    use_.task(script_, 0);
  else
    for (const auto& [pid, rank] : tasks_.running()) use_.task(pid, rank);
  return {};
}

Status Shepherd::start_script() {
  auto pipe = make_pipe();
  if (!pipe.ok()) return Error{"io_error", "cannot make a pipe: " + pipe.error().text()};
  if (auto set = set_nonblocking(pipe->read.get()); !set.ok()) return set.error();
  const int report = pipe->write.get();
  plan_.prepare(launch_);
  auto script = clone_into(cgroups_, &plan_.cgroups, [&] { run_child(launch_, plan_, report); });
  if (!script.ok()) return Error{"io_error", "cannot make a process for the step: " + script.error().text()};
  script_ = *script;
  report_ = std::move(pipe->read);
  return {};
}

void Shepherd::open_streams() {
  Streams::Handlers handlers;
  handlers.signal = [this](int signum) { tracker().signal_all(signum); };
  handlers.terminate = [this](bool at_once, const std::string& why) {
    begin_ending(EndReason::kCancelled, why, at_once ? 0 : static_cast<int64_t>(launch_.kill_wait_s) * 1000);
  };
  handlers.end_all = [this](uint8_t exit_code, const std::string&) { end_by_itself(exit_code, ""); };
  handlers.client_gone = [this](const std::string& why) {
    if (!launch_.streams.detach)
      begin_ending(EndReason::kCancelled, "the command that ran the step is gone (" + why + ")",
                   static_cast<int64_t>(launch_.kill_wait_s) * 1000);
  };
  streams_.emplace(launch_.streams, launch_.uid, std::move(handlers), env_.monotonic_ms());
}

Status Shepherd::start_tasks() {
  if (launch_.streams.mpi != MpiKind::kNone) {
    mpi_.emplace(launch_, [this](uint8_t exit_code, const std::string& why, bool here) {
      if (here) streams_->send_own(FrameType::kEndAll, exit_code, why);
      end_by_itself(exit_code, here ? why : "");  // said once, not by each node
    });
    if (auto begun = mpi_->begin(dir_, cgroups_, env_.monotonic_ms()); !begun.ok()) {
      mpi_.reset();
      return Error{"io_error", "cannot serve the ranks of an MPI program: " + begun.error().text()};
    }
  }
  auto begun = tasks_.start(launch_, cgroups_, &*streams_, mpi_ ? &*mpi_ : nullptr);
  script_ = tasks_.first_pid();
  if (!begun.ok() && tasks_.size() == 0)
    return Error{"io_error", "cannot start the tasks of the step: " + begun.error().text()};
  phase_ = Phase::kRunning;
  StartedTasks started{launch_.streams.node_index, launch_.node, {}};
  for (const auto& task : launch_.tasks) started.ranks.push_back(task.rank);
  streams_->tasks_started(started);
  if (!begun.ok())
    begin_ending(EndReason::kLaunchFailed, "cannot start all tasks of the step: " + begun.error().text(), 0);
  return {};
}

void Shepherd::loop() {
  std::vector<pollfd> fds;
  while (phase_ != Phase::kEnded) {
    fds.clear();
    fds.push_back({signals_.get(), POLLIN, 0});
    server_->add_pollfds(&fds);
    if (streams_) streams_->add_pollfds(&fds);
    if (mpi_) mpi_->add_pollfds(&fds);
    const int64_t now = env_.monotonic_ms();
    int64_t pause = times_.pause_ms(now, env_.now().us);
    for (const int64_t other : {streams_ ? streams_->pause_ms(now) : -1, mpi_ ? mpi_->pause_ms(now) : -1})
      if (other >= 0) pause = pause < 0 ? other : std::min(pause, other);
    if (const auto stop = standstill_.next_ms()) {
      const int64_t left = std::max<int64_t>(0, *stop - now);
      pause = pause < 0 ? left : std::min(pause, left);
    }
    if (const auto look = use_.next_ms(); look && looks()) {
      const int64_t left = std::max<int64_t>(0, *look - now);
      pause = pause < 0 ? left : std::min(pause, left);
    }
    if (unreaped_) pause = 0;
    timespec timeout{pause / 1000, pause % 1000 * 1'000'000};
    const int ready = ppoll(fds.data(), fds.size(), pause < 0 ? nullptr : &timeout, nullptr);
    if (ready > 0 && fds[0].revents != 0) on_signals();
    if (unreaped_) reap();
    if (ready > 0) server_->serve(fds);
    if (mpi_ && ready > 0)
      mpi_->serve(fds, env_.monotonic_ms());  // first: what it sends goes out in this turn
    if (streams_ && ready > 0) streams_->serve(fds, env_.monotonic_ms());
    if (phase_ != Phase::kEnded) on_time();
    // The client last: when it knows, the step's room is soon free.
    if (streams_ && processes_gone() && (!mpi_ || mpi_->over(env_.monotonic_ms())) && streams_done())
      phase_ = Phase::kEnded;
    if (mpi_) mpi_->flush(env_.monotonic_ms());
  }
}

void Shepherd::on_signals() {
  // Two signals are watched, and each is pending once. What comes meanwhile is for the next turn.
  signalfd_siginfo info[2];
  const ssize_t n = read(signals_.get(), info, sizeof info);
  for (size_t i = 0; n > 0 && i < static_cast<size_t>(n) / sizeof info[0]; ++i) {
    if (info[i].ssi_signo == SIGCHLD) unreaped_ = true;
    if (info[i].ssi_signo == SIGTERM)
      begin_ending(EndReason::kNodeShutdown, "the node's step daemon was told to stop",
                   static_cast<int64_t>(launch_.kill_wait_s) * 1000);
  }
}

void Shepherd::reap() {
  unreaped_ = true;
  for (int reaped = 0; reaped < kReapedAtOnce; ++reaped) {
    // Before it is gone: what it read and wrote is in /proc until then.
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0)
      use_.ending(info.si_pid);
    int wait_status = 0;
    rusage used{};
    const pid_t pid = wait4(info.si_pid > 0 ? info.si_pid : -1, &wait_status, WNOHANG, &used);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) {
      children_ = pid == 0;
      unreaped_ = false;
      break;
    }
    use_.ended(pid, pid == script_ || tasks_.has(pid), used);
    if (mpi_ && mpi_->reaped(pid)) continue;
    if (const auto over = epilogs_.reaped(pid))
      ended(*over);
    else if (const auto rank = tasks_.reaped(pid, wait_status); rank || pid == script_)
      if (const Epilogs::Ended now{rank, wait_status}; !begin_epilog(now)) ended(now);
    script_ = pid == script_ ? tasks_.first_pid() : script_;
  }
  if (phase_ != Phase::kCleaning) return;
  if (all_gone()) {
    times_.kill_at.reset();
    if (!streams_) phase_ = Phase::kEnded;
    return;
  }
  // What the script left behind. If it was told to end, so were those that were there then (not what it forked in that very
  // moment), and the time to SIGKILL runs already.
  if (killing_) return;
  // Looking for them takes its time when there are many: not between any two turns of reaping.
  if (!times_.kill_at || !unreaped_) ask_to_end();
  if (!times_.kill_at)
    times_.kill_at =
        env_.monotonic_ms() + std::max(static_cast<int64_t>(launch_.leftover_grace_ms), server_grace_ms_);
}

// SIGTERM once to each.
void Shepherd::ask_to_end() {
  const Tracker processes = tracker();
  if (processes.signal_new(SIGTERM, told_) > 0) processes.signal_all(SIGCONT);
}

void Shepherd::ended(Epilogs::Ended what) {
  if (what.rank)
    task_ended(*what.rank, what.wait_status);
  else if (phase_ != Phase::kCleaning)
    script_ended(what.wait_status);
}

// What is being killed, or never became the user's program, gets no epilog.
bool Shepherd::begin_epilog(Epilogs::Ended of) {
  pollfd failure{report_.get(), POLLIN, 0};
  if (killing_ || (report_ && poll(&failure, 1, 0) > 0 && (failure.revents & POLLIN))) return false;
  return epilogs_.start(launch_, cgroups_, of);
}

void Shepherd::task_ended(uint32_t rank, int wait_status) {
  streams_->task_ended(rank, wait_status);
  script_ = tasks_.first_pid();
  if (mpi_) mpi_->task_ended(rank);
  if (tasks_.all_ended() && epilogs_.empty()) {
    if (mpi_) server_grace_ms_ = mpi_->all_ended();
    return script_ended(tasks_.worst());
  }
  if (streams_->has_client()) return;  // which sees to all nodes
  const bool bad = WIFSIGNALED(wait_status) || WEXITSTATUS(wait_status) != 0;
  if (launch_.streams.kill_on_bad_exit && bad)
    begin_ending(EndReason::kCancelled, "task " + std::to_string(rank) + " failed", 0);
  else if (launch_.streams.wait_s > 0 && !times_.wait_at && !forced_)
    times_.wait_at = env_.monotonic_ms() + static_cast<int64_t>(launch_.streams.wait_s) * 1000;
}

bool Shepherd::processes_gone() const {
  return phase_ == Phase::kCleaning && (given_up_ || (!children_ && cgroups_.empty()));
}

// All that the tasks wrote, and their end, has come to whoever wants it, or nobody does any more.
bool Shepherd::streams_done() {
  if (!streams_->drained()) return false;
  if (!told_end_) {
    told_end_ = true;
    count_use();
    streams_->step_ended(status_);
  }
  return streams_->delivered();
}

void Shepherd::script_ended(int wait_status) {
  script_ = 0;
  go_on();
  phase_ = Phase::kCleaning;
  times_.ending();
  status_.end_us = std::max(env_.now().us, status_.start_us);
  if (WIFSIGNALED(wait_status)) {
    status_.signal = static_cast<uint32_t>(WTERMSIG(wait_status));
    status_.core_dumped = WCOREDUMP(wait_status);
  } else {
    status_.exit_code = static_cast<uint32_t>(WEXITSTATUS(wait_status));
  }
  if (forced_) {
    status_.reason = *forced_;
    status_.message = forced_message_;
    if (forced_ == EndReason::kExited && forced_code_ > 0) {
      status_.exit_code = forced_code_;
      status_.signal = 0;
    } else if (forced_ == EndReason::kExited && status_.signal > 0) {
      status_.reason = EndReason::kSignalled;
    }
  } else if (auto failure = launch_failure()) {
    status_.reason = EndReason::kLaunchFailed;
    status_.exit_code = 1;
    status_.message = failure_message(launch_, plan_, *failure);
    status_.start_us = 0;
  } else {
    status_.reason = WIFSIGNALED(wait_status) ? EndReason::kSignalled : EndReason::kExited;
  }
}

// What came through the child's pipe, if anything did. Asked once, when the child has ended.
std::optional<ChildFailure> Shepherd::launch_failure() {
  ChildFailure failure;
  const Fd report = std::move(report_);
  if (!report || read(report.get(), &failure, sizeof failure) != sizeof failure) return {};
  return failure;
}

bool Shepherd::all_gone() {
  if (given_up_) return true;
  if (children_) return false;
  std::erase_if(cgroups_, [&](const std::string& dir) {
    const uint64_t kills = launch_.confinement.memory_mib > 0 ? cgroup_oom_kills(dir) : 0;
    if (!remove_cgroup(dir)) return false;
    oom_kills_ += kills;
    return true;
  });
  return cgroups_.empty();
}

void Shepherd::kill_all() {
  const int64_t now = env_.monotonic_ms();
  if (!killing_) {
    killing_ = true;
    times_.give_up_at = now + static_cast<int64_t>(launch_.unkillable_after_s) * 1000;
  }
  tracker().kill_round();
  // Where a round takes long, because so many wait to be reaped, half of the time is for that.
  const int64_t after = env_.monotonic_ms();
  times_.kill_at = after + std::max(kill_pause_, after - now);
  kill_pause_ = std::min(2 * kill_pause_, kMaxKillPause);
}

void Shepherd::on_time() {
  const int64_t now = env_.monotonic_ms();
  if (looks() && times_.due(use_.next_ms(), now))
    use_.look(tracker().find(), launch_.tasks.empty() ? std::vector{script_} : tasks_.pids(), now);
  if (mpi_) mpi_->on_time(now);
  if (streams_) {
    streams_->on_time(now);
    if (times_.due(times_.wait_at, now)) {
      times_.wait_at.reset();
      begin_ending(EndReason::kCancelled,
                   "tasks ran on for " + std::to_string(launch_.streams.wait_s) + " s after the first ended",
                   0);
    }
    if (times_.due(times_.let_go_at, now)) {
      times_.let_go_at.reset();
      streams_->close();
      streams_->stop_outputs();
    }
  }
  if (times_.due(times_.limit_at, now))
    begin_ending(EndReason::kTimeout, "time limit of " + std::to_string(times_.time_limit_s()) + " s reached",
                 static_cast<int64_t>(launch_.kill_wait_s) * 1000);
  if (times_.deadline_due(env_.now().us))
    begin_ending(EndReason::kDeadline, "deadline reached", static_cast<int64_t>(launch_.kill_wait_s) * 1000);
  if (times_.warning_due(now, env_.now().us)) warn();
  if (times_.due(standstill_.next_ms(), now)) standstill_.on_time(tracker(), now);
  if (times_.due(times_.grace_end_at, now)) terminate(*leaving_);
  if (times_.due(times_.give_up_at, now)) {
    std::string pids;
    for (pid_t pid : tracker().find()) pids += " " + std::to_string(pid);
    status_.message +=
        (status_.message.empty() ? "" : "; ") + ("processes that SIGKILL does not end remain:" + pids);
    log_shepherd(dir_, status_.message);
    given_up_ = true;
    if (phase_ != Phase::kCleaning) script_ended(SIGKILL);
    times_.give_up_at.reset();
    times_.kill_at.reset();
    if (streams_)
      streams_->stop_outputs();
    else
      phase_ = Phase::kEnded;
  } else if (times_.due(times_.kill_at, now)) {
    kill_all();
    reap();  // also finds a cgroup emptied of processes that are not ours to reap
  }
}

// An agent that lives writes it into its journal.
Status Shepherd::record_end() const {
  if (launch_.end_file.empty()) return save_status(env_, "status", status_);
  if (getppid() != agent_)
    if (auto saved = save_status(env_, launch_.end_file, status_); !saved.ok()) return saved;
  return leave_status(".", status_, room_);
}

// All processes are gone: what only they needed is in the way of the end, and of other jobs.
void Shepherd::make_room() {
  mpi_.reset();
  unlink("script");
}

void Shepherd::count_use() {
  if (!children_) use_.all_ended();
  status_.use = use_.total();
  judge_memory(oom_kills_, launch_.confinement, &status_);
}

Status Shepherd::finish() {
  count_use();
  remove_job_cgroups(launch_);
  if (launch_.tasks.empty()) remove_private_dirs(launch_);
  phase_ = Phase::kEnded;
  if (!given_up_) make_room();
  crash_point("step.before_status");
  // A full disk must not lose an end: we wait for room, as long as it takes.
  for (bool said = false;; said = true) {
    auto written = record_end();
    if (written.ok()) break;
    if (!said) log_shepherd(dir_, "cannot write the status, trying on: " + written.error().text());
    std::vector<pollfd> fds;
    server_->add_pollfds(&fds);
    const int64_t again = env_.monotonic_ms() + kStatusRetry;
    for (int64_t left = kStatusRetry; left > 0; left = again - env_.monotonic_ms())
      if (poll(fds.data(), fds.size(), static_cast<int>(left)) > 0) {
        server_->serve(fds);
        fds.clear();
        server_->add_pollfds(&fds);
      }
  }
  crash_point("step.after_status");
  server_->publish(EndedReply{status_});
  return {};
}

void log_shepherd(const std::string& dir, const std::string& text) {
  const std::string line = "bai-stepd[" + std::to_string(getpid()) + "]: " + text + "\n";
  [[maybe_unused]] ssize_t n = write(2, line.data(), line.size());
  // Made only now: most steps have nothing to log, and each file costs.
  if (auto log = open_fd(dir + "/stepd.log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600); log.ok())
    n = write(log->get(), line.data(), line.size());
}

Status run_shepherd(const std::string& dir, pid_t agent) { return Shepherd(dir, agent).run(); }

}  // namespace bai::step
