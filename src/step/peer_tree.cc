#include "step/peer_tree.h"

#include "base/hash.h"

namespace bai::step {

namespace {

constexpr uint32_t kFirstPort = 10'240, kPortsEnd = 32'768;
constexpr size_t kPorts = 8;

}  // namespace

std::optional<uint32_t> peer_parent(uint32_t node) {
  if (node == 0) return {};
  return (node - 1) / kPeerFanout;
}

std::vector<uint32_t> peer_children(uint32_t node, uint32_t count) {
  std::vector<uint32_t> out;
  const uint64_t first = uint64_t{node} * kPeerFanout + 1;
  for (uint64_t child = first; child < first + kPeerFanout && child < count; ++child)
    out.push_back(static_cast<uint32_t>(child));
  return out;
}

uint32_t peer_towards(uint32_t node, uint32_t to) {
  while (to > node) {  // who is below has a higher index
    const uint32_t parent = *peer_parent(to);
    if (parent == node) return to;
    to = parent;
  }
  return *peer_parent(node);
}

std::vector<uint16_t> peer_ports(std::string_view key, uint32_t node) {
  const Hash256 hash = Hasher().update_piece("bai peers' ports").update_piece(key).update_u64(node).finish();
  std::vector<uint16_t> out;
  for (size_t i = 0; i < kPorts; ++i) {
    const uint32_t number = hash.bytes[2 * i] | uint32_t{hash.bytes[2 * i + 1]} << 8;
    out.push_back(static_cast<uint16_t>(kFirstPort + number % (kPortsEnd - kFirstPort)));
  }
  return out;
}

}  // namespace bai::step
