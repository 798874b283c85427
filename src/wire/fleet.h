// Many agents' side of the wire in one thread: a sealed session for each member to one daemon, over plain sockets and our own ZMTP
// codec. (A Dealer is one session, with libzmq's threads; ten thousand of them cannot be.) What may block, MUNGE, is asked on a thread of its own.
// All calls from one thread, which waits for fd() or next_deadline() and then calls step().
//
// Hellos go out a few at a time, so a daemon is never asked for more than it takes from strangers; and while it does not answer, one
// member at a time looks whether it is back.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/dealer.h"

namespace bai::wire {

struct FleetOptions {
  std::vector<std::string> endpoints{};  // as Client's; tried in turn
  HelloOptions hello{};                  // of each, save its name
  std::size_t at_once = 64;              // hellos on their way
  std::chrono::milliseconds retry_min{50};
  std::chrono::milliseconds retry_max{1000};
  std::chrono::milliseconds handshake_time{10000};
  std::size_t max_message = std::size_t{256} << 20;
  std::size_t max_unsent = std::size_t{64}
                           << 20;  // bytes to the daemon that it has not read yet, of one member
};

class Fleet {
 public:
  using Clock = std::chrono::steady_clock;
  using OnEvent = std::function<void(std::size_t member, DealerEvent event)>;

  // Members are known by their place in `names`. Errors: bad_endpoint, too_many_files (each member takes a descriptor), io_error.
  static Result<std::unique_ptr<Fleet>> start(FleetOptions options, std::vector<std::string> names);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  int fd() const;  // for epoll, level triggered, the same one for the Fleet's life
  std::optional<Clock::time_point> next_deadline() const;
  // Does what is due (the first call begins) and tells what happened, each member's in order. Does not block. The callback may send.
  void step(Clock::time_point now, const OnEvent& tell);

  bool connected(std::size_t member) const;
  std::size_t connected() const;
  // Seals and sends, or queues what the system does not take now; false (and dropped) while not connected.
  bool send(std::size_t member, std::string_view plaintext);
  // Ends the session and dials again soon.
  void reconnect(std::size_t member);

 private:
  struct Impl;
  explicit Fleet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bai::wire
