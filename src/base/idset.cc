#include "base/idset.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/text.h"

namespace bai {
namespace {

// One piece of an id list: "7", "1-3", "0-15:4".
struct Piece {
  uint32_t first = 0;
  uint32_t last = 0;
  uint32_t step = 1;
};

std::optional<uint32_t> read_id(std::string_view digits) {
  digits = trim(digits);
  if (!all_digits(digits)) return std::nullopt;
  uint64_t value = 0;
  for (char c : digits) {
    value = value * 10 + static_cast<uint64_t>(c - '0');
    if (value > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  }
  return static_cast<uint32_t>(value);
}

std::optional<Piece> read_piece(std::string_view text) {
  Piece piece;
  const std::vector<std::string_view> range_step = split(text, ':', 2);
  const std::vector<std::string_view> ends = split(range_step[0], '-', 2);
  const std::optional<uint32_t> first = read_id(ends[0]);
  const std::optional<uint32_t> last = read_id(ends.back());
  if (!first || !last || *first > *last) return std::nullopt;
  if (range_step.size() == 2) {
    const std::optional<uint32_t> step = read_id(range_step[1]);
    if (!step || *step == 0 || ends.size() == 1) return std::nullopt;
    piece.step = *step;
  }
  piece.first = *first;
  piece.last = *last;
  return piece;
}

// `what` and `remedy` for the caller's own kind of list.
struct ListKind {
  const char* code;
  const char* what;
  std::string too_high;  // remedy
};

Result<IdSet> parse_list(std::string_view text, uint32_t max_id, const ListKind& kind) {
  // Ranges are gathered and joined at the end: inserting them one by one could move the whole set for each.
  std::vector<IdSet::Range> ranges;
  // A few bytes such as "0-4000000:2" make millions of ranges; each id may be named twice, not more.
  uint64_t budget = 2 * (uint64_t{max_id} + 1);
  for (std::string_view part : split(text, ',')) {
    const std::optional<Piece> piece = read_piece(part);
    if (!piece) {
      return Error{kind.code,
                   quote(trim(part)) + " in " + quote(text) + " is not " + kind.what,
                   {},
                   "write numbers and rising ranges, such as 1-3,7 or 0-15:4"};
    }
    if (piece->last > max_id) {
      return Error{kind.code,
                   std::to_string(piece->last) + " in " + quote(text) + " is above " + std::to_string(max_id),
                   {},
                   kind.too_high};
    }
    if (piece->step == 1) {
      ranges.push_back({piece->first, piece->last});
      continue;
    }
    const uint64_t ids = uint64_t{piece->last - piece->first} / piece->step + 1;
    if (ids > budget) {
      return Error{kind.code, quote(text) + " names the same ids again and again", {}, "name each id once"};
    }
    budget -= ids;
    for (uint64_t id = piece->first; id <= piece->last; id += piece->step) {
      ranges.push_back({static_cast<uint32_t>(id), static_cast<uint32_t>(id)});
    }
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const IdSet::Range& a, const IdSet::Range& b) { return a.first < b.first; });
  IdSet ids;
  for (const IdSet::Range& r : ranges) ids.insert(r.first, r.last);  // always at the end
  return ids;
}

// "1-3,5", or a beginning of it with more than `enough` bytes.
std::string format_ranges(std::span<const IdSet::Range> ranges, size_t enough) {
  std::string out;
  for (const IdSet::Range& r : ranges) {
    if (!out.empty()) out += ',';
    out += std::to_string(r.first);
    if (r.last > r.first) {
      out += '-';
      out += std::to_string(r.last);
    }
    if (out.size() > enough) break;
  }
  return out;
}

// The distance of ids that are evenly spaced, at least 2; 0 when they are not.
uint32_t even_step(std::span<const IdSet::Range> ranges) {
  if (ranges.size() < 2) return 0;
  const uint32_t step = ranges[1].first - ranges[0].first;
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].first != ranges[i].last) return 0;
    if (i > 0 && ranges[i].first - ranges[i - 1].first != step) return 0;
  }
  return step;
}

}  // namespace

