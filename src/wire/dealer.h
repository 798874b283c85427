// The agent's side of the wire: one long-lived sealed session to a daemon over libzmq's DEALER, made anew (with a new hello) whenever
// the connection is lost, with growing pauses. All calls from one thread, which waits for fd() or next_deadline() and then calls step().
// What may block, MUNGE, is asked on a thread of its own.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "wire/seal.h"

namespace bai::wire {

struct DealerOptions {
  std::vector<std::string> endpoints{};  // "127.0.0.1:6817", "host:6817"; tried in turn
  HelloOptions hello{};
  std::chrono::milliseconds retry_min{100};  // pause after the first loss; doubles, with jitter
  std::chrono::milliseconds retry_max{5000};
  std::chrono::milliseconds handshake_time{10000};
  std::chrono::milliseconds heartbeat{10000};  // ZMTP PING, so that a dead peer is noticed; 0: none
  std::size_t max_message = std::size_t{256} << 20;
};

struct DealerConnected {};  // the daemon has proved who it is
struct DealerMessage {
  std::string bytes;
};
struct DealerLost {
  Error reason;  // also for each failed try
};
using DealerEvent = std::variant<DealerConnected, DealerMessage, DealerLost>;

class Dealer {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Dealer(DealerOptions options);
  ~Dealer();
  Dealer(const Dealer&) = delete;
  Dealer& operator=(const Dealer&) = delete;

  // A descriptor for poll()/epoll (level triggered), the same one for the Dealer's life; readable means: call step().
  int fd() const;
  // When step() must be called even if fd() stays silent; may be in the past. Nothing: no timer runs.
  std::optional<Clock::time_point> next_deadline() const;
  // Does what is due (the first call begins) and returns what happened, in order. Does not block.
  std::vector<DealerEvent> step(Clock::time_point now = Clock::now());

  bool connected() const;
  // Seals and queues a message; false (and dropped) while not connected or when the queue is full.
  bool send(std::string_view plaintext);
  // Drops the connection and dials again at once (e.g. after a new configuration).
  void reconnect();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bai::wire
