#include "wire/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire/listener_impl.h"
#include "wire/local.h"

namespace bai::wire {
namespace {

constexpr std::size_t kItemCost = 128;  // what an inbound message takes beside its bytes

}  // namespace

std::size_t held_by(const Parts& parts) {
  std::size_t n = kItemCost;
  for (const auto& p : parts) n += p.size();
  return n;
}

// Binds `options.bind`: numbers only, "*" is every IPv4 address.
Status Listener::Impl::bind() {
  auto w = Wakeup::create();
  if (!w) return w.error();
  wakeup = std::move(*w);
  const auto failed = [&](const std::string& why) {
    return Error{"bind", "cannot listen: " + why, options.bind,
                 "choose a free port and an address of this host"};
  };
  const std::size_t colon = options.bind.rfind(':');
  if (colon == std::string::npos) return failed("no port is named");
  std::string host = options.bind.substr(0, colon);
  const std::string service = options.bind.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_family = host == "*" ? AF_INET : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int err = getaddrinfo(host == "*" ? nullptr : host.c_str(), service.c_str(), &hints, &found))
    return failed(gai_strerror(err));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> address(found, &freeaddrinfo);
  socket = Fd(::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (!socket || setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
      ::bind(socket.get(), address->ai_addr, address->ai_addrlen) || listen(socket.get(), options.backlog))
    return failed(strerror(errno));
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &size)) return failed(strerror(errno));
  port = ntohs(at.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port
                                        : reinterpret_cast<sockaddr_in&>(at).sin_port);
  epoll = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!options.local.empty()) {
    auto made = listen_local(options.local, options.backlog);
    if (made)
      local = std::move(*made);
    else
      log::warning(made.error().text());
  }
  // Connections are known to epoll by their ids; these have none.
  epoll_event listening{EPOLLIN, {.u64 = 0}}, woken{EPOLLIN, {.u64 = 0}};
  if (!epoll || epoll_ctl(epoll.get(), EPOLL_CTL_ADD, socket.get(), &listening) ||
      (local && epoll_ctl(epoll.get(), EPOLL_CTL_ADD, local.get(), &listening)) ||
      epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakeup->fd(), &woken))
    return failed(strerror(errno));
  return {};
}

void Listener::Impl::start_threads() {
  options.workers = std::max(1, options.workers);
  io_thread = std::thread([this] { io_loop(); });
  for (int i = 0; i <= options.workers; ++i) workers.emplace_back([this] { work_loop(); });
}

void Listener::Impl::stop() {
  if (!io_thread.joinable()) return;
  stopping = true;
  wakeup->notify();
  io_thread.join();
  {
    const std::lock_guard lock(work_mutex);
    work_stop = true;
  }
  work_ready.notify_all();
  for (auto& t : workers) t.join();
  const std::lock_guard lock(conns_mutex);
  conns.clear();
  socket.reset();
  local.reset();
}

void Listener::Impl::note(log::Level level, const Conn& conn, const Error& error, std::string_view what) {
  once.write(level, error.code + " " + conn.peer, what,
             {{"peer", conn.peer}, {"code", error.code}, {"reason", error.text()}});
}

ConnPtr Listener::Impl::find(ConnId id) {
  const std::lock_guard lock(conns_mutex);
  const auto it = conns.find(id);
  return it == conns.end() ? nullptr : it->second;
}

bool Listener::Impl::send(ConnId id, std::string_view plaintext) {
  const ConnPtr conn = find(id);
  if (!conn || !conn->known) return false;
  const std::lock_guard lock(conn->mutex);
  if (conn->closing || conn->kill) return false;
  ++n.messages_out;
  return enqueue(conn, conn->session->seal(plaintext));
}

std::size_t Listener::Impl::unread(ConnId id) {
  const ConnPtr conn = find(id);
  if (!conn) return 0;
  const std::lock_guard lock(conn->mutex);
  return conn->unsent();
}

void Listener::Impl::close(ConnId id) {
  const ConnPtr conn = find(id);
  if (!conn) return;
  const std::lock_guard lock(conn->mutex);
  conn->closing = true;
  mark_dirty(conn);
}

