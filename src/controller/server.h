// Server: bai-ctld put together: the listener's workers decode and answer reads from the view; the state thread runs the
// machine; the committer makes it durable and lets things leave; the engine schedules; the archivist reads history.
// start() and stop() from one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "model/config.h"

namespace bai::controller {

struct ServerOptions {
  std::string config_path;
  std::shared_ptr<const ClusterConfig> config;
  std::string bind;          // empty: from the configuration
  bool accept_loss = false;  // start although agents have seen a newer database
};

class Server {
 public:
  // Opens the store, recovers, listens. Errors are for people.
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options);
  ~Server();

  // Ends all threads; everything acknowledged is in the store.
  void stop();
  // Reads the configuration again, as `bai-control reconfigure` does. Any thread.
  void reconfigure();
  // Called (on some thread) when the daemon should end: `bai-control shutdown`, or another controller took over.
  void on_end(std::function<void(int exit_code)> end);
  std::uint16_t port() const;

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bai::controller
