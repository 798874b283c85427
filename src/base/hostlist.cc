#include "base/hostlist.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/text.h"

namespace bai {
namespace {

constexpr size_t kMaxName = 255;   // a host name's limit
constexpr size_t kMaxDigits = 18;  // what fits an int64_t
constexpr const char* kRemedy = "write names and ranges such as n[1-4,7],gpu[001-010]";

bool is_name_char(char c) { return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '.'; }
bool is_separator(char c) { return c == ',' || is_blank(c); }

uint64_t to_number(std::string_view digits) {
  uint64_t value = 0;
  for (char c : digits) value = value * 10 + static_cast<uint64_t>(c - '0');
  return value;
}

std::string padded(uint64_t value, size_t width) {
  std::string digits = std::to_string(value);
  return digits.size() < width ? std::string(width - digits.size(), '0') + digits : digits;
}

struct NumberRange {
  uint64_t first;
  uint64_t last;
  size_t width;  // at least so many digits
};

// A name in parts: literal text, then numbers from a bracket, then text... The last part has no ranges.
struct Part {
  std::string_view text;
  std::vector<NumberRange> ranges;
};

class Expander {
 public:
  Expander(std::string_view text, size_t max_hosts) : text_(text), max_hosts_(max_hosts) {}

  Result<std::vector<std::string>> run() {
    while (true) {
      while (at_ < text_.size() && is_separator(text_[at_])) ++at_;
      if (at_ == text_.size()) return std::move(names_);
      if (Status one = expand_one(); !one.ok()) return one.error();
    }
  }

 private:
  Error bad(size_t at, const std::string& what) const {
    return Error{"bad_hostlist",
                 what + " at column " + std::to_string(at + 1) + " of host list " + quote(text_),
                 {},
                 kRemedy};
  }
  Error too_many() const {
    return Error{"bad_hostlist",
                 "host list " + quote(text_) + " names more than " + std::to_string(max_hosts_) + " hosts",
                 {},
                 "write smaller ranges"};
  }

  // One name with its brackets, up to a separator or the end.
  Status expand_one() {
    std::vector<Part> parts;
    const size_t start = at_;
    size_t hosts = 1;
    size_t length = 0;  // of the longest name
    while (true) {
      const size_t literal = at_;
      while (at_ < text_.size() && is_name_char(text_[at_])) ++at_;
      parts.push_back({text_.substr(literal, at_ - literal), {}});
      length += at_ - literal;
      if (at_ == text_.size() || is_separator(text_[at_])) break;
      if (text_[at_] != '[') {
        return bad(at_, text_[at_] == ']' ? "']' without '['" : "unexpected " + quote(text_.substr(at_, 1)));
      }
      size_t numbers = 0;
      if (Status s = read_bracket(parts.back().ranges, numbers); !s.ok()) return s;
      if (numbers > max_hosts_ / hosts) return too_many();
      hosts *= numbers;
      for (size_t digits = 0; const NumberRange& r : parts.back().ranges) {
        const size_t most = padded(r.last, r.width).size();
        if (most > digits) length += most - digits, digits = most;
      }
      // Bounds the parts, too, so that empty text between brackets costs nothing.
      if (length > kMaxName) break;
    }
    if (length > kMaxName)
      return bad(start, "a name longer than " + std::to_string(kMaxName) + " characters");
    if (hosts > max_hosts_ - names_.size()) return too_many();
    std::string name;
    emit(parts, 0, name);
    return {};
  }

  // From '[' to behind ']'. `numbers` is how many there are; more than max_hosts_ ends it.
  Status read_bracket(std::vector<NumberRange>& ranges, size_t& numbers) {
    const size_t open = at_++;
    while (true) {
      const size_t start = at_;
      const std::optional<std::string_view> first = read_number();
      if (!first) return bad_number(open, start);
      NumberRange range{to_number(*first), to_number(*first), first->size()};
      if (at_ < text_.size() && text_[at_] == '-') {
        const size_t end = ++at_;
        const std::optional<std::string_view> last = read_number();
        if (!last) return bad_number(open, end);
        range.last = to_number(*last);
        if (range.last < range.first) return bad(start, "a range that goes down");
      }
      if (range.last - range.first >= max_hosts_ - std::min(numbers, max_hosts_)) return too_many();
      numbers += range.last - range.first + 1;
      ranges.push_back(range);
      if (at_ == text_.size()) return bad(open, "'[' without ']'");
      const char next = text_[at_++];
      if (next == ']') return {};
      if (next != ',') return bad(at_ - 1, "unexpected " + quote(std::string_view(&next, 1)));
    }
  }

