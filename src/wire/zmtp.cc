#include "wire/zmtp.h"

#include <algorithm>

namespace bai::wire {
namespace {

constexpr std::size_t kGreetingBytes = 64;
constexpr std::uint8_t kMore = 1, kLong = 2, kCommand = 4;
constexpr std::string_view kMechanism("NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t v = 0;
  for (const char c : bytes) v = v << 8 | static_cast<std::uint8_t>(c);
  return v;
}

void append_big_endian(std::string& out, std::uint64_t v, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(v >> shift));
}

void append_frame(std::string& out, std::string_view body, std::uint8_t flags) {
  if (body.size() > 255) {
    out.push_back(static_cast<char>(flags | kLong));
    append_big_endian(out, body.size(), 8);
  } else {
    out.push_back(static_cast<char>(flags));
    out.push_back(static_cast<char>(body.size()));
  }
  out.append(body);
}

void append_command(std::string& out, std::string_view name, std::string_view data) {
  std::string body;
  body.push_back(static_cast<char>(name.size()));
  body.append(name).append(data);
  append_frame(out, body, kCommand);
}

bool same_name(std::string_view a, std::string_view b) {  // property names are case-insensitive
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return (x >= 'A' && x <= 'Z' ? x + 32 : x) == (y >= 'A' && y <= 'Z' ? y + 32 : y);
  });
}

// The Socket-Type out of READY's properties; false if they are malformed.
bool read_properties(std::string_view data, std::string& socket_type) {
  while (!data.empty()) {
    const std::size_t name_size = static_cast<std::uint8_t>(data[0]);
    if (name_size == 0 || data.size() < 1 + name_size + 4) return false;
    const auto name = data.substr(1, name_size);
    const std::uint64_t size = big_endian(data.substr(1 + name_size, 4));
    data.remove_prefix(1 + name_size + 4);
    if (size > data.size()) return false;
    if (same_name(name, "Socket-Type")) socket_type = data.substr(0, size);
    data.remove_prefix(size);
  }
  return true;
}

}  // namespace

void ZmtpDecoder::feed(std::string_view bytes) {
  if (state_ == State::failed) return;
  // A peer whose every packet ends within a frame's header must not keep what was read before it. No more is moved than was used.
  if (pos_ >= in_.size() - pos_) {
    in_.erase(0, std::exchange(pos_, 0));
    if (in_.capacity() > 256 * 1024) in_.shrink_to_fit();
  }
  in_.append(bytes);
}

std::size_t ZmtpDecoder::held() const {
  std::size_t bytes = in_.size() + frame_.size();
  for (const auto& part : parts_) bytes += part.size();
  return bytes;
}

bool ZmtpDecoder::refuse(std::string why) {
  state_ = State::failed;
  error_ = Error{"zmtp", "the peer does not speak the protocol: " + std::move(why)};
  in_ = {};
  pos_ = 0;
  frame_ = {};
  parts_ = {};
  return false;
}

ZmtpDecoder::Got ZmtpDecoder::next(Parts& message) {
  bool done = false;
  while (!done && step(message, done)) {
  }
  if (state_ == State::failed) return Got::error;
  return done ? Got::message : Got::more;
}

// One thing out of the bytes at hand; false if they do not suffice or are bad.
bool ZmtpDecoder::step(Parts& message, bool& done) {
  if (state_ == State::failed) return false;
  if (state_ == State::greeting) return read_greeting();
  if (!in_frame_ && !read_header()) return false;
  const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(frame_left_, in_.size() - pos_));
  frame_.append(in_, pos_, take);
  pos_ += take;
  frame_left_ -= take;
  if (frame_left_ != 0) return false;
  in_frame_ = false;
  if (command_) return on_command();
  parts_.push_back(std::exchange(frame_, {}));
  if (!more_) {
    message = std::exchange(parts_, {});
    message_bytes_ = 0;
    done = true;
  }
  return true;
}

