// Moments and durations: what the rooms store, and the forms in which Slurm users write and read them.
// Local time is the process's TZ (localtime_r, mktime). Nothing here reads a clock; callers pass `now`.
// Any thread; plain values and pure functions.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai {

// A duration in whole seconds.
using Seconds = int64_t;
// As a limit: none. Prints as UNLIMITED.
constexpr Seconds kUnlimited = -1;
// The longest finite limit that is accepted; about 8,000 years, Slurm's 32 bits of minutes.
constexpr Seconds kMaxLimit = int64_t{0xfffffffd} * 60;

// A moment: microseconds since the Unix epoch, UTC. 0 is "not set".
struct Time {
  int64_t us = 0;

  static constexpr Time from_seconds(int64_t seconds) { return Time{seconds * 1'000'000}; }
  // Whole seconds since the epoch, rounded down.
  constexpr int64_t seconds() const { return us >= 0 ? us / 1'000'000 : -((-us + 999'999) / 1'000'000); }
  constexpr bool is_set() const { return us != 0; }
  friend constexpr auto operator<=>(Time, Time) = default;
};

// Later than every moment that parse_when accepts.
constexpr Time kFarFuture{INT64_MAX};

// Finite durations only: kUnlimited is the caller's to handle. Saturates at kFarFuture.
constexpr Time operator+(Time t, Seconds s) {
  return s > 0 && (s > INT64_MAX / 1'000'000 || t.us > INT64_MAX - s * 1'000'000)
             ? kFarFuture
             : Time{t.us + s * 1'000'000};
}
constexpr Time operator-(Time t, Seconds s) { return Time{t.us - s * 1'000'000}; }
// Whole seconds from b to a, rounded down.
constexpr Seconds operator-(Time a, Time b) { return Time{a.us - b.us}.seconds(); }

// A duration in any of sbatch --time's forms: "minutes", "minutes:seconds", "hours:minutes:seconds",
// "days-hours", "days-hours:minutes", "days-hours:minutes:seconds"; INFINITE, UNLIMITED and -1 (any case)
// give kUnlimited. Exact seconds, at most kMaxLimit; 0 is returned as 0. Errors: bad_time.
Result<Seconds> parse_duration(std::string_view text);
// The same, rounded up to whole minutes as Slurm does with every time limit. `sbatch -t 0` means no limit:
// that is the caller's to apply.
Result<Seconds> parse_time_limit(std::string_view text);

// As squeue prints times: "M:SS", "H:MM:SS", "D-HH:MM:SS", UNLIMITED; "INVALID" when negative otherwise.
std::string format_duration(Seconds seconds);
// As sacct and scontrol print them: "HH:MM:SS", "D-HH:MM:SS", UNLIMITED.
std::string format_duration_full(Seconds seconds);

// What a time of day without a date, or a date without a year, means: the next such moment (--begin,
// --deadline), or, as sacct -S has it, today's and the last such month's.
enum class When { kFuture, kPast };

// Every form of --begin, --deadline and sacct -S/-E, in any case:
//   now, now+COUNT[seconds|minutes|hours|days|weeks], now-COUNT...  (no unit: seconds; min, h, d and the like
//   do, too) a date: today, tomorrow, MMDD[YY], MM/DD[/YY], MM.DD[.YY], YYYY-MM-DD a time of day: HH:MM[:SS]
//   [AM|PM], midnight, noon, elevenses (11:00), fika (15:00), teatime (16:00) both, in either order, with
//   'T', '-' or blanks between them; a date alone means 00:00 epoch seconds: "uts1767322800", or at least 9
//   digits
// Errors: bad_time, also for days that no month has and moments before 1970.
Result<Time> parse_when(std::string_view text, Time now, When when = When::kFuture);

// Local time as "2026-01-02T03:04:05". Callers print N/A, Unknown or None themselves for a time that is not
// set.
std::string format_timestamp(Time t);

}  // namespace bai
