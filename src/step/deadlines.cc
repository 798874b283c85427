#include "step/deadlines.h"

#include <algorithm>

namespace bai::step {

namespace {

constexpr int64_t kClockCheckMs = 60'000;

int64_t ms_until(int64_t deadline_us, int64_t now_us) {
  const int64_t us = deadline_us - now_us;
  return us <= 0 ? 0 : us / 1000 + (us % 1000 != 0);
}

}  // namespace

void Deadlines::start(const StepLaunch& launch, int64_t now_ms) {
  start_ms_ = now_ms;
  if (launch.deadline_us > 0) deadline_us_ = launch.deadline_us;
  if (launch.warning_signal != 0) warning_before_ms_ = static_cast<int64_t>(launch.warning_before_s) * 1000;
  set_time_limit(launch.time_limit_s);
}

void Deadlines::set_time_limit(uint64_t seconds) {
  time_limit_s_ = seconds;
  limit_at.reset();
  if (seconds > 0 && !over_ && !suspended_at_) limit_at = start_ms_ + static_cast<int64_t>(seconds) * 1000;
}

void Deadlines::suspend(int64_t now_ms) {
  if (over_ || suspended_at_) return;
  suspended_at_ = now_ms;
  limit_at.reset();
  if (wait_at) wait_left_ = *wait_at - now_ms;
  wait_at.reset();
}

void Deadlines::resume(int64_t now_ms) {
  if (!suspended_at_) return;
  start_ms_ += now_ms - *suspended_at_;
  suspended_at_.reset();
  set_time_limit(time_limit_s_);
  if (wait_left_ && !over_) wait_at = now_ms + *wait_left_;
  wait_left_.reset();
}

void Deadlines::ending() {
  over_ = true;
  limit_at.reset();
  grace_end_at.reset();
  wait_at.reset();
  deadline_us_.reset();
  warning_before_ms_.reset();
}

std::optional<int64_t> Deadlines::warning_at(int64_t now_ms, int64_t now_us) const {
  if (!warning_before_ms_) return {};
  std::optional<int64_t> end = limit_at;
  if (deadline_us_) {
    const int64_t at = now_ms + ms_until(*deadline_us_, now_us);
    end = end ? std::min(*end, at) : at;
  }
  if (!end) return {};
  return *end - *warning_before_ms_;
}

bool Deadlines::warning_due(int64_t now_ms, int64_t now_us) {
  return due(warning_at(now_ms, now_us), now_ms) && take_warning();
}

bool Deadlines::take_warning() {
  const bool had = warning_before_ms_.has_value();
  warning_before_ms_.reset();
  return had;
}

int64_t Deadlines::pause_ms(int64_t now_ms, int64_t now_us) const {
  std::optional<int64_t> next;
  auto take = [&](std::optional<int64_t> at) {
    if (at) next = next ? std::min(*next, *at) : *at;
  };
  take(limit_at);
  take(grace_end_at);
  take(kill_at);
  take(give_up_at);
  take(wait_at);
  take(let_go_at);
  take(warning_at(now_ms, now_us));
  if (deadline_us_) {
    take(now_ms + ms_until(*deadline_us_, now_us));
    take(now_ms + kClockCheckMs);
  }
  if (!next) return -1;
  return std::max<int64_t>(0, *next - now_ms);
}

}  // namespace bai::step
