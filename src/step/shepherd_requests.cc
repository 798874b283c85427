#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <ctime>

#include "step/process.h"
#include "step/shepherd_impl.h"

namespace bai::step {

void Shepherd::begin_ending(EndReason reason, const std::string& message, int64_t kill_wait_ms) {
  const int64_t kill_at = env_.monotonic_ms() + kill_wait_ms;
  if (processes_gone()) {  // only a client is waited for
    times_.let_go_at = std::min(times_.let_go_at.value_or(kill_at), kill_at);
    return;
  }
  if (phase_ == Phase::kCleaning) {  // it ended by itself; only the hurry is new
    if (!killing_) times_.kill_at = std::min(times_.kill_at.value_or(kill_at), kill_at);
    return;
  }
  if (!forced_) {
    forced_ = reason;
    forced_message_ = message;
    if (mpi_) mpi_->step_ends();
    phase_ = Phase::kEnding;
    if (streams_ && launch_.streams.node_index == 0) streams_->note(cancelled_line());
    go_on();
    times_.ending();
    if (kill_wait_ms > 0) ask_to_end();
    times_.kill_at = kill_at;
  } else if (!killing_) {
    times_.kill_at = std::min(times_.kill_at.value_or(kill_at), kill_at);
  }
}

// A rank or what serves the ranks wants it so.
void Shepherd::end_by_itself(uint8_t exit_code, const std::string& why) {
  if (!forced_) forced_code_ = exit_code;
  begin_ending(EndReason::kExited, why, static_cast<int64_t>(launch_.kill_wait_s) * 1000);
}

// At once, or after a grace. A further request only makes it sooner.
void Shepherd::terminate(const TerminateRequest& request) {
  const int64_t kill_wait_ms =
      request.kill_wait_ms >= 0 ? request.kill_wait_ms : static_cast<int64_t>(launch_.kill_wait_s) * 1000;
  if (request.grace_ms <= 0) {
    give_notice(request.notice);
    return begin_ending(request.reason, request.message, kill_wait_ms);
  }
  if (forced_ || phase_ == Phase::kCleaning) return;
  const int64_t end_at = env_.monotonic_ms() + request.grace_ms;
  times_.grace_end_at = std::min(times_.grace_end_at.value_or(end_at), end_at);
  if (leaving_) return;
  leaving_ = request;
  leaving_->grace_ms = 0;
  leaving_->notice = Notice::kNone;
  go_on();
  give_notice(request.notice);
}

void Shepherd::give_notice(Notice notice) {
  if (notice == Notice::kNone || forced_ || phase_ == Phase::kCleaning) return;
  if (launch_.warning_signal != 0 && times_.take_warning()) return warn();
  if (notice != Notice::kOwnSignalOrTerm) return;
  signal_programs(SIGCONT);
  signal_programs(SIGTERM);
}

void Shepherd::warn() {
  const int signum = static_cast<int>(launch_.warning_signal);
  if (!launch_.warning_to_batch_only)
    signal_programs(signum);
  else if (script_ > 0)
    kill(script_, signum);
}

// All but the script's own process, and but the commands that would pass it on to tasks of a step, which have it from their own shepherd.
void Shepherd::signal_programs(int signum) {
  std::set<pid_t> told;
  if (launch_.tasks.empty()) {
    told.insert(script_);
    for (pid_t pid : tracker().find())
      if (is_step_command(pid)) told.insert(pid);
  }
  tracker().signal_new(signum, told);
}

void Shepherd::suspend(const SuspendRequest& request) {
  if (request.generation < suspend_generation_) return;
  suspend_generation_ = request.generation;
  if (!request.suspended) return go_on();
  if (forced_ || leaving_ || phase_ == Phase::kCleaning) return;
  const int64_t now = env_.monotonic_ms();
  times_.suspend(now);
  standstill_.begin(tracker(), now);
}

void Shepherd::go_on() {
  if (!standstill_.begun()) return;
  standstill_.end(tracker());
  times_.resume(env_.monotonic_ms());
}

// As Slurm's stepd says it, on the step's first node.
std::string Shepherd::cancelled_line() const {
  const char* why = forced_ == EndReason::kTimeout || forced_ == EndReason::kDeadline ? " DUE TO TIME LIMIT"
                    : forced_ == EndReason::kPreempted                                ? " DUE TO PREEMPTION"
                    : forced_ == EndReason::kNodeShutdown                             ? " DUE TO NODE FAILURE"
                                                                                      : "";
  const time_t now = static_cast<time_t>(env_.now().seconds());
  tm local{};
  localtime_r(&now, &local);
  char when[32];
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &local);
  return launch_.streams.speaker + ": error: *** STEP " + std::to_string(launch_.job_id) + "." +
         launch_.step + " ON " + launch_.node + " CANCELLED AT " + when + why + " ***";
}

StateReply Shepherd::state() {
  if (phase_ == Phase::kLaunching && report_) {
    // A failure is left for launch_failure(); a hang-up without data is the exec that closed the pipe.
    pollfd p{report_.get(), POLLIN, 0};
    if (poll(&p, 1, 0) > 0 && (p.revents & POLLIN) == 0) phase_ = Phase::kRunning;
  }
  return {phase_,       getpid(),           script_, status_.start_us, times_.time_limit_s(),
          launch_.mark, standstill_.begun()};
}

Reply Shepherd::answer(const Request& request) {
  if (phase_ == Phase::kEnded)
    return RefusedReply{"ended", "the step has ended; its status is being written"};
  if (auto* r = std::get_if<SignalRequest>(&request)) {
    const int signum = static_cast<int>(r->signum);
    if (r->scope != Scope::kBatch)
      tracker().signal_all(signum, r->scope == Scope::kChildren ? script_ : 0);
    else if (script_ > 0)
      kill(script_, signum);
  } else if (auto* t = std::get_if<TerminateRequest>(&request)) {
    terminate(*t);
  } else if (auto* k = std::get_if<KillRequest>(&request)) {
    begin_ending(k->reason, k->message, 0);
  } else if (auto* a = std::get_if<AttachRequest>(&request)) {
    if (!streams_) return RefusedReply{"bad_request", "a batch step has no streams"};
    if (auto attached = streams_->attach(*a, env_.monotonic_ms()); !attached.ok())
      return RefusedReply{attached.error().code, attached.error().message};
  } else if (auto* u = std::get_if<UseRequest>(&request)) {
    return use_now(*u);
  } else if (auto* l = std::get_if<SetTimeLimitRequest>(&request)) {
    times_.set_time_limit(l->time_limit_s);
  } else if (auto* s = std::get_if<SuspendRequest>(&request)) {
    suspend(*s);
  }
  return state();
}

UseReply Shepherd::use_now(const UseRequest& request) {
  UseReply reply{request.query, {}};
  const auto processes = tracker().find();
  const int64_t now = env_.monotonic_ms();
  if (looks() && now - use_.looked_ms() >= kFreshLookMs)
    use_.look(processes, launch_.tasks.empty() ? std::vector{script_} : tasks_.pids(), now);
  reply.use = use_.live();
  reply.use.processes = static_cast<uint32_t>(processes.size());
  for (size_t i = 0; i < processes.size() && i < kMaxLivePids; ++i)
    reply.use.pids.push_back(static_cast<uint32_t>(processes[i]));
  return reply;
}

}  // namespace bai::step
