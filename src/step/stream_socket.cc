#include "step/stream_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

namespace bai::step {

namespace {

constexpr int kBacklog = 1024;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

bool parse(const std::string& endpoint, Address* out) {
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) return false;
  std::string host = endpoint.substr(0, colon);
  uint16_t port = 0;
  const char* end = endpoint.data() + endpoint.size();
  auto [at, error] = std::from_chars(endpoint.data() + colon + 1, end, port);
  if (error != std::errc() || at != end || port == 0) return false;
  if (host.starts_with("[") && host.ends_with("]")) {
    auto* to = reinterpret_cast<sockaddr_in6*>(&out->storage);
    to->sin6_family = AF_INET6;
    to->sin6_port = htons(port);
    out->size = sizeof *to;
    return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &to->sin6_addr) == 1;
  }
  auto* to = reinterpret_cast<sockaddr_in*>(&out->storage);
  to->sin_family = AF_INET;
  to->sin_port = htons(port);
  out->size = sizeof *to;
  return inet_pton(AF_INET, host.c_str(), &to->sin_addr) == 1;
}

Result<Listener> listen_on(const sockaddr* address, socklen_t size) {
  Fd fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error("cannot make a socket", "", errno);
  if (address->sa_family == AF_INET6) {
    const int off = 0;
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (bind(fd.get(), address, size) != 0 || listen(fd.get(), kBacklog) != 0)
    return errno_error("cannot listen", "", errno);
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0)
    return errno_error("cannot learn the port", "", errno);
  const uint16_t port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                                          : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  return Listener{std::move(fd), port};
}

constexpr std::string_view kNearPrefix = "bai-step/";

// A name that begins with a NUL byte is abstract, see unix(7).
socklen_t near_address(const std::string& name, sockaddr_un* out) {
  const std::string text = std::string(kNearPrefix) + name;
  out->sun_family = AF_UNIX;
  const size_t length = text.copy(out->sun_path + 1, sizeof out->sun_path - 1);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length);
}

// The user who called, or who listens: as of connect(2) and listen(2).
std::optional<uid_t> other_end(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  return peer.uid;
}

}  // namespace

void tune(int fd) {
  const int on = 1, idle = 20, interval = 10, count = 4;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

Result<Fd> begin_connect(const std::string& endpoint) {
  Address address;
  if (!parse(endpoint, &address)) return Error{"bad_value", "no address and port: " + endpoint};
  Fd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error("cannot make a socket", endpoint, errno);
  tune(fd.get());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 &&
      errno != EINPROGRESS)
    return errno_error("cannot connect to", endpoint, errno);
  return fd;
}

int connect_error(int fd) {
  pollfd p{fd, POLLOUT, 0};
  if (poll(&p, 1, 0) <= 0) return EINPROGRESS;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

Result<Listener> listen_any(bool loopback_only, uint16_t port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(loopback_only ? INADDR_LOOPBACK : INADDR_ANY);
  if (!loopback_only) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    auto both = listen_on(reinterpret_cast<sockaddr*>(&six), sizeof six);
    if (both.ok()) return both;
  }
  return listen_on(reinterpret_cast<sockaddr*>(&four), sizeof four);
}

Result<Fd> listen_near(const std::string& name) {
  sockaddr_un address{};
  const socklen_t size = near_address(name, &address);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error("cannot make a socket", "", errno);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      listen(fd.get(), kBacklog) != 0)
    return errno_error("cannot listen", "", errno);
  return fd;
}

Fd connect_near(const std::string& name, uid_t user) {
  sockaddr_un address{};
  const socklen_t size = near_address(name, &address);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return {};
  return other_end(fd.get()) == user ? std::move(fd) : Fd();
}

bool may_call_near(int fd) {
  const auto user = other_end(fd);
  return user == 0u || user == geteuid();
}

std::string endpoint_text(const std::string& address, uint16_t port) {
  const bool six = address.find(':') != std::string::npos;
  return (six ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

}  // namespace bai::step
