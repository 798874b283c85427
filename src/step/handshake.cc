#include "step/handshake.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace bai::step {

Handshake Handshake::dial(Fd fd, const Hello& hello, std::string key, bool near) {
  Handshake h(std::move(fd), true, std::move(key), near);
  h.hello_said_ = hello;
  h.hello_said_.nonce = fresh_nonce();
  h.hello_said_.best = best_cipher(h.near_);
  h.hello_ = h.out_ = encode_hello(h.hello_said_);
  h.awaited_ = Stage::kWelcome;
  return h;
}

Handshake Handshake::answer(Fd fd, std::string key, std::function<uint64_t(const Hello&)> received,
                            bool near) {
  Handshake h(std::move(fd), false, std::move(key), near);
  h.received_ = std::move(received);
  return h;
}

short Handshake::events() const { return out_.empty() ? POLLIN : POLLOUT; }

Result<std::optional<Session>> Handshake::go_on() {
  if (auto status = exchange(); !status.ok()) return status.error();
  if (!done_ || !out_.empty()) return std::optional<Session>();
  return std::optional<Session>(session());
}

Status Handshake::exchange() {
  for (;;) {
    while (!out_.empty()) {
      const ssize_t n = send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return {};
      if (n < 0) return Error{"gone", std::string("the connection broke: ") + strerror(errno)};
      out_.erase(0, static_cast<size_t>(n));
    }
    if (done_) return {};
    const size_t whole = awaited_ == Stage::kHello     ? kHelloBytes
                         : awaited_ == Stage::kWelcome ? kWelcomeBytes
                                                       : kProofBytes;
    char buffer[kWelcomeBytes];
    const ssize_t n = recv(fd_.get(), buffer, whole - in_.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return {};
    if (n <= 0) return Error{"gone", n == 0 ? "the other end closed the connection" : strerror(errno)};
    in_.append(buffer, static_cast<size_t>(n));
    if (in_.size() < whole) continue;
    if (auto status = came(); !status.ok()) return status;
    in_.clear();
  }
}

Status Handshake::came() {
  if (awaited_ == Stage::kHello) {
    auto hello = decode_hello(in_);
    if (!hello.ok()) return hello.error();
    hello_said_ = *hello;
    hello_ = in_;
    const Cipher best = best_cipher(near_);
    welcome_said_ = {hello->best == best ? best : Cipher::kChaCha20Poly1305, received_(*hello),
                     fresh_nonce()};
    welcome_ = out_ = encode_welcome(welcome_said_, hello_, key_);
    awaited_ = Stage::kProof;
  } else if (awaited_ == Stage::kWelcome) {
    auto welcome = decode_welcome(in_, hello_, key_, near_);
    if (!welcome.ok()) return welcome.error();
    welcome_said_ = *welcome;
    welcome_ = in_;
    out_ = dialer_proof(hello_, welcome_, key_);
    done_ = true;
  } else {
    if (!proves(in_, hello_, welcome_, key_))
      return Error{"wrong_key", "the node does not have the key of this step"};
    done_ = true;
  }
  return {};
}

Session Handshake::session() {
  using Direction = Sealer::Direction;
  const auto out = dialer_ ? Direction::kToListener : Direction::kToDialer;
  const auto in = dialer_ ? Direction::kToDialer : Direction::kToListener;
  return {std::move(fd_), hello_said_, dialer_ ? welcome_said_.received : hello_said_.received,
          Sealer(welcome_said_.cipher, out, hello_, welcome_, key_),
          Sealer(welcome_said_.cipher, in, hello_, welcome_, key_)};
}

}  // namespace bai::step