IdSet::IdSet(const IdSet& other)
    : ranges_(other.ranges().begin(), other.ranges().end()), count_(other.count_) {}

IdSet& IdSet::operator=(const IdSet& other) {
  if (this != &other) {
    ranges_.assign(other.ranges().begin(), other.ranges().end());
    head_ = 0;
    count_ = other.count_;
  }
  return *this;
}

IdSet::IdSet(IdSet&& other) noexcept
    : ranges_(std::move(other.ranges_)),
      head_(std::exchange(other.head_, 0)),
      count_(std::exchange(other.count_, 0)) {
  other.ranges_.clear();
}

IdSet& IdSet::operator=(IdSet&& other) noexcept {
  if (this != &other) {
    ranges_ = std::move(other.ranges_);
    other.ranges_.clear();
    head_ = std::exchange(other.head_, 0);
    count_ = std::exchange(other.count_, 0);
  }
  return *this;
}

size_t IdSet::find(uint32_t id) const {
  const auto at = std::lower_bound(ranges_.begin() + static_cast<ptrdiff_t>(head_), ranges_.end(), id,
                                   [](const Range& r, uint32_t value) { return r.last < value; });
  return static_cast<size_t>(at - ranges_.begin());
}

bool IdSet::contains(uint32_t id) const {
  const size_t at = find(id);
  return at < ranges_.size() && ranges_[at].first <= id;
}

std::optional<uint32_t> IdSet::next(uint32_t id) const {
  const size_t at = find(id);
  if (at == ranges_.size()) return std::nullopt;
  return std::max(id, ranges_[at].first);
}

bool IdSet::insert(uint32_t id) {
  if (contains(id)) return false;
  insert(id, id);
  return true;
}

bool IdSet::erase(uint32_t id) {
  if (!contains(id)) return false;
  erase(id, id);
  return true;
}

void IdSet::insert(uint32_t first, uint32_t last) {
  // [begin, end): the ranges that overlap or touch first..last and become one with it.
  const size_t begin = find(first == 0 ? 0 : first - 1);
  size_t end = begin;
  Range joined{first, last};
  uint64_t had = 0;
  while (end < ranges_.size() && uint64_t{ranges_[end].first} <= uint64_t{last} + 1) {
    const Range& r = ranges_[end++];
    joined.first = std::min(joined.first, r.first);
    joined.last = std::max(joined.last, r.last);
    had += uint64_t{r.last} - r.first + 1;
  }
  count_ += uint64_t{joined.last} - joined.first + 1 - had;
  if (end > begin) {
    ranges_[begin] = joined;
    ranges_.erase(ranges_.begin() + static_cast<ptrdiff_t>(begin) + 1,
                  ranges_.begin() + static_cast<ptrdiff_t>(end));
  } else if (begin == head_ && head_ > 0) {
    ranges_[--head_] = joined;
  } else {
    ranges_.insert(ranges_.begin() + static_cast<ptrdiff_t>(begin), joined);
  }
}

void IdSet::erase(uint32_t first, uint32_t last) {
  size_t begin = find(first);
  size_t end = begin;  // [begin, end): the ranges that go away as a whole
  while (end < ranges_.size() && ranges_[end].first <= last) {
    Range& r = ranges_[end];
    if (r.first < first && r.last > last) {  // a hole in its middle
      const Range right{last + 1, r.last};
      r.last = first - 1;
      ranges_.insert(ranges_.begin() + static_cast<ptrdiff_t>(end) + 1, right);
      count_ -= uint64_t{last} - first + 1;
      return;
    }
    if (r.first < first) {
      count_ -= uint64_t{r.last} - first + 1;
      r.last = first - 1;
      begin = ++end;
    } else if (r.last > last) {
      count_ -= uint64_t{last} - r.first + 1;
      r.first = last + 1;
      break;
    } else {
      count_ -= uint64_t{r.last} - r.first + 1;
      ++end;
    }
  }
  if (begin == head_) {
    head_ = end;
    drop_dead();
  } else {
    ranges_.erase(ranges_.begin() + static_cast<ptrdiff_t>(begin),
                  ranges_.begin() + static_cast<ptrdiff_t>(end));
  }
}