bool ZmtpDecoder::read_greeting() {
  const std::string_view in = std::string_view(in_).substr(pos_);
  if (!in.empty() && in[0] != '\xff') return refuse("no ZMTP greeting");
  if (in.size() >= 10 && in[9] != '\x7f') return refuse("no ZMTP greeting");
  if (in.size() >= 11 && in[10] < 3) return refuse("ZMTP older than 3.0");
  if (in.size() < kGreetingBytes) return false;
  peer_minor_ = static_cast<std::uint8_t>(in[11]);
  if (in.substr(12, 20) != kMechanism) return refuse("a ZMTP mechanism other than NULL");
  pos_ += kGreetingBytes;
  state_ = State::handshake;
  return true;
}

bool ZmtpDecoder::read_header() {
  const std::string_view in = std::string_view(in_).substr(pos_);
  if (in.empty()) return false;
  const auto flags = static_cast<std::uint8_t>(in[0]);
  if ((flags & ~(kMore | kLong | kCommand)) != 0) return refuse("reserved frame flags");
  const std::size_t header = (flags & kLong) != 0 ? 9 : 2;
  if (in.size() < header) return false;
  const std::uint64_t size = big_endian(in.substr(1, header - 1));
  command_ = (flags & kCommand) != 0;
  more_ = (flags & kMore) != 0;
  if (command_) {
    if (more_) return refuse("a command in several frames");
    if (size > limits_.command_bytes) return refuse("a command that is too long");
  } else {
    if (state_ == State::handshake) return refuse("a message before READY");
    if (parts_.size() >= limits_.parts) return refuse("a message of too many parts");
    if (size > limits_.part_bytes) return refuse("a part that is too long");
    if (size > limits_.message_bytes - std::min(message_bytes_, limits_.message_bytes)) {
      return refuse("a message that is too long");
    }
    message_bytes_ += static_cast<std::size_t>(size);
  }
  pos_ += header;
  frame_left_ = size;
  frame_.clear();
  in_frame_ = true;
  return true;
}

bool ZmtpDecoder::on_command() {
  const std::string body = std::exchange(frame_, {});
  if (body.empty() || body.size() < 1u + static_cast<std::uint8_t>(body[0]))
    return refuse("a malformed command");
  const std::string_view name = std::string_view(body).substr(1, static_cast<std::uint8_t>(body[0]));
  const std::string_view data = std::string_view(body).substr(1 + name.size());
  if (name == "ERROR") return refuse("it sent ERROR");
  if (state_ == State::handshake) {
    if (name != "READY" || !read_properties(data, peer_type_)) return refuse("a malformed handshake");
    state_ = State::traffic;
    return true;
  }
  if (name == "READY") return refuse("READY twice");
  if (name == "PING" && data.size() >= 2 && data.size() <= 2 + 16)
    append_command(output_, "PONG", data.substr(2));
  return true;  // other commands may be ignored
}

std::string zmtp_greeting() {
  std::string out("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01", 12);
  out.append(kMechanism);
  out.resize(kGreetingBytes);
  return out;
}

std::string zmtp_ready(std::string_view socket_type, std::string_view identity) {
  std::string data;
  const auto property = [&](std::string_view name, std::string_view value) {
    data.push_back(static_cast<char>(name.size()));
    data.append(name);
    append_big_endian(data, value.size(), 4);
    data.append(value);
  };
  property("Socket-Type", socket_type);
  if (!identity.empty()) property("Identity", identity);
  std::string out;
  append_command(out, "READY", data);
  return out;
}

void zmtp_append_part(std::string& out, std::string_view part, bool more) {
  append_frame(out, part, more ? kMore : 0);
}

void zmtp_append(std::string& out, const Parts& message) {
  for (std::size_t i = 0; i < message.size(); ++i) zmtp_append_part(out, message[i], i + 1 < message.size());
}

}  // namespace bai::wire
