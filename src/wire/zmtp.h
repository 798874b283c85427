// ZeroMQ's wire protocol, ZMTP 3.1 (RFC 37; peers of 3.0 are welcome), with the NULL mechanism: a codec without I/O. The one-shot
// client speaks it as a DEALER over a plain socket, the listener as a ROUTER over ZMQ_STREAM. Every size is capped before memory
// is taken, so that a decoder holds at most about limits.message_bytes and the chunk last fed.
// Any thread; a decoder is used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace bai::wire {

// A message: one or more parts.
using Parts = std::vector<std::string>;

struct ZmtpLimits {
  std::size_t parts = 8;                             // parts of one message
  std::size_t part_bytes = std::size_t{1} << 20;     // one part
  std::size_t message_bytes = std::size_t{2} << 20;  // all parts of one message
  std::size_t command_bytes = 4096;                  // one command (READY, PING, ...)
};

class ZmtpDecoder {
 public:
  explicit ZmtpDecoder(const ZmtpLimits& limits = {}) : limits_(limits) {}

  // Other limits from the next frame on, e.g. once the peer is known.
  void set_limits(const ZmtpLimits& limits) { limits_ = limits; }

  // Takes bytes in. After an error nothing more is taken.
  void feed(std::string_view bytes);

  enum class Got { more, message, error };
  // The next whole message, if the bytes so far hold one. Call until it says `more`; after `error` see error().
  Got next(Parts& message);
  // Code "zmtp".
  const Error& error() const { return error_; }

  // The peer's greeting, and its READY, were read.
  bool greeted() const { return state_ != State::greeting; }
  bool ready() const { return state_ == State::traffic; }
  int peer_minor() const { return peer_minor_; }
  const std::string& peer_type() const { return peer_type_; }  // its Socket-Type, once ready

  // Bytes that it holds, of what is not complete.
  std::size_t held() const;

  // Bytes that the protocol itself wants sent (PONGs), moved out.
  std::string take_output() { return std::exchange(output_, {}); }

 private:
  enum class State { greeting, handshake, traffic, failed };
  bool step(Parts& message, bool& done);
  bool read_greeting();
  bool read_header();
  bool on_command();
  bool refuse(std::string why);

  ZmtpLimits limits_;
  State state_ = State::greeting;
  std::string in_;  // fed, not yet used: from pos_ on
  std::size_t pos_ = 0;
  bool in_frame_ = false;
  bool command_ = false;
  bool more_ = false;
  std::uint64_t frame_left_ = 0;
  std::string frame_;
  Parts parts_;
  std::size_t message_bytes_ = 0;
  std::string output_;
  std::string peer_type_;
  int peer_minor_ = 0;
  Error error_;
};

// The 64 bytes that open a connection (version 3.1, mechanism NULL, as-server 0).
std::string zmtp_greeting();
// READY with Socket-Type ("DEALER", "ROUTER") and, unless empty, Identity.
std::string zmtp_ready(std::string_view socket_type, std::string_view identity = {});
// Appends the frames of one message to `out`.
void zmtp_append(std::string& out, const Parts& message);
// Appends one frame (a part, or with `more` a part that others follow).
void zmtp_append_part(std::string& out, std::string_view part, bool more);

}  // namespace bai::wire
