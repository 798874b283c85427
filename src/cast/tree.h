// How a file goes to the nodes of a job: down a tree whose root is the command and whose other members are one receiver on each node, over
// sealed links (stream_link.h). Each receiver dials the root and says on which port it listens; the root names its parent, or itself; when
// all receivers are ready the file follows in pieces, each passed on as it comes; each receiver says when the file is in its place, and
// all leave together.
// Pure functions and numbers of the wire; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "step/stream_frames.h"

namespace bai::cast {

constexpr std::uint32_t kDefaultFanout = 8;
constexpr std::size_t kMaxPiece =
    120u << 10;  // of the file, before compression; fits a frame also when it does not shrink

// What frames mean here. kLeave is the streams' own.
constexpr step::FrameType kHere{64};    // receiver to root: u32 how many receivers, u32 port
constexpr step::FrameType kParent{65};  // root to receiver: its parent's endpoint; empty: the root
constexpr step::FrameType kOrphan{66};  // receiver to root: the parent does not answer
constexpr step::FrameType kReady{67};   // receiver to root; also parent to child: it knows it
constexpr step::FrameType kPiece{68};   // down: detail 0 as it is, 1 zlib; the payload
constexpr step::FrameType kEnd{69};     // down: u32 low, u32 high of the file's size
constexpr step::FrameType kDone{70};    // receiver to root: the file is in its place

// The parent of receiver `rank`, or nothing for those that the root feeds: receivers 0 to fanout-1 are the root's, fanout to 2*fanout-1
// are receiver 0's, and so on.
std::optional<std::uint32_t> parent_of(std::uint32_t rank, std::uint32_t fanout);

// A piece as it travels: compressed if that makes it smaller and `compress` asks for it.
struct Piece {
  std::uint8_t detail = 0;
  std::string bytes;
};
Piece pack(std::string_view bytes, bool compress);
// Errors: bad_frame (unknown kind, damaged, larger than kMaxPiece).
Result<std::string> unpack(std::uint8_t detail, std::string_view bytes);

}  // namespace bai::cast
