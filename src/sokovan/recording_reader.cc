#include <algorithm>

#include "base/text.h"
#include "sokovan/recording.h"
#include "sokovan/recording_format.h"

namespace bai::sokovan {
namespace {

constexpr std::size_t kMaxHeader = 256;
constexpr std::uint64_t kMaxDevices = 65536;  // of a node

Error bad(std::string why) { return {"bad_recording", std::move(why), "", ""}; }

template <class T>
void join_up(std::shared_ptr<const T>& mine, bool same, std::shared_ptr<const T>& last) {
  if (same)
    mine = last;
  else
    last = mine;
}

Result<Recorded> unpack(JobRecord&& record, std::unordered_map<JobId, SharedParts>& all) {
  auto& job = record.job;
  if (static_cast<int>(job.state) >= kJobStates || static_cast<int>(job.reason) >= kReasons)
    return bad("a job is in no state that there is");
  auto& known = all[job.id];
  join_up(job.spec, record.same_spec, known.spec);
  join_up(job.array, record.same_array, known.array);
  join_up(job.allocation, record.same_allocation, known.allocation);
  if (!job.spec) return bad("a job says nothing of what it asks");
  if (is_active(job.state) && !job.allocation) return bad("a running job has no nodes");
  job.expected_start = record.expected_start;
  if (is_finished(job.state)) all.erase(job.id);
  Recorded out;
  out.change = JobSet{std::make_shared<Job>(std::move(job)), record.dependencies_met};
  return out;
}

Recorded unpack(DecisionRecord&& record) {
  Recorded out;
  auto& decided = out.decided.emplace();
  decided.now = record.now;
  decided.budget = record.budget;
  auto& decisions = decided.decisions;
  for (auto& start : record.starts)
    decisions.starts.push_back(
        {start.job, start.task, std::make_shared<Allocation>(std::move(start.allocation))});
  decisions.waiting = std::move(record.waiting);
  decisions.next_wakeup = record.next_wakeup;
  decisions.complete = record.complete;
  decisions.jobs_tried = record.jobs_tried;
  return out;
}

Result<Recorded> unpack(NodeSet&& node) {
  std::uint64_t devices = 0;
  for (const auto& group : node.devices) devices += group.counted ? 1 : group.count;
  if (devices > kMaxDevices) return bad("a node has " + std::to_string(devices) + " devices");
  Recorded out;
  out.change = std::move(node);
  return out;
}

std::string text_of(const Start& start) {
  constexpr std::size_t kTold = 8;
  std::string out = "job " + std::to_string(start.job);
  if (start.task != kNoTask) out += " task " + std::to_string(start.task);
  out += " in " + start.allocation->partition.str() + " on";
  const auto& nodes = start.allocation->nodes;
  for (std::size_t i = 0; i < std::min(nodes.size(), kTold); ++i) {
    out += (i ? ", " : " ") + nodes[i].node.str() + " (" + std::to_string(nodes[i].cpus) + " CPUs, " +
           std::to_string(nodes[i].mem_mib) + " MiB";
    if (!nodes[i].devices.empty()) out += ", " + std::to_string(nodes[i].devices.size()) + " devices";
    out += ")";
  }
  if (nodes.size() > kTold) out += " and " + std::to_string(nodes.size() - kTold) + " more";
  return out;
}

std::string text_of(const Waiting& waiting) {
  std::string out = "job " + std::to_string(waiting.job) + " waits: " + std::string(name(waiting.reason));
  if (!waiting.detail.empty()) out += ", " + escape_control(waiting.detail);
  if (waiting.expected_start.is_set()) out += ", until " + format_timestamp(waiting.expected_start);
  return out;
}

bool same(const Start& a, const Start& b) {
  return a.job == b.job && a.task == b.task && a.allocation->partition == b.allocation->partition &&
         a.allocation->nodes == b.allocation->nodes && a.allocation->alternative == b.allocation->alternative;
}
bool same(const Waiting& a, const Waiting& b) {
  return a.job == b.job && a.reason == b.reason && a.expected_start == b.expected_start &&
         a.detail == b.detail;
}

template <class T>
std::string first_difference(const std::vector<T>& recorded, const std::vector<T>& now,
                             const std::string& what) {
  for (std::size_t i = 0; i < std::max(recorded.size(), now.size()); ++i) {
    if (i < recorded.size() && i < now.size() && same(recorded[i], now[i])) continue;
    return what + " " + std::to_string(i + 1) + " was " +
           (i < recorded.size() ? text_of(recorded[i]) : "none") + "; it is " +
           (i < now.size() ? text_of(now[i]) : "none");
  }
  return {};
}

std::string moment(Time at) { return at.is_set() ? "at " + format_timestamp(at) : "never"; }

}  // namespace

Result<std::string> RecordingReader::header(std::string_view bytes, std::size_t& used) {
  used = 0;
  const auto begin = bytes.substr(0, kRecordingMagic.size());
  if (begin != kRecordingMagic.substr(0, begin.size())) return bad("this is no recording of the scheduler");
  if (begin.size() < kRecordingMagic.size()) return std::string();
  InArchive archive(bytes.substr(begin.size(), kMaxHeader));
  const auto length = archive.left();
  std::uint32_t version = 0;
  std::string program;
  archive(version);
  if (!archive.failed() && version != kRecordingVersion)
    return Error{"bad_recording",
                 "it is of version " + std::to_string(version) + ", and this program reads version " +
                     std::to_string(kRecordingVersion),
                 "", "use the bai-sim of the controller that made it"};
  archive(program);
  if (archive.failed()) {
    if (length < kMaxHeader) return std::string();
    return bad(archive.error().message);
  }
  used = begin.size() + (length - archive.left());
  return program;
}

Result<Recorded> RecordingReader::next(std::string_view bytes, std::size_t& used) {
  used = 0;
  InArchive head(bytes.substr(0, 10));
  const auto most = head.left();
  const auto length = head.get_varint();
  if (head.failed()) {
    if (most < 10) return Recorded{};
    return bad("a record has no length");
  }
  if (length > kMaxRecord) return bad("a record is " + std::to_string(length) + " bytes long");
  const auto before = most - head.left();
  if (bytes.size() - before < length) return Recorded{};
  auto record = decode<Record>(bytes.substr(before, length));
  if (!record.ok()) return bad(record.error().message);
  used = before + length;
  return std::visit(
      [&](auto&& r) -> Result<Recorded> {
        using T = std::decay_t<decltype(r)>;
        Recorded out;
        if constexpr (std::is_same_v<T, JobRecord>) {
          return unpack(std::forward<decltype(r)>(r), known_);
        } else if constexpr (std::is_same_v<T, DecisionRecord> || std::is_same_v<T, NodeSet>) {
          return unpack(std::forward<decltype(r)>(r));
        } else if constexpr (std::is_same_v<T, FreshRecord>) {
          known_.clear();
        } else if constexpr (std::is_same_v<T, PartitionRecord>) {
          out.change = PartitionSet{std::make_shared<Partition>(std::move(r.partition))};
        } else {
          if constexpr (std::is_same_v<T, JobGone>) known_.erase(r.job);
          out.change = std::forward<decltype(r)>(r);
        }
        return out;
      },
      *std::move(record));
}

std::string difference(const Decisions& recorded, const Decisions& now) {
  if (auto text = first_difference(recorded.starts, now.starts, "start"); !text.empty()) return text;
  if (auto text = first_difference(recorded.waiting, now.waiting, "report"); !text.empty()) return text;
  if (recorded.complete != now.complete)
    return recorded.complete ? "it was complete; now it is cut short"
                             : "it was cut short; now it is complete";
  if (recorded.next_wakeup != now.next_wakeup)
    return "the next look was " + moment(recorded.next_wakeup) + "; it is " + moment(now.next_wakeup);
  return {};
}

}  // namespace bai::sokovan
