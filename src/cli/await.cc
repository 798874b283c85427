#include "cli/await.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace bai::cli {

using Clock = wire::Client::Clock;

Fd interruptions() {
  sigset_t set;
  sigemptyset(&set);
  for (int signum : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&set, signum);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Result<std::optional<wire::ReplyBody>> await_reply(Session& session, const RequestId& id, int signals,
                                                   std::optional<Clock::time_point> until,
                                                   bool& interrupted) {
  const std::optional<wire::ReplyBody> nothing;
  for (;;) {
    auto reply = session.poll_reply();
    if (!reply.ok()) return reply.error();
    if (*reply) {
      // A request that could not be read is refused without its number.
      auto* refusal = std::get_if<wire::ErrorBody>(&(*reply)->body);
      if ((*reply)->id != id && !(refusal && (*reply)->id.empty())) continue;
      if (refusal) return refusal->error;
      return std::optional(std::move((*reply)->body));
    }
    pollfd fds[2] = {{session.fd(), POLLIN, 0}, {signals, POLLIN, 0}};
    int wait = -1;
    if (until) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - Clock::now()).count();
      if (left <= 0) return nothing;
      wait = static_cast<int>(left);
    }
    if (poll(fds, 2, wait) < 0 && errno != EINTR)
      return errno_error("cannot wait for", "the controller", errno);
    if (fds[1].revents) {
      signalfd_siginfo info;
      (void)!read(signals, &info, sizeof info);
      interrupted = true;
      return nothing;
    }
  }
}

}  // namespace bai::cli
