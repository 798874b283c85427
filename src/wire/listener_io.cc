// The listener's I/O thread: sockets, the caps on what strangers and callers may hold, timers.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/thread_name.h"
#include "wire/listener_impl.h"

namespace bai::wire {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kChunk = 64 * 1024;       // bytes read at once
constexpr int kChunksPerTurn = 16;              // from one connection, then the others get their turn
constexpr std::size_t kSmallHello = 64 * 1024;  // always has room, whatever others send
constexpr milliseconds kCloseGrace{1000};       // for the peer to see the end and close
constexpr milliseconds kDrainGrace{
    10000};  // for it to take what is queued, anew with every byte that it takes
constexpr milliseconds kStopGrace{300};
constexpr milliseconds kDeaf{50};

std::string address_of(const sockaddr_storage& peer) {
  char text[INET6_ADDRSTRLEN] = "unknown";
  if (peer.ss_family == AF_UNIX) return "this machine";
  if (peer.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr, text, sizeof text);
  } else {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, text, sizeof text);
  }
  return text;
}

// Small messages go at once; a host that vanished without a word is noticed after two minutes.
void tune(int fd) {
  const int on = 1, idle_s = 60, interval_s = 15, probes = 4;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

}  // namespace

void Listener::Impl::io_loop() {
  name_thread("wire-io");
  std::array<epoll_event, 256> events{};
  std::optional<Clock::time_point> stop_at;
  for (;;) {
    const auto now = Clock::now();
    if (stopping) {
      if (!stop_at) stop_at = now + kStopGrace;
      if (now >= *stop_at || n.outbound_bytes == 0) return;
    }
    sleeping = true;
    bool idle = false;
    {
      const std::lock_guard lock(dirty_mutex);
      idle = dirty.empty();
    }
    const int wait = stopping ? 5 : wait_ms(now);
    const int got = epoll_wait(epoll.get(), events.data(), events.size(), idle ? wait : 0);
    sleeping = false;
    bool called = false;
    for (int i = 0; i < got; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.u64 == 0) {
        called = true;
        continue;
      }
      const ConnPtr conn = find(event.data.u64);
      if (!conn) continue;  // it went while this was handled
      if ((event.events & EPOLLOUT) != 0) {
        const std::lock_guard lock(conn->mutex);
        write_some(conn);
        if (conn->closing) mark_dirty(conn);
      }
      if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) on_readable(conn);
    }
    if (called) {
      wakeup->consume();
      if (!stopping && !deaf_until) accept_all(socket);
      if (!stopping && !deaf_until && local) accept_all(local);
    }
    look_at_dirty();
    if (n.outbound_bytes > options.max_outbound_total || n.inbound_bytes > options.max_inbound_total) shed();
    do_timers(Clock::now());
  }
}

int Listener::Impl::wait_ms(Clock::time_point now) const {
  long ms = 60000;
  const auto until = [&](Clock::time_point t) {
    const auto left = std::chrono::duration_cast<milliseconds>(t - now).count() + 1;
    ms = std::clamp<long>(left, 0, ms);
  };
  if (!handshake_ends.empty()) until(handshake_ends.front().first);
  if (deaf_until) until(*deaf_until);
  for (const auto& conn : lingering) until(*conn->close_at);
  return static_cast<int>(ms);
}

void Listener::Impl::listen_to(std::uint32_t events) {
  epoll_event event{events, {.u64 = 0}};
  epoll_ctl(epoll.get(), EPOLL_CTL_MOD, socket.get(), &event);
  if (local) epoll_ctl(epoll.get(), EPOLL_CTL_MOD, local.get(), &event);
}

void Listener::Impl::accept_all(const Fd& from) {
  for (int i = 0; i < 256; ++i) {  // then the others get their turn; epoll tells of the rest again
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    Fd fd(accept4(from.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      if (peer.ss_family != AF_UNIX) tune(fd.get());
      on_connect(std::move(fd), address_of(peer));
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      if (make_room(true)) continue;
      // Epoll would tell of who waits without end.
      listen_to(0);
      deaf_until = Clock::now() + kDeaf;
    }
    if (errno == ECONNABORTED || errno == EINTR) continue;
    return;
  }
}

void Listener::Impl::on_connect(Fd fd, std::string peer) {
  ++n.accepted;
  auto conn = std::make_shared<Conn>();
  conn->id = next_id++;
  conn->peer = std::move(peer);
  conn->fd = std::move(fd);
  conn->decoder.set_limits({.parts = 3, .part_bytes = options.max_hello, .message_bytes = options.max_hello});
  {
    const std::lock_guard lock(conns_mutex);
    conns.emplace(conn->id, conn);
  }
  ++n.connections;
  ++n.handshakes;
  handshake_ends.emplace_back(Clock::now() + options.handshake_time, conn->id);
  epoll_event event{EPOLLIN, {.u64 = conn->id}};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, conn->fd.get(), &event)) return drop(conn, true);
  while (n.connections > options.max_connections || n.handshakes > options.max_handshakes) {
    if (!make_room(n.connections > options.max_connections))
      return refuse(conn, Error{"busy", "too many connections"}, n.refused, false);
    if (!find(conn->id)) return;  // nobody was silent longer
  }
  on_readable(conn);  // a command's hello comes on the heels of its connection
}

