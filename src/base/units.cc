#include "base/units.h"

#include <charconv>
#include <limits>

#include "base/text.h"

namespace bai {
namespace {

// Memory is kept in MiB and must survive being turned into bytes in 64 bits.
constexpr uint64_t kMaxMemoryMib = uint64_t{1} << 43;

enum class Digits { kGood, kBad, kOverflow };

// The whole text as digits with an optional sign.
Digits read_digits(std::string_view text, int64_t& value) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (!all_digits(text.starts_with('-') ? text.substr(1) : text)) return Digits::kBad;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return Digits::kOverflow;
  return Digits::kGood;
}

std::string shortest(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return error == std::errc() ? std::string(buffer, end) : std::string();
}

Error out_of_range(const char* code, std::string_view text, int64_t min, int64_t max) {
  const std::string message = quote(text) + " is out of range";
  if (max == std::numeric_limits<int64_t>::max()) {
    return Error{code, message, {}, "write a number of at least " + std::to_string(min)};
  }
  return Error{
      code, message, {}, "write a number from " + std::to_string(min) + " to " + std::to_string(max)};
}

}  // namespace

Result<int64_t> parse_int(std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  switch (read_digits(trim(text), value)) {
    case Digits::kBad:
      return Error{"bad_number",
                   quote(text) + " is not a whole number",
                   {},
                   "write digits only, such as " + std::to_string(min > 1   ? min
                                                                  : max < 1 ? max
                                                                            : 1)};
    case Digits::kOverflow:
      return out_of_range("bad_number", text, min, max);
    case Digits::kGood:
      break;
  }
  if (value < min || value > max) return out_of_range("bad_number", text, min, max);
  return value;
}

Result<double> parse_decimal(std::string_view text, double min, double max) {
  std::string_view body = trim(text);
  const Error bad{"bad_number", quote(text) + " is not a number", {}, "write a number such as 1.5"};
  if (body.starts_with('+')) body.remove_prefix(1);
  // from_chars would also take "inf", "nan" and exponents.
  size_t digits = 0;
  size_t dots = 0;
  for (char c : body.starts_with('-') ? body.substr(1) : body) {
    if (is_digit(c)) {
      ++digits;
    } else if (c == '.') {
      ++dots;
    } else {
      return bad;
    }
  }
  if (digits == 0 || dots > 1) return bad;
  double value = 0;
  const auto [end, error] =
      std::from_chars(body.data(), body.data() + body.size(), value, std::chars_format::fixed);
  if (error == std::errc::invalid_argument || end != body.data() + body.size()) return bad;
  if (error != std::errc() || !(value >= min && value <= max)) {
    return Error{"bad_number",
                 quote(text) + " is out of range",
                 {},
                 "write a number from " + shortest(min) + " to " + shortest(max)};
  }
  return value;
}

Result<int64_t> parse_count(std::string_view text, int64_t min, int64_t max) {
  std::string_view body = trim(text);
  int64_t unit = 1;
  if (!body.empty()) {
    const char suffix = lower(body.back());
    if (suffix == 'k') unit = 1024;
    if (suffix == 'm') unit = 1024 * 1024;
    if (unit != 1) body.remove_suffix(1);
  }
  int64_t value = 0;
  const Digits read = read_digits(body, value);
  if (read == Digits::kBad) {
    return Error{
        "bad_count", quote(text) + " is not a count", {}, "write a whole number, such as 4 or 1k for 1024"};
  }
  if (read == Digits::kOverflow || __builtin_mul_overflow(value, unit, &value) || value < min ||
      value > max) {
    return out_of_range("bad_count", text, min, max);
  }
  return value;
}

