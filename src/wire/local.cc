#include "wire/local.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>

namespace bai::wire {
namespace {

constexpr std::string_view kPrefix = "bai/";

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&name); }
};

// A name that begins with a NUL byte is abstract, see unix(7).
std::optional<Address> address_of(std::string_view endpoint) {
  Address a;
  if (1 + kPrefix.size() + endpoint.size() > sizeof a.name.sun_path) return std::nullopt;
  a.name.sun_family = AF_UNIX;
  std::memcpy(a.name.sun_path + 1, kPrefix.data(), kPrefix.size());
  std::memcpy(a.name.sun_path + 1 + kPrefix.size(), endpoint.data(), endpoint.size());
  a.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + kPrefix.size() + endpoint.size());
  return a;
}

Fd make_socket() { return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

}  // namespace

Result<Fd> listen_local(std::string_view endpoint, int backlog) {
  const auto failed = [&](const std::string& why) {
    return Error{"bind", "cannot listen to callers on this machine: " + why, std::string(endpoint),
                 "they use TCP instead"};
  };
  const auto address = address_of(endpoint);
  if (!address) return failed("the name is too long for a socket");
  Fd fd = make_socket();
  if (!fd || ::bind(fd.get(), address->get(), address->size) || listen(fd.get(), backlog))
    return failed(std::strerror(errno));
  return fd;
}

Fd connect_local(std::string_view endpoint, uid_t daemon) {
  const auto address = address_of(endpoint);
  Fd fd = make_socket();
  ucred peer{};
  socklen_t size = sizeof peer;
  // Any user may take an abstract name that is free; who did is known.
  if (!address || !fd || connect(fd.get(), address->get(), address->size) ||
      getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) || peer.uid != daemon)
    return {};
  return fd;
}

}  // namespace bai::wire
