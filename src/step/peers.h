// The shepherds of one step among themselves: messages from each to each, in order, along the tree of peer_tree.h, over sealed links that mend themselves
// (stream_link.h). Its port lives as long as the step. Relayed messages never wait for others; what would pile up too high ends the step.
// On a link: frames kPeer (task: the node that it is for, or kAllTasks; detail 1: the message goes on in the next; payload: u32 the sender, a
// part of the message) and kLeave (this node's part of the step is over).
// The shepherd's only thread; times are monotonic milliseconds.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "step/link_server.h"
#include "step/task_launch.h"
#include "step/uplink.h"

namespace bai::step {

constexpr uint32_t kAllNodes = UINT32_MAX;          // all others
constexpr size_t kMaxPeerMessage = 32u << 20;       // one message
constexpr size_t kMaxPeerParts = 128u << 20;        // half received
constexpr size_t kMaxPeerBacklog = 512u << 20;      // on the way over all links
constexpr int64_t kMeetMs = 300'000;                // for a neighbour to come, once it is needed
constexpr int64_t kPeerGraceMs = kGiveUpMs + 1000;  // for a child to dial again

class Peers {
 public:
  struct Handlers {
    std::function<void(uint32_t from, std::string_view message)> message;
    // A neighbour is gone without taking its leave, or was needed and is not there: messages are lost. Once for each.
    std::function<void(const std::string& why)> lost;
  };
  Peers(const StreamPlan& plan, Handlers handlers);
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  // Listens and dials. Errors: io_error.
  Status open(int64_t now_ms);
  // Messages matter from now on: neighbours that do not come are missed.
  void needed(int64_t now_ms);
  // May more be sent? For those who can wait.
  bool room() const;
  void send(uint32_t to, std::string_view message);

  // Says farewell to the neighbours; nothing is sent after it.
  void leave(int64_t now_ms);
  // After leave(): they have all, or do not care, or had their time.
  bool left(int64_t now_ms) const;

  void add_pollfds(std::vector<pollfd>* fds);
  void serve(const std::vector<pollfd>& fds, int64_t now_ms);
  // Sends what was put, as far as it goes at once.
  void flush(int64_t now_ms);
  void on_time(int64_t now_ms);
  // Until on_time() has something to do; -1: nothing.
  int64_t pause_ms(int64_t now_ms) const;

 private:
  struct Neighbour {
    Neighbour(uint32_t index, bool is_parent) : node(index), parent(is_parent) {}
    uint32_t node;
    bool parent;
    bool met = false, left = false, lost = false;
    std::optional<int64_t> down_since;
    bool there() const { return !left && !lost; }
  };
  StreamLink& link(const Neighbour& n) { return n.parent ? up_->link() : *children_->link(n.node); }
  const StreamLink& link(const Neighbour& n) const { return const_cast<Peers*>(this)->link(n); }
  Neighbour* neighbour(uint32_t node);
  void pass_on(uint32_t came_from, uint32_t to, uint8_t detail, std::string_view payload);
  void put(Neighbour& to, uint32_t destination, uint8_t detail, std::string_view payload);
  void on_frame(uint32_t node, const Frame& frame);
  void take(const Frame& frame);
  void look(int64_t now_ms);
  size_t backlog() const;
  void lose(Neighbour& n, const std::string& why);

  const StreamPlan& plan_;
  Handlers handlers_;
  std::optional<Uplink> up_;
  std::optional<LinkServer> children_;
  std::vector<Neighbour> neighbours_;
  std::map<uint32_t, std::string> parts_;  // of messages that go on, by sender
  size_t parts_bytes_ = 0;
  std::optional<int64_t> needed_since_, leave_until_;
};

}  // namespace bai::step
