// The listening end of several links, one for each node that dials: admits who proves the key, keeps a link over its connections.
// One thread.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "step/handshake.h"
#include "step/stream_link.h"

namespace bai::step {

class LinkServer {
 public:
  using Handler = std::function<void(uint32_t node, const Frame&)>;

  // `kind`: what callers must be; `nodes`: those with a lower index may dial.
  LinkServer(Fd listener, std::string key, LinkKind kind, uint32_t nodes)
      : listener_(std::move(listener)), key_(std::move(key)), kind_(kind), nodes_(nodes) {}

  // The node has a link already before it dials.
  void expect(uint32_t node) { peers_.try_emplace(node); }

  // The node's link; nullptr before it first dialled, unless it is expected.
  StreamLink* link(uint32_t node);
  // Where the node dialled from: numeric; empty before.
  std::string address(uint32_t node) const;

  // Adds what to poll for; serve() takes the same entries.
  void add_pollfds(std::vector<pollfd>* fds);
  void serve(const std::vector<pollfd>& fds, int64_t now_ms, const Handler& handler);
  // Sends what was put, as far as it goes at once.
  void flush();

 private:
  struct Peer {
    std::optional<uint64_t> id;  // once it dialled
    StreamLink link;
    std::string address;
    int slot = -1;
  };
  struct Caller {
    Handshake handshake;
    std::string address;
    int64_t until_ms;
    int slot = -1;
  };
  void admit(int64_t now_ms);
  bool shake(Caller& caller);  // true: done with it

  Fd listener_;
  std::string key_;
  LinkKind kind_;
  uint32_t nodes_;
  int slot_ = -1;
  std::map<uint32_t, Peer> peers_;
  std::list<Caller> callers_;
};

}  // namespace bai::step
