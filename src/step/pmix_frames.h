// What a shepherd and the PMIx server of its node (bai-pmixd) say to each other over a socket pair. Each is sure of the other, but not of its manners: the server
// runs as the job's user.
//   frame: u32 length of the body, u8 type, body; integers little endian
// Any thread; plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::step {

constexpr size_t kMaxPmixBody = (32u << 20) + 1024;  // a message and its head
constexpr int kPmixSocket = 0;                       // the server's end

enum class PmixFrameType : uint8_t {
  // To the server.
  kBegin = 1,  // encode_pmix_plan()
  // Both ways.
  kMessage = 2,  // u32 node, message: from that node's server, or to it
  // From the server.
  kReady = 16,   // encode_pmix_environment()
  kFailed = 17,  // why it cannot serve
  kJoined = 18,  // u32 rank: began to speak
  kLeft = 19,    // u32 rank: took its leave
  kAbort = 20,   // u32 rank, u32 exit code, the rank's words
};
struct PmixFrame {
  PmixFrameType type = PmixFrameType::kFailed;
  std::string_view body;
};
std::string encode_pmix_frame(PmixFrameType type, std::string_view body);
// Takes the next whole frame off `bytes`. Nothing: it has not come yet. Errors: bad_frame (too long).
Result<std::optional<PmixFrame>> take_pmix_frame(std::string_view* bytes);

// What the server tells the ranks of their world.
struct PmixPlan {
  std::string nspace;  // the name of the world, the same on all nodes
  std::string job;     // for people: "7.0"
  uint32_t uid = 0, gid = 0;
  uint32_t node_index = 0;
  std::vector<std::string> node_names;
  std::vector<uint32_t> rank_nodes;  // the index of the node of each rank
  std::string directory;             // for its files; the user's
  bool operator==(const PmixPlan&) const = default;
};
std::string encode_pmix_plan(const PmixPlan& plan);
Result<PmixPlan> decode_pmix_plan(std::string_view body);  // errors: bad_record

// "K=V" for each of the node's ranks.
using PmixEnvironment = std::map<uint32_t, std::vector<std::string>>;
std::string encode_pmix_environment(const PmixEnvironment& environment);
Result<PmixEnvironment> decode_pmix_environment(std::string_view body);  // errors: bad_record

}  // namespace bai::step
