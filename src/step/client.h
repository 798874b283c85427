// The agent's end of a shepherd's socket. One thread at a time per client; several clients may talk to one shepherd.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "step/protocol.h"

namespace bai::step {

class StepClient {
 public:
  // Connects to DIR/sock; a DIR of any length will do (it goes by /proc/self/fd). Does not block.
  // Errors: not_found (no socket yet), gone (nobody listens: it ended or died), io_error.
  static Result<StepClient> connect(const std::string& dir);

  // Non-blocking; readable when receive() has something. Owned by the client.
  int fd() const { return fd_.get(); }

  // Errors: gone (it ended or died: look at DIR/status), busy (its buffer is full: try again later), io_error.
  Status send(const Request& request);
  // The next reply; nothing when none has come yet. Errors: gone, bad_reply, io_error.
  Result<std::optional<Reply>> receive();
  // receive() that waits. Errors: also timeout.
  Result<Reply> wait(int timeout_ms);
  // send() and wait() for its answer; an Ended that comes in between is the answer. Not for use while a subscription's Ended matters.
  Result<Reply> call(const Request& request, int timeout_ms);

 private:
  explicit StepClient(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace bai::step
