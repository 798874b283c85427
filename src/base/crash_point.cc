#include "base/crash_point.h"

#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/suggest.h"

namespace bai {

namespace {
std::atomic<std::uint64_t> passings_left{0};
}

namespace detail {

std::atomic<std::size_t> armed_crash_point{kNoCrashPoint};

void crash_point_reached() {
  if (passings_left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  std::string line(kCrashPoints[armed_crash_point.load(std::memory_order_relaxed)]);
  line += '\n';
  [[maybe_unused]] const ssize_t n = ::write(2, line.data(), line.size());
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();  // another thread may run on until the signal is there; this one must not
}

}  // namespace detail

std::span<const std::string_view> crash_point_names() { return kCrashPoints; }

Status crash_points_init() {
  const char* variable = std::getenv("BAI_CRASH_POINT");
  if (variable == nullptr || *variable == 0) return {};
  const std::string_view text = variable;
  const auto colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  std::uint64_t nth = 1;
  if (colon != std::string_view::npos) {
    const std::string_view number = text.substr(colon + 1);
    const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), nth);
    if (ec != std::errc() || end != number.data() + number.size() || nth == 0)
      return Error{"bad_crash_point", "the count after ':' must be a number from 1", "BAI_CRASH_POINT"};
  }
  for (std::size_t i = 0; i < std::size(kCrashPoints); ++i) {
    if (kCrashPoints[i] != name) continue;
    passings_left.store(nth, std::memory_order_relaxed);
    detail::armed_crash_point.store(i, std::memory_order_release);
    return {};
  }
  return Error{"bad_crash_point", "unknown crash point '" + std::string(name) + "'", "BAI_CRASH_POINT",
               did_you_mean(name, crash_point_names())};
}

}  // namespace bai
