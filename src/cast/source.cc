#include "cast/source.h"

#include <unistd.h>

#include <cerrno>

#include "base/env.h"
#include "cast/tree.h"
#include "step/stream_socket.h"

namespace bai::cast {

using step::Frame;

Status Source::run(int stop) {
  const Env env = Env::real();
  std::vector<pollfd> fds;
  for (;;) {
    fds.assign(1, {stop, POLLIN, 0});
    server_.add_pollfds(&fds);
    const bool sends = !receivers_.empty() && ready_ == receivers_.size() && !ended_ && room();
    const int n = poll(fds.data(), fds.size(), sends ? 0 : 1000);  // now and then: callers that say nothing
    if (n > 0 && fds[0].revents != 0) return {};
    if (n < 0)
      for (auto& entry : fds) entry.revents = 0;
    server_.serve(fds, env.monotonic_ms(),
                  [this](std::uint32_t rank, const Frame& frame) { on_frame(rank, frame); });
    if (sends)
      if (auto sent = send_some(); !sent.ok()) return sent;
    server_.flush();
  }
}

void Source::on_frame(std::uint32_t rank, const Frame& frame) {
  if (frame.type == kHere && receivers_.empty()) {
    const std::uint32_t count = step::u32_at(frame.payload, 0);
    if (count == 0 || count > kMaxReceivers) return;
    receivers_.resize(count);
  }
  if (rank >= receivers_.size()) return;
  Receiver& receiver = receivers_[rank];
  if (frame.type == kHere && receiver.port == 0) {
    receiver.port = static_cast<std::uint16_t>(step::u32_at(frame.payload, 1));
    place(rank);
    for (std::uint64_t child = (std::uint64_t{rank} + 1) * fanout_;
         child < std::min<std::uint64_t>(receivers_.size(), (std::uint64_t{rank} + 2) * fanout_); ++child)
      place(static_cast<std::uint32_t>(child));
  } else if (frame.type == kOrphan && receiver.placed && !receiver.direct) {
    feed_by_root(rank);
  } else if (frame.type == kReady && receiver.placed && !receiver.ready) {
    receiver.ready = true;
    ++ready_;
  } else if (frame.type == kDone && receiver.ready && !receiver.done) {
    receiver.done = true;
    if (++done_ < receivers_.size()) return;
    for (std::uint32_t i = 0; i < receivers_.size(); ++i)
      server_.link(i)->put(step::FrameType::kLeave, 0, 0, {});
  }
}

// Tells a receiver where its part of the tree is, as soon as that is known.
void Source::place(std::uint32_t rank) {
  Receiver& receiver = receivers_[rank];
  if (receiver.port == 0 || receiver.placed) return;
  const auto parent = parent_of(rank, fanout_);
  if (!parent) return feed_by_root(rank);
  if (receivers_[*parent].port == 0) return;
  receiver.placed = true;
  server_.link(rank)->put(kParent, 0, 0,
                          step::endpoint_text(server_.address(*parent), receivers_[*parent].port));
}

void Source::feed_by_root(std::uint32_t rank) {
  receivers_[rank].placed = receivers_[rank].direct = true;
  server_.link(rank)->put(kParent, 0, 0, {});
}

bool Source::room() {
  for (std::uint32_t i = 0; i < receivers_.size(); ++i)
    if (receivers_[i].direct && !server_.link(i)->room()) return false;
  return true;
}

Status Source::send_some() {
  std::string bytes(kMaxPiece, '\0');
  ssize_t n;
  while ((n = read(file_.get(), bytes.data(), bytes.size())) < 0 && errno == EINTR) {
  }
  if (n < 0) return errno_error("cannot read the file", "", errno);
  bytes.resize(static_cast<std::size_t>(n));
  sent_ += bytes.size();
  ended_ = n == 0;
  const Piece piece = ended_ ? Piece{0, step::u32_payload({static_cast<std::uint32_t>(sent_),
                                                           static_cast<std::uint32_t>(sent_ >> 32)})}
                             : pack(bytes, compress_);
  for (std::uint32_t i = 0; i < receivers_.size(); ++i)
    if (receivers_[i].direct) server_.link(i)->put(ended_ ? kEnd : kPiece, piece.detail, 0, piece.bytes);
  return {};
}

}  // namespace bai::cast
