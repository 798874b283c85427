// The shepherd itself: what it holds, and which of its parts does what. Only shepherd*.cc include it.
//   shepherd.cc           a step from its launch to its end on disk: start, the loop, reaping, time
//   shepherd_requests.cc  what others ask of it: ending, warning, suspending, its state and use
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/fd.h"
#include "step/child.h"
#include "step/deadlines.h"
#include "step/epilogs.h"
#include "step/mpi.h"
#include "step/server.h"
#include "step/shepherd.h"
#include "step/standstill.h"
#include "step/status.h"
#include "step/streams.h"
#include "step/tasks.h"
#include "step/track.h"
#include "step/use.h"

namespace bai::step {

class Shepherd {
 public:
  Shepherd(std::string dir, pid_t agent) : dir_(std::move(dir)), agent_(agent), env_(Env::real()) {}
  Status run();

 private:
  Status set_up();
  Status start();
  Status start_script();
  Status start_tasks();
  void loop();
  void on_signals();
  void reap();
  bool begin_epilog(Epilogs::Ended of);
  void ended(Epilogs::Ended what);
  void task_ended(uint32_t rank, int wait_status);
  void script_ended(int wait_status);
  bool processes_gone() const;
  bool streams_done();
  void open_streams();
  void count_use();
  UseReply use_now(const UseRequest& request);
  void on_time();
  bool all_gone();
  void ask_to_end();
  void kill_all();
  void begin_ending(EndReason reason, const std::string& message, int64_t kill_wait_ms);
  void end_by_itself(uint8_t exit_code, const std::string& why);
  void terminate(const TerminateRequest& request);
  void give_notice(Notice notice);
  void warn();
  void signal_programs(int signum);
  void suspend(const SuspendRequest& request);
  void go_on();
  std::optional<ChildFailure> launch_failure();
  Reply answer(const Request& request);
  StateReply state();
  Status finish();
  Status record_end() const;
  void make_room();
  std::string cancelled_line() const;

  // Whether its use is looked at. While it is being ended there are more urgent things, however many processes it has.
  bool looks() const { return phase_ != Phase::kCleaning && !forced_; }
  // Everything not yet seen to end, however it came to be ours.
  Tracker tracker() const { return Tracker{cgroups_, getpid(), ""}; }

  const std::string dir_;
  const pid_t agent_;  // our parent, while it lives
  const Env env_;
  StepLaunch launch_;
  ChildPlan plan_;
  StepStarted started_;
  Fd started_file_;
  Fd room_;  // of the status to come
  std::optional<StepServer> server_;
  Fd signals_;
  Fd report_;
  std::vector<std::string> cgroups_;

  Phase phase_ = Phase::kLaunching;
  pid_t script_ = 0;  // 0 before the fork and once it was reaped
  // Of a step that is not the batch script.
  std::optional<Streams> streams_;
  std::optional<Mpi> mpi_;
  Tasks tasks_;
  Epilogs epilogs_;
  int64_t server_grace_ms_ = 0;  // for what served the ranks to end
  bool told_end_ = false;        // to the clients
  bool children_ = false;        // there may be some that were not reaped
  bool unreaped_ = false;        // some have ended, as far as we know
  int64_t started_ms_ = 0;
  std::optional<EndReason> forced_;
  std::string forced_message_;
  uint8_t forced_code_ = 0;  // with kExited: the step's exit code, 0: that of its tasks
  Deadlines times_;
  std::optional<TerminateRequest> leaving_;  // once its grace is over
  Standstill standstill_;
  uint64_t suspend_generation_ = 0;
  UseMeter use_;
  uint64_t oom_kills_ = 0;
  int64_t kill_pause_ = 20;  // between rounds of SIGKILL, doubling
  std::set<pid_t> told_;     // to end, by SIGTERM
  bool killing_ = false;
  bool given_up_ = false;
  StepStatus status_;
};

}  // namespace bai::step