// Ends a connection that was answered already (`of_any_kind`), or else the stranger who has been silent longest: an honest caller's hello
// comes with its connection, so those who only hold connections keep nobody else out. False if there is none.
bool Listener::Impl::make_room(bool of_any_kind) {
  if (of_any_kind && !lingering.empty()) {
    const ConnPtr oldest = lingering.front();
    lingering.erase(lingering.begin());
    drop(oldest, true);
    return true;
  }
  while (!handshake_ends.empty()) {
    const ConnPtr conn = find(handshake_ends.front().second);
    if (conn && conn->handshaking) break;
    handshake_ends.pop_front();
  }
  for (const auto& [end, id] : handshake_ends) {
    const ConnPtr conn = find(id);
    if (!conn || !conn->handshaking || conn->hello_seen) continue;
    refuse(conn, Error{"busy", "too many connections without a hello"}, n.refused, false);
    return true;
  }
  return false;
}

// All callers together have more waiting than may be: the one with most goes.
void Listener::Impl::shed() {
  for (const bool outward : {true, false}) {
    while (outward ? n.outbound_bytes > options.max_outbound_total
                   : n.inbound_bytes > options.max_inbound_total) {
      ConnPtr largest;
      std::size_t most = 0;
      {
        const std::lock_guard all(conns_mutex);
        for (const auto& [id, conn] : conns) {
          const std::lock_guard lock(conn->mutex);
          const std::size_t held = outward ? conn->unsent() : conn->inbound_bytes + conn->partial_bytes;
          if (held > most) {
            most = held;
            largest = conn;
          }
        }
      }
      if (!largest) break;  // what is left is in a worker's hands
      refuse(largest,
             Error{"overrun", outward ? "too much waits to be read, most of it by this caller"
                                      : "too much waits to be worked off, most of it from this caller"},
             n.overrun, false);
    }
  }
}

void Listener::Impl::refuse(const ConnPtr& conn, const Error& error, std::atomic<std::uint64_t>& counter,
                            bool tell) {
  ++counter;
  note(log::Level::warning, *conn, error, "a connection was dropped");
  if (!tell) return drop(conn, true);
  const std::lock_guard lock(conn->mutex);
  refuse_with(conn, error);
}

