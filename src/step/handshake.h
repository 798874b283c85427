// A connection until both ends have proved the key of the step (stream_crypt.h). Never blocks; reads not a byte beyond the handshake.
// One thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "step/stream_crypt.h"

namespace bai::step {

// A connection whose ends know each other.
struct Session {
  Fd fd;
  Hello hello;
  uint64_t peer_received = 0;  // blocks that the other end has had
  Sealer out;
  Sealer in;
};

class Handshake {
 public:
  // `fd`: a socket that is connected or about to be.
  // `near`: the other end is on this machine, and reached over what its kernel alone carries.
  static Handshake dial(Fd fd, const Hello& hello, std::string key, bool near = false);
  // `received` says how many blocks have come on the link of a hello.
  static Handshake answer(Fd fd, std::string key, std::function<uint64_t(const Hello&)> received,
                          bool near = false);

  int fd() const { return fd_.get(); }
  short events() const;
  // Goes on as far as it can. Nothing: not done yet. Errors: bad_hello, wrong_key, gone; the connection is of no use then.
  Result<std::optional<Session>> go_on();

 private:
  enum class Stage : uint8_t { kHello, kWelcome, kProof };
  Handshake(Fd fd, bool dialer, std::string key, bool near)
      : fd_(std::move(fd)), dialer_(dialer), near_(near), key_(std::move(key)) {}
  Status exchange();
  Status came();
  Session session();

  Fd fd_;
  bool dialer_;
  bool near_;
  std::string key_;
  std::function<uint64_t(const Hello&)> received_;
  Stage awaited_ = Stage::kHello;  // the message that comes next
  bool done_ = false;
  std::string out_;  // to be written yet
  std::string in_;   // of the message awaited
  std::string hello_, welcome_;
  Hello hello_said_;
  Welcome welcome_said_;
};

}  // namespace bai::step