  std::optional<std::string_view> read_number() {
    const size_t start = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    if (at_ == start || at_ - start > kMaxDigits) return std::nullopt;
    return text_.substr(start, at_ - start);
  }

  Error bad_number(size_t open, size_t start) const {
    if (start == text_.size()) return bad(open, "'[' without ']'");
    return bad(start, at_ > start ? "a number with too many digits" : "no number");
  }

  void emit(const std::vector<Part>& parts, size_t index, std::string& name) {
    const Part& part = parts[index];
    const size_t before = name.size();
    name += part.text;
    if (index + 1 == parts.size()) {
      names_.push_back(name);
    } else {
      const size_t stem = name.size();
      for (const NumberRange& r : part.ranges) {
        for (uint64_t n = r.first; n <= r.last; ++n) {
          name += padded(n, r.width);
          emit(parts, index + 1, name);
          name.resize(stem);
        }
      }
    }
    name.resize(before);
  }

  std::string_view text_;
  size_t max_hosts_;
  size_t at_ = 0;
  std::vector<std::string> names_;
};

// A name's text before the number at its end; at most kMaxDigits digits count as the number.
std::string_view stem_of(std::string_view name) {
  size_t at = name.size();
  while (at > 0 && is_digit(name[at - 1]) && name.size() - at < kMaxDigits) --at;
  return name.substr(0, at);
}

}  // namespace

Result<std::vector<std::string>> expand_hostlist(std::string_view text, size_t max_hosts) {
  return Expander(text, max_hosts).run();
}

std::string compress_hostlist(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size();) {
    const std::string_view stem = stem_of(names[i]);
    // The ranges that follow each other with this stem.
    std::string ranges;
    size_t count = 0;
    const size_t start = i;
    while (i < names.size() && names[i].size() > stem.size() && stem_of(names[i]) == stem) {
      const std::string_view first = std::string_view(names[i]).substr(stem.size());
      uint64_t value = to_number(first);
      size_t end = i + 1;
      while (end < names.size() && stem_of(names[end]) == stem &&
             std::string_view(names[end]).substr(stem.size()) == padded(value + 1, first.size())) {
        ++value;
        ++end;
      }
      if (count++ > 0) ranges += ',';
      ranges += first;
      if (end > i + 1) ranges += '-' + padded(value, first.size());
      i = end;
    }
    if (!out.empty()) out += ',';
    if (i == start) {
      out += names[i++];  // no number at its end
    } else if (i == start + 1) {
      out += names[start];
    } else {
      out.append(stem).append("[").append(ranges).append("]");
    }
  }
  return out;
}

std::string compress_hostlist_sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end(), host_less);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return compress_hostlist(names);
}

std::string numbered_hosts(std::string_view prefix, size_t count) {
  const std::string last = std::to_string(count);
  if (count == 1) return std::string(prefix) + last;
  return std::string(prefix) + "[" + std::string(last.size() - 1, '0') + "1-" + last + "]";
}

bool host_less(std::string_view a, std::string_view b) {
  int padding = 0;  // the first difference in zero padding settles what is equal otherwise
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[j])) {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
      continue;
    }
    const auto number = [](std::string_view s, size_t& at, size_t& zeros) {
      const size_t start = at;
      while (at < s.size() && is_digit(s[at])) ++at;
      size_t first = start;
      while (first + 1 < at && s[first] == '0') ++first;
      zeros = first - start;
      return s.substr(first, at - first);
    };
    size_t zeros_a = 0;
    size_t zeros_b = 0;
    const std::string_view x = number(a, i, zeros_a);
    const std::string_view y = number(b, j, zeros_b);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
    if (padding == 0 && zeros_a != zeros_b) padding = zeros_a < zeros_b ? -1 : 1;
  }
  if (i < a.size() || j < b.size()) return i == a.size();
  return padding < 0;
}

bool is_host_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), is_name_char);
}

}  // namespace bai
