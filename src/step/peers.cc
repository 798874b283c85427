#include "step/peers.h"

#include <algorithm>

#include "step/peer_tree.h"
#include "step/stream_socket.h"

namespace bai::step {

namespace {

constexpr int64_t kLeaveMs = 5000;           // for neighbours to take what was sent
constexpr int64_t kNoHurry = INT64_MAX / 4;  // needed() says when a parent is missed
constexpr uint8_t kGoesOn = 1;
constexpr size_t kPart = kMaxPayload - 4;

bool is_loopback(const std::string& endpoint) {
  return endpoint.starts_with("127.") || endpoint.starts_with("[::1]");
}

}  // namespace

Peers::Peers(const StreamPlan& plan, Handlers handlers) : plan_(plan), handlers_(std::move(handlers)) {}

Status Peers::open(int64_t now_ms) {
  const bool loopback = std::all_of(plan_.clients.begin(), plan_.clients.end(), is_loopback);
  if (const auto children = peer_children(plan_.node_index, plan_.node_count); !children.empty()) {
    std::optional<Error> why;
    for (const uint16_t port : peer_ports(plan_.key, plan_.node_index)) {
      auto listener = listen_any(loopback, port);
      if (!listener.ok()) {
        why = listener.error();
        continue;
      }
      children_.emplace(std::move(listener->fd), plan_.key, LinkKind::kPeer, plan_.node_count);
      break;
    }
    if (!children_)
      return Error{"io_error", "no port for the other nodes of the step: " + (why ? why->text() : "")};
    for (const uint32_t child : children) {
      children_->expect(child);
      neighbours_.emplace_back(child, false);
    }
  }
  if (const auto parent = peer_parent(plan_.node_index)) {
    std::vector<std::string> endpoints;
    for (const auto& address : plan_.parent_addresses)
      for (const uint16_t port : peer_ports(plan_.key, *parent))
        endpoints.push_back(endpoint_text(address, port));
    if (endpoints.empty()) return Error{"io_error", "the address of the step's other nodes is not known"};
    up_.emplace(std::move(endpoints), plan_.key, LinkKind::kPeer, plan_.node_index, geteuid(), now_ms,
                kNoHurry);
    neighbours_.emplace_back(*parent, true);
  }
  return {};
}

Peers::Neighbour* Peers::neighbour(uint32_t node) {
  for (Neighbour& n : neighbours_)
    if (n.node == node) return &n;
  return nullptr;
}

void Peers::needed(int64_t now_ms) {
  if (!needed_since_) needed_since_ = now_ms;
}

bool Peers::room() const {
  return std::all_of(neighbours_.begin(), neighbours_.end(),
                     [this](const Neighbour& n) { return !n.there() || link(n).room(); });
}

void Peers::send(uint32_t to, std::string_view message) {
  if (leave_until_) return;
  do {
    const std::string_view part = message.substr(0, kPart);
    message.remove_prefix(part.size());
    std::string payload = u32_payload({plan_.node_index});
    payload += part;
    pass_on(plan_.node_index, to, message.empty() ? 0 : kGoesOn, payload);
  } while (!message.empty());
}

void Peers::pass_on(uint32_t came_from, uint32_t to, uint8_t detail, std::string_view payload) {
  if (to == kAllNodes) {
    for (Neighbour& n : neighbours_)
      if (n.node != came_from && n.there()) put(n, to, detail, payload);
    return;
  }
  if (to >= plan_.node_count || to == plan_.node_index) return;
  Neighbour* n = neighbour(peer_towards(plan_.node_index, to));
  if (!n || n->node == came_from) return;
  if (n->left) return lose(*n, "node " + plan_.node_names[n->node] + " has ended its part of the step");
  if (n->there()) put(*n, to, detail, payload);
}

void Peers::put(Neighbour& to, uint32_t destination, uint8_t detail, std::string_view payload) {
  if (backlog() + payload.size() > kMaxPeerBacklog)
    return lose(to, "node " + plan_.node_names[to.node] + " does not take what the ranks tell it");
  link(to).put(FrameType::kPeer, detail, destination, payload);
}

size_t Peers::backlog() const {
  size_t bytes = 0;
  for (const Neighbour& n : neighbours_)
    if (n.there()) bytes += link(n).kept();
  return bytes;
}

void Peers::on_frame(uint32_t node, const Frame& frame) {
  Neighbour* n = neighbour(node);
  if (!n) return;
  if (frame.type == FrameType::kLeave) {
    n->left = true;  // the connection stays, so that it hears that we have heard it
  } else if (frame.type == FrameType::kPeer && frame.payload.size() >= 4) {
    if (frame.task != plan_.node_index) pass_on(node, frame.task, frame.detail, frame.payload);
    if (frame.task == plan_.node_index || frame.task == kAllNodes) take(frame);
  }
}

void Peers::take(const Frame& frame) {
  const uint32_t from = u32_at(frame.payload, 0);
  const std::string_view part = frame.payload.substr(4);
  if (from >= plan_.node_count || from == plan_.node_index) return;
  const auto known = parts_.find(from);
  if (known == parts_.end() && frame.detail != kGoesOn) return handlers_.message(from, part);
  std::string& message = known == parts_.end() ? parts_[from] : known->second;
  if (message.size() + part.size() > kMaxPeerMessage || parts_bytes_ + part.size() > kMaxPeerParts)
    return handlers_.lost("the ranks tell each other too much at once");
  message += part;
  parts_bytes_ += part.size();
  if (frame.detail == kGoesOn) return;
  const std::string whole = std::move(message);
  parts_bytes_ -= whole.size();
  parts_.erase(from);
  handlers_.message(from, whole);
}

void Peers::lose(Neighbour& n, const std::string& why) {
  if (n.lost) return;
  n.lost = true;
  if (n.parent) up_->close();
  handlers_.lost(why);
}

void Peers::look(int64_t now_ms) {
  for (Neighbour& n : neighbours_) {
    if (!n.there()) continue;
    const std::string name = "node " + plan_.node_names[n.node];
    if (link(n).connected()) {
      n.met = true;
      n.down_since.reset();
    } else if (n.met) {
      if (!n.down_since) n.down_since = now_ms;
      if (n.parent ? up_->gone() : now_ms - *n.down_since >= kPeerGraceMs)
        lose(n, "the shepherd of the step on " + name + " is gone");
    } else if (needed_since_ && now_ms - *needed_since_ >= kMeetMs) {
      lose(n, "the shepherd of the step on " + name + " did not come" +
                  (n.parent && !up_->why().empty() ? " (" + up_->why() + ")" : ""));
    }
  }
}

void Peers::leave(int64_t now_ms) {
  if (leave_until_) return;
  // Where no rank ever was in MPI nobody waits for us, and we wait for nobody.
  leave_until_ = now_ms + (needed_since_ || backlog() > 0 ? kLeaveMs : 0);
  for (Neighbour& n : neighbours_)
    if (n.there() && (n.met || link(n).kept() > 0)) link(n).put(FrameType::kLeave, 0, 0, {});
  flush(now_ms);
}

bool Peers::left(int64_t now_ms) const {
  return now_ms >= *leave_until_ ||
         std::all_of(neighbours_.begin(), neighbours_.end(), [this](const Neighbour& n) {
           return n.lost || link(n).flushed() || (n.left && !link(n).connected());
         });
}

void Peers::add_pollfds(std::vector<pollfd>* fds) {
  if (up_ && !up_->gone()) up_->add_pollfd(fds);
  if (children_) children_->add_pollfds(fds);
}

void Peers::serve(const std::vector<pollfd>& fds, int64_t now_ms) {
  if (up_ && !up_->gone())
    up_->serve(fds, now_ms, [this](const Frame& frame) { on_frame(*peer_parent(plan_.node_index), frame); });
  // Who has left and closed is not dialled again.
  if (up_ && !up_->gone() && !up_->link().connected() && neighbour(*peer_parent(plan_.node_index))->left)
    up_->close();
  if (children_)
    children_->serve(fds, now_ms, [this](uint32_t node, const Frame& frame) { on_frame(node, frame); });
  look(now_ms);
}

void Peers::flush(int64_t now_ms) {
  if (up_ && !up_->gone()) up_->flush(now_ms);
  if (children_) children_->flush();
}

void Peers::on_time(int64_t now_ms) {
  if (up_ && !up_->gone()) up_->on_time(now_ms);
  look(now_ms);
}

int64_t Peers::pause_ms(int64_t now_ms) const {
  int64_t pause = -1;
  auto sooner = [&](int64_t ms) { pause = pause < 0 ? ms : std::min(pause, ms); };
  if (up_ && !up_->gone())
    if (const int64_t ms = up_->pause_ms(now_ms); ms >= 0) sooner(ms);
  for (const Neighbour& n : neighbours_) {
    if (!n.there()) continue;
    if (n.down_since && !n.parent) sooner(std::max<int64_t>(0, *n.down_since + kPeerGraceMs - now_ms));
    if (!n.met && needed_since_) sooner(std::max<int64_t>(0, *needed_since_ + kMeetMs - now_ms));
  }
  if (leave_until_) sooner(std::max<int64_t>(0, *leave_until_ - now_ms));
  return pause;
}

}  // namespace bai::step