std::optional<uint32_t> IdSet::pop_first() {
  if (empty()) return std::nullopt;
  Range& r = ranges_[head_];
  const uint32_t id = r.first;
  --count_;
  if (r.first < r.last) {
    ++r.first;
  } else {
    ++head_;
    drop_dead();
  }
  return id;
}

void IdSet::clear() {
  ranges_.clear();
  head_ = 0;
  count_ = 0;
}

void IdSet::drop_dead() {
  if (head_ == ranges_.size()) {
    std::vector<Range>().swap(ranges_);
    head_ = 0;
  } else if (head_ >= 32 && head_ >= ranges_.size() / 2) {
    // Half of it or more, so each popped range is paid for by one that is moved, and memory follows.
    std::vector<Range>(ranges_.begin() + static_cast<ptrdiff_t>(head_), ranges_.end()).swap(ranges_);
    head_ = 0;
  }
}

bool operator==(const IdSet& a, const IdSet& b) {
  return a.count_ == b.count_ &&
         std::equal(a.ranges().begin(), a.ranges().end(), b.ranges().begin(), b.ranges().end());
}

std::string IdSet::format() const { return format_ranges(ranges(), std::string::npos); }

Result<IdSet> IdSet::parse(std::string_view text, uint32_t max_id) {
  if (trim(text).empty()) return IdSet();
  return parse_list(text, max_id,
                    {"bad_id_set", "an id or a range", "write ids up to " + std::to_string(max_id)});
}

Result<ArraySpec> parse_array_spec(std::string_view text, uint32_t max_array_size) {
  if (max_array_size == 0) {
    return Error{"bad_array", "job arrays are not allowed here", {}, "the administrator sets MaxArraySize"};
  }
  ArraySpec spec;
  const std::vector<std::string_view> list_limit = split(trim(text), '%', 2);
  std::string_view list = trim(list_limit[0]);
  if (list.size() >= 2 && list.front() == '[' && list.back() == ']') list = list.substr(1, list.size() - 2);
  const std::string top = std::to_string(max_array_size - 1);
  Result<IdSet> ids = parse_list(
      list, max_array_size - 1,
      {"bad_array", "an array index or a range", "indexes go from 0 to " + top + " here (MaxArraySize)"});
  if (!ids.ok()) return ids.error();
  spec.ids = *std::move(ids);
  if (list_limit.size() == 2) {
    const std::optional<uint32_t> limit = read_id(list_limit[1]);
    if (!limit) {
      return Error{"bad_array",
                   quote(list_limit[1]) + " after '%' in " + quote(text) + " is not a number of tasks",
                   {},
                   "write how many may run at once, such as 0-15%4"};
    }
    spec.max_running = *limit;
  }
  return spec;
}

std::string format_array_spec(const IdSet& ids, uint32_t max_running, size_t max_bytes) {
  std::string out;
  // Slurm spares short spans the step form.
  const uint32_t step = ids.empty() || ids.last() - ids.first() <= 10 ? 0 : even_step(ids.ranges());
  if (step > 0) {
    out = std::to_string(ids.first()) + "-" + std::to_string(ids.last()) + ":" + std::to_string(step);
  } else if (max_bytes < 8) {
    out = ids.format();
  } else {
    out = format_ranges(ids.ranges(), max_bytes);
    // Slurm's SLURM_BITSTR_LEN is a buffer with its final NUL, and a text that just fits loses its end, too.
    if (out.size() > max_bytes - 3) out = out.substr(0, max_bytes - 4) + "...";
  }
  if (max_running > 0) out += "%" + std::to_string(max_running);
  return out;
}

}  // namespace bai
