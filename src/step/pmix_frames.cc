#include "step/pmix_frames.h"

#include "step/launch.h"
#include "step/record.h"
#include "step/stream_frames.h"

namespace bai::step {

namespace {

enum PlanTag : uint16_t {
  kNamespace = 1,
  kJob = 2,
  kUid = 3,
  kGid = 4,
  kNodeIndex = 5,
  kNodeName = 6,
  kRankNode = 7,
  kDirectory = 8,
};
enum EnvironmentTag : uint16_t { kRank = 1, kEntry = 2 };

constexpr size_t kHead = 5;
constexpr size_t kMaxEntries = 64;  // of one rank

Error bad(const char* what) { return Error{"bad_record", what}; }

}  // namespace

std::string encode_pmix_frame(PmixFrameType type, std::string_view body) {
  std::string out = u32_payload({static_cast<uint32_t>(body.size())});
  out.push_back(static_cast<char>(type));
  out += body;
  return out;
}

Result<std::optional<PmixFrame>> take_pmix_frame(std::string_view* bytes) {
  if (bytes->size() < kHead) return std::optional<PmixFrame>();
  const size_t length = u32_at(*bytes, 0);
  if (length > kMaxPmixBody) return Error{"bad_frame", "a frame is longer than it may be"};
  if (bytes->size() - kHead < length) return std::optional<PmixFrame>();
  PmixFrame frame{static_cast<PmixFrameType>(static_cast<uint8_t>((*bytes)[4])),
                  bytes->substr(kHead, length)};
  bytes->remove_prefix(kHead + length);
  return std::optional(frame);
}

std::string encode_pmix_plan(const PmixPlan& p) {
  RecordWriter w;
  w.text(kNamespace, p.nspace);
  w.text(kJob, p.job);
  w.number(kUid, p.uid);
  w.number(kGid, p.gid);
  w.number(kNodeIndex, p.node_index);
  for (const auto& name : p.node_names) w.text(kNodeName, name);
  for (const uint32_t node : p.rank_nodes) w.number(kRankNode, node);
  w.text(kDirectory, p.directory);
  return w.body();
}

Result<PmixPlan> decode_pmix_plan(std::string_view body) {
  auto fields = parse_fields(body, kMaxRanks + kMaxStepNodes + 16);
  if (!fields.ok()) return fields.error();
  PmixPlan p;
  for (const Field& f : *fields) {
    const auto number = [&](uint32_t* out) {
      auto n = f.number(UINT32_MAX);
      *out = n.ok() ? static_cast<uint32_t>(*n) : UINT32_MAX;
    };
    switch (f.tag) {
      case kNamespace:
        p.nspace = f.value;
        break;
      case kJob:
        p.job = f.value;
        break;
      case kUid:
        number(&p.uid);
        break;
      case kGid:
        number(&p.gid);
        break;
      case kNodeIndex:
        number(&p.node_index);
        break;
      case kNodeName:
        p.node_names.emplace_back(f.value);
        break;
      case kRankNode:
        number(&p.rank_nodes.emplace_back());
        break;
      case kDirectory:
        p.directory = f.value;
        break;
      default:
        break;
    }
  }
  if (p.nspace.empty() || p.directory.empty() || p.node_index >= p.node_names.size())
    return bad("a world needs a name, a directory and its node");
  for (const uint32_t node : p.rank_nodes)
    if (node >= p.node_names.size()) return bad("a rank is on no node");
  return p;
}

std::string encode_pmix_environment(const PmixEnvironment& environment) {
  RecordWriter w;
  for (const auto& [rank, entries] : environment) {
    w.number(kRank, rank);
    for (const auto& entry : entries) w.text(kEntry, entry);
  }
  return w.body();
}

Result<PmixEnvironment> decode_pmix_environment(std::string_view body) {
  auto fields = parse_fields(body, kMaxTasks * (kMaxEntries + 1));
  if (!fields.ok()) return fields.error();
  PmixEnvironment out;
  std::vector<std::string>* entries = nullptr;
  for (const Field& f : *fields) {
    if (f.tag == kRank) {
      auto rank = f.number(kMaxRanks - 1);
      if (!rank.ok()) return rank.error();
      entries = &out[static_cast<uint32_t>(*rank)];
    } else if (f.tag == kEntry) {
      if (!entries || entries->size() >= kMaxEntries) return bad("a variable is out of place");
      if (f.value.find('=') == std::string_view::npos || f.value.find('\0') != std::string_view::npos ||
          f.value.size() >= kMaxWord)
        return bad("a variable is none");
      entries->emplace_back(f.value);
    }
  }
  return out;
}

}  // namespace bai::step