void Listener::Impl::mark_dirty(const ConnPtr& conn) {
  if (std::exchange(conn->dirty, true)) return;
  {
    const std::lock_guard lock(dirty_mutex);
    dirty.push_back(conn);
  }
  if (sleeping.exchange(false)) wakeup->notify();
}

bool Listener::Impl::enqueue(const ConnPtr& conn, const Parts& message, std::string_view raw) {
  if (!conn->fd) return false;  // it was dropped meanwhile
  const std::size_t before = conn->out.size();
  if (!std::exchange(conn->greeted, true)) conn->out += opening;
  if (!message.empty()) zmtp_append(conn->out, message);
  conn->out += raw;
  n.outbound_bytes += conn->out.size() - before;
  if (!conn->awaits_room) write_some(conn);
  const bool fits = conn->unsent() <= options.max_outbound;
  if (!fits && !conn->kill) {
    conn->kill = true;
    ++n.overrun;
    note(log::Level::warning, *conn, Error{"overrun", "it does not read what it is sent"},
         "a connection was dropped");
    mark_dirty(conn);
  }
  return fits;
}

void Listener::Impl::write_some(const ConnPtr& conn) {
  bool room = true;
  while (room && conn->fd && conn->unsent() > 0) {
    const auto wrote =
        ::send(conn->fd.get(), conn->out.data() + conn->sent, conn->unsent(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno != EAGAIN) {  // the I/O thread hears of it as well
      conn->kill = true;
      return mark_dirty(conn);
    }
    room = wrote > 0;
    if (!room) break;
    conn->sent += static_cast<std::size_t>(wrote);
    n.bytes_out += static_cast<std::uint64_t>(wrote);
    n.outbound_bytes -= static_cast<std::uint64_t>(wrote);
  }
  if (conn->sent > conn->out.size() / 2) {
    conn->out.erase(0, conn->sent);
    conn->sent = 0;
    if (conn->out.empty() && conn->out.capacity() > (64 << 10)) conn->out.shrink_to_fit();
  }
  if (conn->fd && conn->awaits_room != (conn->unsent() > 0)) {
    conn->awaits_room = conn->unsent() > 0;
    epoll_event event{EPOLLIN | (conn->awaits_room ? EPOLLOUT : 0u), {.u64 = conn->id}};
    epoll_ctl(epoll.get(), EPOLL_CTL_MOD, conn->fd.get(), &event);
  }
}

void Listener::Impl::refuse_with(const ConnPtr& conn, const Error& error) {
  enqueue(conn, make_refusal(error));
  conn->closing = true;
  mark_dirty(conn);
}

bool Listener::Impl::count_user(uid_t uid, int change) {
  const std::lock_guard lock(users_mutex);
  std::size_t& count = of_user[uid];
  const bool fits = change < 0 || uid == 0 || uid == geteuid() || count < options.max_of_user;
  if (fits) count = change < 0 ? count - 1 : count + 1;
  if (count == 0) of_user.erase(uid);
  return fits;
}

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::start(const ListenerOptions& options,
                                                  ListenerCallbacks callbacks) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->callbacks = std::move(callbacks);
  if (auto bound = impl->bind(); !bound) return bound.error();
  impl->start_threads();
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

std::uint16_t Listener::port() const { return impl_->port; }
bool Listener::send(ConnId conn, std::string_view plaintext) { return impl_->send(conn, plaintext); }
std::size_t Listener::unread(ConnId conn) const { return impl_->unread(conn); }
void Listener::close(ConnId conn) { impl_->close(conn); }
void Listener::stop() { impl_->stop(); }

ListenerStats Listener::stats() const {
  const Counters& n = impl_->n;
  return {n.accepted,    n.authenticated, n.refused,       n.broken,   n.overrun,
          n.timed_out,   n.messages_in,   n.messages_out,  n.bytes_in, n.bytes_out,
          n.connections, n.handshakes,    n.outbound_bytes};
}

}  // namespace bai::wire
