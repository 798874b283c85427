// What the ranks of a step tell each other before they can talk: a key-value space that fills up between fences. Each node's shepherd collects
// what its ranks put; at a fence all nodes get what was put on any of them. The hub, at the step's first node, knows when all are there.
// Payload of a message between shepherds: u8 1 and pairs (u16 key's length, u16 value's, key, value), or u8 2: this node is at the fence (from the hub:
// all are).
// Plain values and pure functions; one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::step {

constexpr size_t kMaxPmiKey = 256;
constexpr size_t kMaxPmiValue = 4096;
constexpr size_t kMaxPmiBytes = 28u << 20;  // of all pairs of a step

class PmiSpace {
 public:
  // By a rank of this node. False: too long, or the space is full.
  bool put(std::string_view key, std::string_view value);
  // Nothing: nobody put it, or not before the last fence (on another node).
  const std::string* get(std::string_view key) const;
  const std::map<std::string, std::string, std::less<>>& pairs() const { return pairs_; }

  // What was put here since the last call, as payloads for the hub, the last of which says that this node is at the fence.
  std::vector<std::string> fence();
  // From the hub. True when all nodes are at the fence. Errors: bad_frame.
  Result<bool> take(std::string_view payload);

 private:
  bool keep(std::string_view key, std::string_view value);
  std::map<std::string, std::string, std::less<>> pairs_;
  size_t bytes_ = 0;
  std::set<std::string, std::less<>> fresh_;  // keys; each once, however often it was put
};

// At the first node.
class PmiHub {
 public:
  explicit PmiHub(size_t nodes) : at_fence_(nodes) {}
  // From a node. What all nodes are to be sent now, in this order. Errors: bad_frame; too_large.
  Result<std::vector<std::string>> take(size_t node, std::string_view payload);

 private:
  std::vector<bool> at_fence_;
  size_t waiting_ = 0;
  std::vector<std::string> pending_;
  size_t bytes_ = 0;
};

}  // namespace bai::step
