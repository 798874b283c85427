// How the shepherds of one step are joined: in a tree over the step's nodes, by their index in it. Each dials its parent on one of a few
// ports that follow from the step's key. So nobody need tell anybody a port: neither the client, which may die, nor the controller, which may be away,
// nor an agent; and who has not the key does not know where to knock.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace bai::step {

constexpr uint32_t kPeerFanout = 16;

// The node that `node` dials; nothing for the first.
std::optional<uint32_t> peer_parent(uint32_t node);
// Those that dial it, among `count` nodes.
std::vector<uint32_t> peer_children(uint32_t node, uint32_t count);
// Its neighbour on the way to `to`, which is another node.
uint32_t peer_towards(uint32_t node, uint32_t to);

// Ports of a node, in the order in which they are tried: the first that is free is the one. All below those that the kernel gives out.
std::vector<uint16_t> peer_ports(std::string_view key, uint32_t node);

}  // namespace bai::step
