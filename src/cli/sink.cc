#include "cli/sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace bai::cli {

Sink::Sink(Fd fd) : fd_(std::move(fd)) {}

Sink Sink::shared(int fd) {
  struct stat st {};
  fstat(fd, &st);
  Fd own;
  // An open file of our own, which may be non-blocking: that is a property that others would share.
  if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
    own.reset(
        open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!own) own.reset(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  Sink sink(std::move(own));
  sink.socket_ = S_ISSOCK(st.st_mode);
  return sink;
}

void Sink::write(std::string_view bytes) {
  if (broken_ != 0) return;
  if (kept_.empty()) bytes.remove_prefix(put(bytes));
  if (broken_ == 0) kept_ += bytes;
}

// How many were taken.
std::size_t Sink::put(std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::string_view rest = bytes.substr(done);
    const ssize_t n = socket_ ? send(fd_.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                              : ::write(fd_.get(), rest.data(), rest.size());
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (n < 0 && errno == EAGAIN) {
      break;
    } else if (n == 0 || errno != EINTR) {
      broken_ = n == 0 ? EIO : errno;
      break;
    }
  }
  return done;
}

void Sink::go_on() {
  kept_at_ += put(std::string_view(kept_).substr(kept_at_));
  if (kept_at_ < kept_.size() && broken_ == 0) return;
  kept_.clear();
  kept_at_ = 0;
}

void Sink::finish() {
  while (blocked()) {
    pollfd p{fd_.get(), POLLOUT, 0};
    if (poll(&p, 1, -1) > 0) go_on();
  }
}

}  // namespace bai::cli