void Listener::Impl::on_readable(const ConnPtr& conn) {
  static thread_local std::string buffer(kChunk, '\0');
  for (int i = 0; i < kChunksPerTurn && conn->fd; ++i) {
    const auto got = recv(conn->fd.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return drop(conn, got < 0);
    n.bytes_in += static_cast<std::uint64_t>(got);
    on_bytes(conn, {buffer.data(), static_cast<std::size_t>(got)});
    if (static_cast<std::size_t>(got) < buffer.size()) return;
  }
}

void Listener::Impl::on_bytes(const ConnPtr& conn, std::string_view bytes) {
  bool too_long = false, too_many = false;
  {
    const std::lock_guard lock(conn->mutex);
    if (conn->closing || conn->kill) return;
    if (!conn->known) {
      conn->hello_bytes += bytes.size();
      n.hello_bytes += bytes.size();
      too_long = conn->hello_bytes > options.max_hello + 4096;
      too_many = n.hello_bytes > options.max_hello_total && conn->hello_bytes > kSmallHello;
    }
  }
  if (too_long) return refuse(conn, Error{"zmtp", "its hello does not end"}, n.broken, false);
  if (too_many) return refuse(conn, Error{"busy", "too many large hellos at once"}, n.refused, true);
  if (conn->known) {
    if (!std::exchange(conn->known_limits, true)) {
      conn->decoder.set_limits(
          {.parts = 1, .part_bytes = options.max_message, .message_bytes = options.max_message});
    }
    set_partial(*conn, conn->partial_bytes + bytes.size());
  }
  conn->decoder.feed(bytes);
  for (;;) {
    Parts message;
    const auto got = conn->decoder.next(message);
    if (got == ZmtpDecoder::Got::error) return refuse(conn, conn->decoder.error(), n.broken, false);
    if (got == ZmtpDecoder::Got::more) break;
    if (conn->known_limits) set_partial(*conn, 0);
    if (!take_message(conn, std::move(message))) return;
  }
  const std::string output = conn->decoder.take_output();
  const std::lock_guard lock(conn->mutex);
  // A caller that sent its whole hello at once needs our greeting no sooner than our answer: one packet for both.
  if (!output.empty() || (!conn->greeted && !conn->hello_seen)) enqueue(conn, {}, output);
}

bool Listener::Impl::take_message(const ConnPtr& conn, Parts message) {
  // Not `known`: a worker sets that at any time, and what came along with the hello was sent before the welcome.
  if (!conn->known_limits && std::exchange(conn->hello_seen, true)) {
    refuse(conn, Error{"bad_hello", "more than a hello before the welcome"}, n.refused, false);
    return false;
  }
  const std::size_t size = held_by(message);
  bool wake = false, taken = false;
  {
    const std::lock_guard lock(conn->mutex);
    taken = conn->inbound_bytes + size <= options.max_inbound;
    if (taken) {
      conn->inbound_bytes += size;
      n.inbound_bytes += size;
      conn->inbound.push_back(std::move(message));
      wake = !std::exchange(conn->scheduled, true);
    }
  }
  if (!taken) {
    refuse(conn, Error{"overrun", "it sends more than is worked off"}, n.overrun, false);
    return false;
  }
  if (wake) give_work(conn);
  return true;
}

void Listener::Impl::drop(const ConnPtr& conn, bool reset) {
  {
    const std::lock_guard lock(conns_mutex);
    if (conns.erase(conn->id) == 0) return;
  }
  --n.connections;
  set_partial(*conn, 0);
  bool wake = false;
  {
    const std::lock_guard lock(conn->mutex);
    end_handshake(*conn);
    release_hello(*conn);
    if (reset) {
      conn->kill = true;  // what it sent before a good end still counts
      conn->inbound.clear();
      n.inbound_bytes -= std::exchange(conn->inbound_bytes, 0);
      const linger none{1, 0};  // the system, too, forgets what the peer does not read
      setsockopt(conn->fd.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    conn->fd.reset();
    if (conn->known) count_user(conn->caller.uid, -1);
    n.outbound_bytes -= conn->unsent();
    conn->out = {};
    conn->sent = 0;
    conn->closing = conn->closing || reset;
    conn->gone = true;
    wake = conn->followed && !std::exchange(conn->scheduled, true);
  }
  if (wake) give_work(conn);
}

void Listener::Impl::look_at_dirty() {
  std::vector<ConnPtr> list;
  {
    const std::lock_guard lock(dirty_mutex);
    list.swap(dirty);
  }
  for (const auto& conn : list) {
    bool kill = false, closing = false;
    {
      const std::lock_guard lock(conn->mutex);
      conn->dirty = false;
      kill = conn->kill;
      closing = conn->closing;
    }
    if (kill) {
      drop(conn, true);
    } else if (closing && find(conn->id)) {
      let_linger(conn);
    }
  }
}

// A closed connection stays until the peer has closed it, for a while: closing with unread bytes would take away what the
// peer has not read yet, and libzmq tells of an end before it tells of the words that came with it.
void Listener::Impl::let_linger(const ConnPtr& conn) {
  if (!conn->close_at) lingering.push_back(conn);
  const std::lock_guard lock(conn->mutex);
  const bool done = conn->unsent() == 0;
  conn->close_at = Clock::now() + (done ? kCloseGrace : kDrainGrace);
}

void Listener::Impl::do_timers(Clock::time_point now) {
  while (!handshake_ends.empty()) {
    const ConnPtr conn = find(handshake_ends.front().second);
    const bool open = conn && conn->handshaking;
    if (open && handshake_ends.front().first > now) break;
    handshake_ends.pop_front();
    if (open) refuse(conn, Error{"timeout", "no hello in time"}, n.timed_out, false);
  }
  if (deaf_until && now >= *deaf_until) {
    deaf_until.reset();
    listen_to(EPOLLIN);
  }
  std::erase_if(lingering, [&](const ConnPtr& conn) {
    const bool early = *conn->close_at > now;
    if (early && conn->fd) return false;
    bool unsent = false;
    {
      const std::lock_guard lock(conn->mutex);
      unsent = conn->unsent() != 0;
    }
    drop(conn, early || unsent);
    return true;
  });
}

}  // namespace bai::wire
