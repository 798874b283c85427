// A link: blocks of frames in both directions, in order, each once, over one connection after the other. What the other end has not
// acknowledged is kept (at most about kMaxWindow, save for what is put without asking room()) and sent again on the next connection.
// One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "step/handshake.h"
#include "step/stream_frames.h"

namespace bai::step {

constexpr size_t kMaxWindow = 8 * kMaxBlock;
constexpr size_t kMaxWindowBlocks = 512;

class StreamLink {
 public:
  // Called for each frame that comes; the payload lives as long as the call.
  using Handler = std::function<void(const Frame&)>;

  StreamLink() = default;
  StreamLink(StreamLink&&) = default;
  StreamLink& operator=(StreamLink&&) = default;

  // May more be put? False while the other end is slow or away.
  bool room() const { return kept_ < kMaxWindow && blocks_.size() < kMaxWindowBlocks; }
  // Puts a frame at the end of what is to be sent; longer payloads are cut into frames of kMaxPayload.
  void put(FrameType type, uint8_t detail, uint32_t task, std::string_view payload);
  // The same for a payload that is written in place: at least `least` bytes of room, at most kMaxPayload.
  struct Space {
    char* at;
    size_t size;
  };
  Space space(size_t least);
  void drop_space();  // nothing was written
  void put_written(FrameType type, uint8_t detail, uint32_t task, size_t length);

  // Goes on over this connection. False: the other end says that it has had what was never sent, or lacks what it had acknowledged.
  bool connect(Session session);
  void disconnect();
  bool connected() const { return session_.has_value(); }
  // Blocks that have come.
  uint64_t received() const { return received_; }
  // Bytes that wait to be acknowledged.
  size_t kept() const { return kept_; }
  // Everything was sent and acknowledged.
  bool flushed() const { return blocks_.empty(); }

  int fd() const { return session_->fd.get(); }
  // What to poll for. `reading`: is the caller ready for frames?
  short events(bool reading) const;
  // Reads (when `revents` say so), hands out frames, acknowledges, writes. Errors: gone, bad_record, bad_frame; the connection is closed
  // then, and the link waits for the next. A handler must not destroy the link.
  Status serve(short revents, const Handler& handler);
  // Writes what can be written. Errors: gone.
  Status flush();

 private:
  Block& writable(size_t least);
  Status read_records(const Handler& handler);
  Status take_record(const RecordHead& head, char* at, const Handler& handler);
  void acknowledged(uint64_t count);
  bool begin_next();
  bool writing() const { return out_at_ < out_end_ || !plain_.empty(); }
  void written(size_t bytes);
  void shrink_sent();

  std::deque<Block> blocks_;  // not acknowledged
  size_t kept_ = 0;           // their bytes
  uint64_t first_ = 0;        // the number of blocks_[0]
  size_t sent_ = 0;           // of blocks_, on this connection
  uint64_t sealed_ = 0;       // blocks that were ever sent: they change no more
  std::optional<Block> spare_;

  std::optional<Session> session_;
  std::vector<char> out_;  // the record that is being written, or its head alone
  size_t out_at_ = 0, out_end_ = 0;
  std::string_view plain_;     // what is left of its block, in blocks_
  bool writing_data_ = false;  // the record being written is the last of the sent_
  std::vector<char> in_;
  size_t in_end_ = 0;
  uint64_t received_ = 0;
  bool owes_ack_ = false;
};

}  // namespace bai::step
