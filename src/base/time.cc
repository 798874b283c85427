#include "base/time.h"

#include <ctime>

#include <array>
#include <optional>

#include "base/text.h"

namespace bai {
namespace {

constexpr Seconds kMinute = 60;
constexpr Seconds kHour = 60 * kMinute;
constexpr Seconds kDay = 24 * kHour;
constexpr Seconds kWeek = 7 * kDay;

// The number that all of `digits` is; nothing when it is none or has more than 12 digits.
std::optional<int64_t> number(std::string_view digits) {
  if (!all_digits(digits) || digits.size() > 12) return std::nullopt;
  int64_t value = 0;
  for (char c : digits) value = value * 10 + (c - '0');
  return value;
}

std::string two(int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

Error bad_limit(std::string_view text) {
  return Error{"bad_time",
               quote(text) + " is not a time limit",
               {},
               "write minutes, hours:minutes:seconds or days-hours:minutes:seconds, such as 30, 1:30:00 or "
               "2-12:00:00"};
}

struct Date {
  int year = 0;  // 0: not said
  int month = 0;
  int day = 0;
};

struct TimeOfDay {
  int hour = 0;
  int minute = 0;
  int second = 0;
};

int days_in(int month, int year) {
  static constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[static_cast<size_t>(month - 1)];
}

// Reads a text from left to right.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  char peek(size_t ahead = 0) const { return ahead < rest_.size() ? rest_[ahead] : '\0'; }
  void skip(size_t count = 1) { rest_.remove_prefix(count); }
  void skip_blanks() {
    while (!done() && is_blank(peek())) skip();
  }
  bool take(char c) {
    if (done() || peek() != c) return false;
    skip();
    return true;
  }
  // `word` in any case, not followed by another letter.
  bool take_word(std::string_view word) {
    if (!istarts_with(rest_, word) || is_alpha(peek(word.size()))) return false;
    skip(word.size());
    return true;
  }
  std::string_view take_digits(size_t most = std::string_view::npos) {
    return take_while([](char c) { return is_digit(c); }, most);
  }
  std::string_view take_letters() {
    return take_while([](char c) { return is_alpha(c); }, std::string_view::npos);
  }
  // One or two digits.
  std::optional<int> take_short() {
    const std::optional<int64_t> value = number(take_digits(2));
    if (!value || is_digit(peek())) return std::nullopt;
    return static_cast<int>(*value);
  }

 private:
  template <class Is>
  std::string_view take_while(Is is, size_t most) {
    size_t count = 0;
    while (count < rest_.size() && count < most && is(rest_[count])) ++count;
    const std::string_view taken = rest_.substr(0, count);
    skip(count);
    return taken;
  }

  std::string_view rest_;
};

// HH:MM[:SS] [AM|PM]
std::optional<TimeOfDay> read_time_of_day(Reader& in) {
  TimeOfDay t;
  const std::optional<int> hour = in.take_short();
  if (!hour || !in.take(':')) return std::nullopt;
  const std::string_view minute = in.take_digits();
  if (minute.size() != 2) return std::nullopt;
  t.hour = *hour;
  t.minute = static_cast<int>(*number(minute));
  if (in.take(':')) {
    const std::string_view second = in.take_digits();
    if (second.size() != 2) return std::nullopt;
    t.second = static_cast<int>(*number(second));
  }
  if (t.hour > 23 || t.minute > 59 || t.second > 59) return std::nullopt;
  Reader ahead = in;  // blanks that no AM or PM follows stay
  ahead.skip_blanks();
  const bool pm = ahead.take_word("pm");
  if (pm || ahead.take_word("am")) {
    in = ahead;
    if (t.hour > 12) return std::nullopt;
    t.hour = t.hour % 12 + (pm ? 12 : 0);
  }
  return t;
}

// MMDD[YY], MM/DD[/YY], MM.DD[.YY] or YYYY-MM-DD; the day may still be one that the month does not have.
std::optional<Date> read_date(Reader& in) {
  Date d;
  const std::string_view head = in.take_digits();
  // "1225-16:00" is a day and a time of day.
  if (head.size() == 4 && in.peek() == '-' && (in.peek(2) == '-' || in.peek(3) == '-')) {
    in.skip();
    const std::optional<int> month = in.take_short();
    if (!month || !in.take('-')) return std::nullopt;
    const std::optional<int> day = in.take_short();
    if (!day) return std::nullopt;
    d = {static_cast<int>(*number(head)), *month, *day};
    if (d.year < 1970) return std::nullopt;
  } else if (head.size() == 4 || head.size() == 6) {
    d.month = static_cast<int>(*number(head.substr(0, 2)));
    d.day = static_cast<int>(*number(head.substr(2, 2)));
    if (head.size() == 6) d.year = 2000 + static_cast<int>(*number(head.substr(4)));
  } else if (head.size() == 1 || head.size() == 2) {
    const char mark = in.peek();
    if ((mark != '/' && mark != '.') || !in.take(mark)) return std::nullopt;
    const std::optional<int> day = in.take_short();
    if (!day) return std::nullopt;
    d.month = static_cast<int>(*number(head));
    d.day = *day;
    if (in.take(mark)) {
      const std::string_view year = in.take_digits();
      if (year.size() != 2) return std::nullopt;
      d.year = 2000 + static_cast<int>(*number(year));
    }
  } else {
    return std::nullopt;
  }
  if (d.month < 1 || d.month > 12 || d.day < 1 || d.day > 31) return std::nullopt;
  return d;
}

// COUNT[unit]
std::optional<Seconds> read_delta(Reader& in) {
  in.skip_blanks();
  const std::optional<int64_t> count = number(in.take_digits());
  if (!count) return std::nullopt;
  in.skip_blanks();
  const std::string unit = lower(in.take_letters());
  struct Unit {
    std::string_view names;  // each between blanks
    Seconds seconds;
  };
  // The first one when none is said.
  static constexpr std::array<Unit, 5> kUnits = {{{" s sec secs second seconds ", 1},
                                                  {" m min mins minute minutes ", kMinute},
                                                  {" h hr hrs hour hours ", kHour},
                                                  {" d day days ", kDay},
                                                  {" w week weeks ", kWeek}}};
  for (const Unit& known : kUnits) {
    if (!unit.empty() && known.names.find(" " + unit + " ") == std::string_view::npos) continue;
    if (*count > kMaxLimit / known.seconds) return std::nullopt;
    return *count * known.seconds;
  }
  return std::nullopt;
}

std::tm local(Time t) {
  const auto seconds = static_cast<time_t>(t.seconds());
  std::tm out{};
  localtime_r(&seconds, &out);
  return out;
}

}  // namespace

Result<Seconds> parse_duration(std::string_view text) {
  std::string_view body = trim(text);
  if (body == "-1" || iequals(body, "infinite") || iequals(body, "unlimited")) return kUnlimited;

  Seconds total = 0;
  std::array<Seconds, 3> units = {kMinute, 1, 0};  // of the fields between colons
  size_t most = 2;
  const size_t dash = body.find('-');
  if (dash != std::string_view::npos) {
    const std::optional<int64_t> days = number(body.substr(0, dash));
    if (!days || *days > kMaxLimit / kDay) return bad_limit(text);
    total = *days * kDay;
    body.remove_prefix(dash + 1);
    units = {kHour, kMinute, 1};
    most = 3;
  }
  const std::vector<std::string_view> fields = split(body, ':', 4);
  if (dash == std::string_view::npos && fields.size() == 3) {
    units = {kHour, kMinute, 1};
    most = 3;
  }
  if (fields.size() > most) return bad_limit(text);
  for (size_t i = 0; i < fields.size(); ++i) {
    const std::optional<int64_t> value = number(fields[i]);
    if (!value) return bad_limit(text);
    if (*value > kMaxLimit / units[i] || (total += *value * units[i]) > kMaxLimit) {
      return Error{
          "bad_time", "the time " + quote(text) + " is too long", {}, "write UNLIMITED for no limit"};
    }
  }
  return total;
}

Result<Seconds> parse_time_limit(std::string_view text) {
  Result<Seconds> exact = parse_duration(text);
  if (!exact.ok() || *exact == kUnlimited) return exact;
  return (*exact + kMinute - 1) / kMinute * kMinute;
}

std::string format_duration(Seconds seconds) {
  if (seconds == kUnlimited) return "UNLIMITED";
  if (seconds < 0) return "INVALID";
  if (seconds >= kDay) return format_duration_full(seconds);
  const Seconds hours = seconds / kHour;
  const Seconds minutes = seconds % kHour / kMinute;
  const std::string tail = ":" + two(seconds % kMinute);
  if (hours > 0) return std::to_string(hours) + ":" + two(minutes) + tail;
  return std::to_string(minutes) + tail;
}

std::string format_duration_full(Seconds seconds) {
  if (seconds == kUnlimited) return "UNLIMITED";
  if (seconds < 0) return "INVALID";
  const std::string clock =
      two(seconds % kDay / kHour) + ":" + two(seconds % kHour / kMinute) + ":" + two(seconds % kMinute);
  return seconds >= kDay ? std::to_string(seconds / kDay) + "-" + clock : clock;
}

Result<Time> parse_when(std::string_view text, Time now, When when) {
  const Error bad{"bad_time",
                  quote(text) + " is not a time",
                  {},
                  "write a time such as now+1hour, 16:00, tomorrow or 2026-01-02T03:04:05"};
  const Error range{
      "bad_time", "the time " + quote(text) + " is out of range", {}, "write a time between 1970 and 9999"};
  Reader in(trim(text));

  std::string_view epoch = trim(text);
  const bool uts = istarts_with(epoch, "uts");
  if (uts) epoch.remove_prefix(3);
  if (uts || (all_digits(epoch) && epoch.size() >= 9)) {
    const std::optional<int64_t> seconds = number(epoch);
    if (!seconds) return bad;
    if (*seconds < 1 || *seconds > kMaxLimit) return range;
    return Time::from_seconds(*seconds);
  }

  if (in.take_word("now")) {
    in.skip_blanks();
    const bool back = in.peek() == '-';
    std::optional<Seconds> delta = 0;
    if (in.take('+') || in.take('-')) delta = read_delta(in);
    if (!delta || !in.done()) return bad;
    const Time t = Time::from_seconds(now.seconds() + (back ? -*delta : *delta));
    if (t.us <= 0) return range;
    return t;
  }

  struct Named {
    std::string_view word;
    int hour;
  };
  static constexpr std::array<Named, 5> kNamed = {
      {{"midnight", 0}, {"noon", 12}, {"elevenses", 11}, {"fika", 15}, {"teatime", 16}}};
  const std::tm today = local(now);
  std::optional<Date> date;
  std::optional<TimeOfDay> clock;
  while (!in.done()) {
    if (date || clock) {  // between the two: blanks, 'T' or '-'
      const bool spaced = is_blank(in.peek());
      in.skip_blanks();
      const bool mark =
          in.peek() == '-' || (lower(in.peek()) == 't' && (is_digit(in.peek(1)) || in.peek(1) == '\0'));
      if (mark) in.skip();
      if (!mark && !spaced) return bad;
      in.skip_blanks();
    }
    bool named = false;
    for (const Named& known : kNamed) {
      if (!in.take_word(known.word)) continue;
      if (clock) return bad;
      clock = TimeOfDay{known.hour, 0, 0};
      named = true;
      break;
    }
    if (named) continue;
    const bool tomorrow = in.take_word("tomorrow");
    if (tomorrow || in.take_word("today")) {
      if (date) return bad;
      // mktime carries the day over into the next month.
      date = Date{today.tm_year + 1900, today.tm_mon + 1, today.tm_mday + (tomorrow ? 1 : 0)};
    } else if (in.peek(1) == ':' || in.peek(2) == ':') {
      if (clock || !(clock = read_time_of_day(in))) return bad;
    } else {
      if (date || !(date = read_date(in))) return bad;
      // 2028 is a leap year: 29 February without a year is left to the year that is chosen below.
      if (date->day > days_in(date->month, date->year == 0 ? 2028 : date->year)) {
        return Error{
            "bad_time", quote(text) + " names a day that does not exist", {}, "check the day of the month"};
      }
    }
  }
  if (!date && !clock) return bad;
  const TimeOfDay at = clock.value_or(TimeOfDay{});

  const auto resolve = [&](const Date& d) -> Time {
    std::tm parts{};
    parts.tm_year = d.year - 1900;
    parts.tm_mon = d.month - 1;
    parts.tm_mday = d.day;
    parts.tm_hour = at.hour;
    parts.tm_min = at.minute;
    parts.tm_sec = at.second;
    parts.tm_isdst = -1;
    return Time::from_seconds(static_cast<int64_t>(std::mktime(&parts)));
  };
  // Slurm compares whole minutes here: the minute that has begun is over.
  const auto over = [&](const Date& d) {
    const std::array<int, 4> said = {d.month, d.day, at.hour, at.minute};
    return said <= std::array<int, 4>{today.tm_mon + 1, today.tm_mday, today.tm_hour, today.tm_min};
  };
  if (!date) {
    date = Date{today.tm_year + 1900, today.tm_mon + 1, today.tm_mday};
    if (when == When::kFuture && over(*date)) date->day += 1;
  } else if (date->year == 0) {
    date->year = today.tm_year + 1900;
    if (when == When::kFuture && over(*date)) date->year += 1;
    if (when == When::kPast && date->month > today.tm_mon + 1) date->year -= 1;
    if (date->day > days_in(date->month, date->year)) {
      return Error{"bad_time",
                   quote(text) + " names a day that " + std::to_string(date->year) + " does not have",
                   {},
                   "write the year, too, such as 2028-02-29"};
    }
  }
  const Time t = resolve(*date);
  if (t.us <= 0) return range;
  return t;
}

std::string format_timestamp(Time t) {
  const std::tm parts = local(t);
  return std::to_string(parts.tm_year + 1900) + "-" + two(parts.tm_mon + 1) + "-" + two(parts.tm_mday) + "T" +
         two(parts.tm_hour) + ":" + two(parts.tm_min) + ":" + two(parts.tm_sec);
}

}  // namespace bai
