// The commands' one-shot call to a daemon: a plain TCP socket, our ZMTP codec, one sealed request and its reply. Uses neither
// libzmq nor the resolver, so that commands link statically and start fast. Blocks. One thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/seal.h"

namespace bai::wire {

struct ClientOptions {
  std::vector<std::string>
      endpoints{};  // "127.0.0.1:6817", "[::1]:6817", "host:6817" (numeric, else in /etc/hosts); tried in turn
  HelloOptions hello{};
  std::string daemon = "bai-ctld";  // for messages
  std::size_t max_reply = std::size_t{1} << 30;
  // Called once, after a second without an answer, with the sentence to show.
  std::function<void(const std::string&)> notice{};
};

class Client {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Client(ClientOptions options);
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Sends the request and waits for the reply, on a new connection. If a connection fails or stays silent for long, tries again
  // until `deadline`; `build` makes the request's bytes and is told whether an earlier try may have arrived.
  // Errors: "unreachable" (surely not done), "outcome_unknown" (may be done), "refused" or a code of the daemon's refusal,
  // munge_encode's.
  Result<std::string> call(const std::function<std::string(bool repeat)>& build, Clock::time_point deadline);

  // The next message after the reply, on the same connection (watches). Errors: "timeout" (the deadline passed; ask again),
  // "lost" (the connection ended).
  Result<std::string> next(std::optional<Clock::time_point> deadline = {});
  // A further message on the same connection.
  Status send(std::string_view plaintext);
  // The connection's socket for poll(), or -1. Messages may wait inside already: call next() with a past deadline first.
  int fd() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A numeric address and port out of an endpoint, or by /etc/hosts (`hosts_file` is for tests). Error code "bad_endpoint".
struct SocketAddress {
  bool v6 = false;
  std::string host{};  // numeric
  std::uint16_t port = 0;
};
Result<SocketAddress> resolve_endpoint(std::string_view endpoint,
                                       const std::string& hosts_file = "/etc/hosts");

}  // namespace bai::wire
