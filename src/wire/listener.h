// The daemon's side of the wire: accepts commands and agents (ZMTP by our own codec over plain sockets, so that memory
// is bounded before a caller is known), judges their hellos and keeps their sealed sessions.
// Threads: one for I/O, `workers` that do MUNGE and unsealing and run the callbacks, and one more of these that does not wait for
// MUNGE, so that callers who are known are served while it hangs. Callbacks of one connection come in order, one at a time; those of
// different connections run side by side. send() and close() may be called from any thread, also from within a callback. stop() (and the
// destructor) may not be called from a callback.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "wire/seal.h"
#include "wire/zmtp.h"

namespace bai::wire {

using ConnId = std::uint64_t;  // never reused, never 0

struct ListenerOptions {
  std::string bind = "127.0.0.1:0";  // "*:6817", "127.0.0.1:0" (the system picks a port), "[::]:6817"
  std::string
      local{};  // the endpoint as which callers on this machine find it over a Unix socket; empty: they use TCP
  DaemonIdentity self{};
  int workers = 2;
  int backlog = 1024;
  std::size_t max_connections = 16384;                  // over these two, who has been silent longest goes
  std::size_t max_handshakes = 1024;                    // connections whose caller is not known yet
  std::size_t max_of_user = 1024;                       // of one uid other than root's and the daemon's own
  std::chrono::milliseconds handshake_time{10000};      // from accept to a good hello
  std::size_t max_hello = std::size_t{8} << 20;         // bytes of a hello with its early data
  std::size_t max_hello_total = std::size_t{64} << 20;  // bytes of all hellos in flight
  std::size_t max_message = std::size_t{64} << 20;      // bytes of a message from a known caller
  std::size_t max_inbound = std::size_t{128} << 20;     // bytes from one known caller that wait for a worker
  std::size_t max_outbound = std::size_t{256} << 20;    // bytes to one caller that it has not read yet
  // Bytes that known callers have sent and not been worked off, and bytes they have not read, of all together: over
  // these, who has most goes.
  std::size_t max_inbound_total = std::size_t{512} << 20;
  std::size_t max_outbound_total = std::size_t{512} << 20;
};

struct ListenerStats {
  std::uint64_t accepted = 0;  // connections
  std::uint64_t authenticated = 0;
  std::uint64_t refused = 0;    // hellos refused, and connections over a cap
  std::uint64_t broken = 0;     // sessions ended by a frame that did not open, or bad ZMTP
  std::uint64_t overrun = 0;    // dropped for not reading or for flooding
  std::uint64_t timed_out = 0;  // no good hello in time
  std::uint64_t messages_in = 0;
  std::uint64_t messages_out = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t connections = 0;     // now
  std::uint64_t handshakes = 0;      // now
  std::uint64_t outbound_bytes = 0;  // now, not yet given to the system
};

struct ListenerCallbacks {
  // True: on_closed is to tell when this connection is gone. (For commands that only want an answer nobody need wake up.)
  std::function<bool(ConnId, const Caller&, std::string plaintext)> on_message{};
  // A session without early data is open (an agent's, before its first message). May be empty.
  std::function<void(ConnId, const Caller&)> on_opened{};
  // A connection that on_opened told of, or for which on_message said true, is gone; nothing more comes from it. May be empty.
  std::function<void(ConnId)> on_closed{};
};

class Listener {
 public:
  // Binds and starts the threads. Errors: "bind".
  static Result<std::unique_ptr<Listener>> start(const ListenerOptions& options, ListenerCallbacks callbacks);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  std::uint16_t port() const;

  // Seals and queues a message; ordered per connection; never blocks on the network. Returns false if the connection is gone or
  // was dropped for not reading (on_closed tells as well).
  bool send(ConnId conn, std::string_view plaintext);
  // Bytes that were sent and the caller's side has not taken yet; 0 when the connection is gone.
  std::size_t unread(ConnId conn) const;
  // Ends a connection once what was queued is with the system (at most a second later).
  void close(ConnId conn);

  ListenerStats stats() const;
  // Ends all connections and threads, after a short time for what is queued. Callbacks no longer run when it returns.
  void stop();

 private:
  struct Impl;
  explicit Listener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bai::wire