Result<CountRange> parse_count_range(std::string_view text) {
  constexpr int64_t kMost = std::numeric_limits<uint32_t>::max() - 2;  // Slurm keeps the last two for "none"
  const std::vector<std::string_view> ends = split(trim(text), '-', 2);
  const Result<int64_t> min = parse_count(ends[0], 1, kMost);
  const Result<int64_t> max = parse_count(ends.back(), 1, kMost);
  if (!min.ok() || !max.ok()) {
    return Error{"bad_count",
                 quote(text) + " is not a node count: " + (!min.ok() ? min : max).error().message,
                 {},
                 "write one number of at least 1, or a range such as 2-4"};
  }
  if (*min > *max) {
    return Error{"bad_count",
                 quote(text) + " ends below its beginning",
                 {},
                 "write the smaller number first, such as 2-4"};
  }
  return CountRange{static_cast<uint32_t>(*min), static_cast<uint32_t>(*max)};
}

Result<uint64_t> parse_memory_mib(std::string_view text, ZeroMemory zero) {
  __extension__ using Wide = unsigned __int128;
  constexpr const char* kRemedy =
      "write a number with K, M, G or T, such as 4G or 512M; without a letter it is MiB";
  const Error bad{"bad_size", quote(text) + " is not a memory size", {}, kRemedy};
  const Error too_large{"bad_size", "the memory size " + quote(text) + " is too large", {}, kRemedy};
  std::string_view body = trim(text);

  Wide number = 0;  // all digits, as if there were no point
  Wide scale = 1;   // 10 ^ digits behind the point
  bool point = false;
  size_t digits = 0;
  size_t at = 0;
  for (; at < body.size() && (is_digit(body[at]) || body[at] == '.'); ++at) {
    if (body[at] == '.') {
      if (point) return bad;
      point = true;
      continue;
    }
    ++digits;
    if (point && scale >= 1'000'000'000)
      return Error{"bad_size", quote(text) + " has too many decimals", {}, kRemedy};
    number = number * 10 + static_cast<unsigned>(body[at] - '0');
    if (point) scale *= 10;
    if (number > Wide{1} << 86) return too_large;
  }
  if (digits == 0) return bad;

  std::string unit = upper(trim(body.substr(at)));
  if (unit.size() == 3 && unit.ends_with("IB")) unit.resize(1);
  if (unit.size() == 2 && unit.ends_with("B")) unit.resize(1);
  const size_t power = unit.empty() ? 1 : std::string_view("KMGTP").find(unit);
  if (unit.size() > 1 || power == std::string_view::npos) {
    return Error{"bad_size", quote(text) + " has an unknown unit", {}, kRemedy};
  }

  const Wide kib = number << (10 * power);  // at most 2^86 * 2^40
  const Wide mib = (kib + scale * 1024 - 1) / (scale * 1024);
  if (mib > kMaxMemoryMib) return too_large;
  if (mib == 0 && zero == ZeroMemory::kRefused) {
    return Error{"bad_size",
                 "the memory size " + quote(text) + " is zero",
                 {},
                 "write a size above zero, such as 512M or 4G"};
  }
  return static_cast<uint64_t>(mib);
}

namespace {

std::string format_in_units(uint64_t mib, bool exact) {
  if (mib == 0) return "0";
  // Dividing by 1024 is exact in a double; what Slurm calls exact includes halves (1536M is 1.50G).
  double value = static_cast<double>(mib);
  size_t unit = 0;
  constexpr std::string_view kUnits = "MGTP";
  while (value >= 1024 && unit + 1 < kUnits.size() && (!exact || static_cast<uint64_t>(value) % 512 == 0)) {
    value /= 1024;
    ++unit;
  }
  const auto whole = static_cast<uint64_t>(value);
  if (static_cast<double>(whole) == value) return std::to_string(whole) + kUnits[unit];
  char buffer[32];
  char* end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, 2).ptr;
  return std::string(buffer, end) + kUnits[unit];
}

}  // namespace

std::string format_memory(uint64_t mib) { return format_in_units(mib, true); }
std::string format_memory_rounded(uint64_t mib) { return format_in_units(mib, false); }

}  // namespace bai
