// The shepherd's end of its socket: listens, admits the agent's uid (and root), keeps a bounded number of clients and bounded frames.
// A client that misbehaves, is slow or dies is dropped; nothing else changes. The shepherd's only thread.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "step/protocol.h"

namespace bai::step {

constexpr size_t kMaxClients = 16;

class StepServer {
 public:
  // Answers one request; called from serve().
  using Handler = std::function<Reply(const Request&)>;

  // Listens on `sock` in the current directory, mode 0600; replaces a stale one. Errors: io_error.
  static Result<StepServer> listen(uid_t allowed, Handler handler);

  // Appends what to poll for; serve() takes the same entries back.
  void add_pollfds(std::vector<pollfd>* fds) const;
  // Handles whatever is ready among them; never blocks.
  void serve(const std::vector<pollfd>& fds);
  // Sends it to every subscriber.
  void publish(const Reply& reply);

 private:
  struct Client {
    Fd fd;
    bool subscribed = false;
  };
  StepServer(Fd fd, uid_t allowed, Handler handler);
  void admit();
  bool serve_client(Client& client);

  Fd listener_;
  uid_t allowed_;
  Handler handler_;
  std::vector<Client> clients_;
};

}  // namespace bai::step
