#include "step/client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <cerrno>
#include <cstdio>

namespace bai::step {

namespace {

Error gone() { return Error{"gone", "nobody listens: the step ended or its shepherd died"}; }

int64_t monotonic_ms() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1'000'000;
}

}  // namespace

Result<StepClient> StepClient::connect(const std::string& dir) {
  auto at = open_fd(dir, O_PATH | O_DIRECTORY);
  if (!at.ok()) return at.error();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/sock", at->get());
  Fd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno_error("cannot make a socket", dir, errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED) return gone();
    return errno_error("cannot connect to", dir + "/sock", errno);
  }
  return StepClient(std::move(fd));
}

Status StepClient::send(const Request& request) {
  const std::string frame = encode_request(request);
  if (frame.size() > kMaxFrame) return Error{"too_long", "a request is longer than a shepherd takes"};
  for (;;) {
    if (::send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return gone();
    if (errno == EAGAIN) return Error{"busy", "the shepherd does not read"};
    return errno_error("cannot send to a shepherd", "", errno);
  }
}

Result<std::optional<Reply>> StepClient::receive() {
  char buffer[kMaxFrame];
  for (;;) {
    const ssize_t n = recv(fd_.get(), buffer, sizeof buffer, MSG_TRUNC);
    if (n > 0) {
      if (static_cast<size_t>(n) > sizeof buffer) return Error{"bad_reply", "a frame is too long"};
      auto reply = decode_reply({buffer, static_cast<size_t>(n)});
      if (!reply.ok()) return reply.error();
      return std::optional<Reply>(std::move(*reply));
    }
    if (n == 0) return gone();
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return std::optional<Reply>();
    if (errno == ECONNRESET) return gone();
    return errno_error("cannot read from a shepherd", "", errno);
  }
}

Result<Reply> StepClient::wait(int timeout_ms) {
  const int64_t until = monotonic_ms() + timeout_ms;
  for (;;) {
    auto reply = receive();
    if (!reply.ok()) return reply.error();
    if (*reply) return std::move(**reply);
    const int64_t left = until - monotonic_ms();
    if (left <= 0) return Error{"timeout", "the shepherd did not answer in time"};
    pollfd p{fd_.get(), POLLIN, 0};
    poll(&p, 1, static_cast<int>(left));
  }
}

Result<Reply> StepClient::call(const Request& request, int timeout_ms) {
  if (auto sent = send(request); !sent.ok()) return sent.error();
  return wait(timeout_ms);
}

}  // namespace bai::step
