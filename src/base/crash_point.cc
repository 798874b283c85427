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
std::atomic<int> signal_sent{SIGKILL};
std::atomic<bool> to_group{false};

bool parse_number(std::string_view text, std::uint64_t max, std::uint64_t& out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size() && out != 0 && out <= max;
}

}  // namespace

namespace detail {

std::atomic<std::size_t> armed_crash_point{kNoCrashPoint};

void crash_point_reached() {
  if (passings_left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  std::string line(kCrashPoints[armed_crash_point.load(std::memory_order_relaxed)]);
  line += '\n';
  [[maybe_unused]] const ssize_t n = ::write(2, line.data(), line.size());
  ::kill(to_group ? 0 : ::getpid(), signal_sent);
  while (signal_sent == SIGKILL)
    ::pause();  // another thread may run on until the signal is there; this one must not
}

}  // namespace detail

std::span<const std::string_view> crash_point_names() { return kCrashPoints; }

Status crash_points_init() {
  const char* variable = std::getenv("BAI_CRASH_POINT");
  if (variable == nullptr || *variable == 0) return {};
  std::string_view text = variable;
  std::uint64_t number = SIGKILL;
  if (const auto equals = text.find('='); equals != text.npos) {
    std::string_view signal = text.substr(equals + 1);
    const bool group = signal.starts_with('-');
    if (group) signal.remove_prefix(1);
    if (!parse_number(signal, 64, number))
      return Error{"bad_crash_point", "after '=' comes a signal's number, perhaps with '-'",
                   "BAI_CRASH_POINT"};
    to_group = group;
    text = text.substr(0, equals);
  }
  signal_sent = static_cast<int>(number);
  const auto colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  std::uint64_t nth = 1;
  if (colon != std::string_view::npos) {
    if (!parse_number(text.substr(colon + 1), UINT64_MAX, nth))
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
