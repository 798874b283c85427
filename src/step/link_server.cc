#include "step/link_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "step/stream_socket.h"

namespace bai::step {

namespace {

constexpr size_t kMaxCallers = 1024;
constexpr int kAcceptsPerTurn = 64;
constexpr int64_t kShakeMs = 10'000;

std::string text_of(const sockaddr_storage& peer) {
  char text[INET6_ADDRSTRLEN] = "";
  if (peer.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, text, sizeof text);
  } else if (peer.ss_family == AF_INET6) {
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&address))
      inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text);
    else
      inet_ntop(AF_INET6, &address, text, sizeof text);
  }
  return text;
}

}  // namespace

StreamLink* LinkServer::link(uint32_t node) {
  const auto found = peers_.find(node);
  return found == peers_.end() ? nullptr : &found->second.link;
}

std::string LinkServer::address(uint32_t node) const {
  const auto found = peers_.find(node);
  return found == peers_.end() ? "" : found->second.address;
}

void LinkServer::add_pollfds(std::vector<pollfd>* fds) {
  const auto add = [fds](int fd, short events) {
    fds->push_back({fd, events, 0});
    return static_cast<int>(fds->size()) - 1;
  };
  slot_ = add(listener_.get(), POLLIN);
  for (auto& [node, peer] : peers_)
    peer.slot = peer.link.connected() ? add(peer.link.fd(), peer.link.events(true)) : -1;
  for (Caller& caller : callers_) caller.slot = add(caller.handshake.fd(), caller.handshake.events());
}

void LinkServer::serve(const std::vector<pollfd>& fds, int64_t now_ms, const Handler& handler) {
  const auto revents = [&fds](int slot) {
    return slot < 0 ? short{0} : fds[static_cast<size_t>(slot)].revents;
  };
  for (auto& [node, peer] : peers_)
    // A connection that broke is the dialer's to mend.
    if (peer.link.connected() && revents(peer.slot) != 0)
      (void)peer.link.serve(revents(peer.slot), [&, n = node](const Frame& frame) { handler(n, frame); });
  for (auto caller = callers_.begin(); caller != callers_.end();) {
    const bool done = (revents(caller->slot) != 0 && shake(*caller)) || now_ms >= caller->until_ms;
    caller = done ? callers_.erase(caller) : std::next(caller);
  }
  if (revents(slot_) != 0) admit(now_ms);
}

void LinkServer::admit(int64_t now_ms) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    Fd fd(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && (errno == EMFILE || errno == ENFILE) && !callers_.empty()) {
      callers_.pop_front();
      continue;
    }
    if (!fd) return;
    if (callers_.size() >= kMaxCallers) callers_.pop_front();  // an honest one proves itself at once
    tune(fd.get());
    auto received = [this](const Hello& hello) -> uint64_t {
      const auto known = peers_.find(hello.node_index);
      return known != peers_.end() && known->second.id == hello.link_id ? known->second.link.received() : 0;
    };
    callers_.push_back({Handshake::answer(std::move(fd), key_, received), text_of(peer), now_ms + kShakeMs});
  }
}

bool LinkServer::shake(Caller& caller) {
  auto session = caller.handshake.go_on();
  if (!session.ok()) return true;
  if (!*session) return false;
  const Hello& hello = (*session)->hello;
  if (hello.node_index >= nodes_ || hello.kind != kind_) return true;
  Peer& peer = peers_[hello.node_index];
  if (peer.id && *peer.id != hello.link_id) return true;  // not the one that we know
  peer.id = hello.link_id;
  peer.address = caller.address;
  peer.link.connect(std::move(**session));
  return true;
}

void LinkServer::flush() {
  for (auto& [node, peer] : peers_)
    if (peer.link.connected()) (void)peer.link.flush();
}

}  // namespace bai::step
