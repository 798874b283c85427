// When the shepherd has to do something by the clock: warn, end by time limit or deadline, kill, give up. Pure arithmetic on
// two clocks that the caller reads: monotonic milliseconds, and Unix microseconds for the deadline alone. One thread.
#pragma once

#include <cstdint>
#include <optional>

#include "step/launch.h"

namespace bai::step {

class Deadlines {
 public:
  // The step's start, by the monotonic clock.
  void start(const StepLaunch& launch, int64_t now_ms);
  // 0: none. Counts from the start, and brings a warning that is still to come along.
  void set_time_limit(uint64_t seconds);
  uint64_t time_limit_s() const { return time_limit_s_; }

  // The step stands still: until resume() only its deadline counts. Repeating either changes nothing.
  void suspend(int64_t now_ms);
  void resume(int64_t now_ms);

  // No more warnings, limits or deadlines: the step is being ended.
  void ending();

  // Milliseconds until something is due: 0 now, -1 never. At most a minute while a deadline stands, since the wall clock may be set.
  int64_t pause_ms(int64_t now_ms, int64_t now_us) const;
  static bool due(const std::optional<int64_t>& at, int64_t now_ms) { return at && *at <= now_ms; }
  bool deadline_due(int64_t now_us) const { return deadline_us_ && *deadline_us_ <= now_us; }
  // True once, when it is time for the warning signal.
  bool warning_due(int64_t now_ms, int64_t now_us);
  // The same before its time: true if there is one that was not given yet.
  bool take_warning();

  // Monotonic milliseconds.
  std::optional<int64_t> limit_at;
  std::optional<int64_t> grace_end_at;  // it was told to go
  std::optional<int64_t> kill_at;
  std::optional<int64_t> give_up_at;
  std::optional<int64_t> wait_at;    // for the other tasks, after the first ended
  std::optional<int64_t> let_go_at;  // of clients that do not take what the tasks wrote

 private:
  std::optional<int64_t> warning_at(int64_t now_ms, int64_t now_us) const;

  int64_t start_ms_ = 0;
  uint64_t time_limit_s_ = 0;
  std::optional<int64_t> deadline_us_;
  std::optional<int64_t> warning_before_ms_;
  std::optional<int64_t> suspended_at_;
  std::optional<int64_t> wait_left_;  // of wait_at, while suspended
  bool over_ = false;
};

}  // namespace bai::step
