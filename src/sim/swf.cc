#include "sim/swf.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/text.h"
#include "base/units.h"
#include "sim/shapes.h"

namespace bai::sim {
namespace {

enum Field : std::size_t {
  kId,
  kSubmit,
  kRun = 3,
  kProcsUsed,
  kProcsRequested = 7,
  kTimeRequested,
  kMemRequested,  // KiB for each processor
  kUser = 11,
  kQueue = 14,
  kPartition,
  kFields = 18
};
using Numbers = std::array<std::int64_t, kFields>;

// Times up to thirty thousand years, so that sums of them stay far from the ends of 64 bits.
constexpr std::int64_t kMost = 1'000'000'000'000;

// Some fields of some traces have decimals, which are cut off.
bool parse_number(std::string_view word, std::int64_t& out) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out);
  if (error == std::errc() && end == word.data() + word.size()) return out >= -kMost && out <= kMost;
  const auto [end2, error2] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error2 != std::errc() || end2 != word.data() + word.size()) return false;
  if (!(value >= -static_cast<double>(kMost) && value <= static_cast<double>(kMost))) return false;
  out = static_cast<std::int64_t>(value);
  return true;
}

std::string parse_numbers(std::string_view line, Numbers& out) {
  std::size_t count = 0;
  for (std::size_t at = 0;;) {
    while (at < line.size() && is_blank(line[at])) ++at;
    if (at == line.size()) break;
    auto end = at;
    while (end < line.size() && !is_blank(line[end])) ++end;
    const auto word = line.substr(at, end - at);
    if (count < kFields && !parse_number(word, out[count]))
      return quote(word, 24) + " is no number for field " + std::to_string(count + 1);
    ++count;
    at = end;
  }
  if (count == kFields) return {};
  return "it has " + std::to_string(count) + " fields, not " + std::to_string(+kFields);
}

// "; MaxProcs: 100", "; Queue: 3 night": what is asked of the header.
struct Header {
  std::map<std::int64_t, Istr> queues, partitions;

  void read(std::string_view line, Workload& out) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return;
    while (!line.empty() && (line.front() == ';' || is_blank(line.front()))) line.remove_prefix(1);
    const auto parts = split(line, ':', 2);
    const auto key = trim(parts[0]);
    const auto value = trim(parts.back());
    auto number = [&](std::string_view text) {
      auto parsed = parse_int(text, 0, kMost);
      return parsed.ok() ? *parsed : 0;
    };
    if (iequals(key, "UnixStartTime")) out.unix_start = number(value);
    if (iequals(key, "MaxProcs")) out.max_procs = static_cast<std::uint64_t>(number(value));
    if (!iequals(key, "Queue") && !iequals(key, "Partition")) return;
    const auto words = split_blanks(value);
    auto& names = iequals(key, "Queue") ? queues : partitions;
    if (words.size() > 1 && names.size() < 4096)
      names.emplace(number(words[0]), Istr(words[1].substr(0, 256)));
  }
  Istr partition_of(const Numbers& n) const {
    if (auto it = partitions.find(n[kPartition]); it != partitions.end()) return it->second;
    if (auto it = queues.find(n[kQueue]); it != queues.end()) return it->second;
    return {};
  }
};

// Empty, or what is wrong with it. `ran`: it is a job that ran.
std::string understand(const Numbers& n, const Header& header, Shapes& shapes, TraceJob& job, bool& ran) {
  if (n[kId] < 0) return "its number is negative";
  if (n[kSubmit] < 0) return "it was submitted before the trace began";
  const auto procs = n[kProcsRequested] > 0 ? n[kProcsRequested] : n[kProcsUsed];
  ran = n[kRun] >= 0 && procs > 0;
  if (!ran) return {};
  if (procs > INT32_MAX) return std::to_string(procs) + " processors are more than any machine has";
  job.id = static_cast<std::uint64_t>(n[kId]);
  job.submit = n[kSubmit];
  job.estimate = n[kTimeRequested] > 0 ? n[kTimeRequested] : std::max<Seconds>(n[kRun], 1);
  job.run = std::min(n[kRun], job.estimate);
  job.tasks = static_cast<std::uint32_t>(procs);
  job.user = static_cast<std::uint32_t>(std::clamp<std::int64_t>(n[kUser], 0, UINT32_MAX));
  Shape shape;
  shape.partition = header.partition_of(n);
  if (n[kMemRequested] > 0) shape.mem_mib = static_cast<std::uint64_t>(n[kMemRequested] + 1023) / 1024;
  job.shape = shapes.index(shape);
  return {};
}

}  // namespace

Result<Workload> read_swf(Lines& lines, std::string_view line, bool strict) {
  Workload out;
  Shapes shapes(out.shapes);
  Header header;
  Numbers numbers{};
  do {
    const auto text = trim(line);
    if (text.empty()) continue;
    if (text.front() == ';') {
      header.read(text, out);
      continue;
    }
    TraceJob job;
    bool ran = false;
    std::string wrong = lines.too_long() ? "it is too long" : parse_numbers(text, numbers);
    if (wrong.empty()) wrong = understand(numbers, header, shapes, job, ran);
    if (!wrong.empty()) {
      if (auto told = out.broken.add(lines, wrong, strict); !told.ok()) return told.error();
    } else if (!ran) {
      ++out.without_run;
    } else if (out.jobs.size() == Workload::kMaxJobs) {
      return Error{"bad_trace", "it has more than " + std::to_string(Workload::kMaxJobs) + " jobs",
                   lines.place(), "split it"};
    } else {
      out.jobs.push_back(job);
    }
  } while (lines.next(line));
  if (!lines.status().ok()) return lines.status().error();
  return out;
}

}  // namespace bai::sim
