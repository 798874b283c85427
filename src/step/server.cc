#include "step/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bai::step {

namespace {

// Frames taken from one client before the others get their turn.
constexpr int kFramesPerTurn = 16;

bool send_frame(int fd, const std::string& frame) {
  return send(fd, frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(frame.size());
}

}  // namespace

StepServer::StepServer(Fd fd, uid_t allowed, Handler handler)
    : listener_(std::move(fd)), allowed_(allowed), handler_(std::move(handler)) {}

Result<StepServer> StepServer::listen(uid_t allowed, Handler handler) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "sock");
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error("cannot make a socket", "sock", errno);
  const mode_t old = umask(0177);
  int rc = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (rc != 0 && errno == EADDRINUSE && unlink(address.sun_path) == 0)
    rc = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int err = errno;
  umask(old);
  if (rc != 0) return errno_error("cannot bind", "sock", err);
  if (::listen(fd.get(), kMaxClients) != 0) return errno_error("cannot listen on", "sock", errno);
  return StepServer(std::move(fd), allowed, std::move(handler));
}

void StepServer::add_pollfds(std::vector<pollfd>* fds) const {
  fds->push_back({listener_.get(), POLLIN, 0});
  for (const Client& client : clients_) fds->push_back({client.fd.get(), POLLIN, 0});
}

void StepServer::serve(const std::vector<pollfd>& fds) {
  auto ready = [&](int fd) {
    return std::any_of(fds.begin(), fds.end(), [&](const pollfd& p) { return p.fd == fd && p.revents != 0; });
  };
  for (size_t i = 0; i < clients_.size();) {
    if (ready(clients_[i].fd.get()) && !serve_client(clients_[i]))
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(i));
    else
      ++i;
  }
  if (ready(listener_.get())) admit();
}

void StepServer::admit() {
  for (;;) {
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) continue;
    if (peer.uid != allowed_ && peer.uid != 0) continue;
    if (clients_.size() < kMaxClients) clients_.push_back({std::move(fd)});
  }
}

bool StepServer::serve_client(Client& client) {
  char buffer[kMaxFrame];
  for (int i = 0; i < kFramesPerTurn; ++i) {
    const ssize_t n = recv(client.fd.get(), buffer, sizeof buffer, MSG_TRUNC | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0 || static_cast<size_t>(n) > sizeof buffer) return false;
    auto request = decode_request({buffer, static_cast<size_t>(n)});
    Reply reply;
    if (request.ok()) {
      reply = handler_(*request);
      client.subscribed |= std::holds_alternative<SubscribeRequest>(*request);
    } else {
      reply = RefusedReply{request.error().code, request.error().message};
    }
    if (!send_frame(client.fd.get(), encode_reply(reply))) return false;
  }
  return true;
}

void StepServer::publish(const Reply& reply) {
  const std::string frame = encode_reply(reply);
  for (Client& client : clients_)
    if (client.subscribed) send_frame(client.fd.get(), frame);
}

}  // namespace bai::step
