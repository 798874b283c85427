// Fd: a file descriptor that one place owns and that closes itself, with the few loops that everybody needs
// around read(2) and write(2). Everything opened here is close-on-exec.
// A value of Fd belongs to one thread at a time; the free functions may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace bai {

// The Error for an errno value. `what` says what was tried ("cannot open"), `place` where (a path). Codes: not_found,
// exists, permission_denied, no_space, too_many_files, timed_out, io_error for the rest.
Error errno_error(std::string what, std::string place, int err);

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}  // takes ownership; -1 is "none"
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // Gives ownership to the caller.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  // Closes what is held (keeping errno) and holds `fd` instead.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

// open(2) with O_CLOEXEC added, restarted after EINTR.
Result<Fd> open_fd(const std::string& path, int flags, unsigned mode = 0);

// Everything up to end of file. More than `max_bytes` is Error too_large, and no more than that is ever held.
// A non-blocking descriptor is waited for.
Result<std::string> read_all(int fd, std::size_t max_bytes);
Result<std::string> read_all(const std::string& path, std::size_t max_bytes);

// Writes every byte; a non-blocking descriptor is waited for. SIGPIPE is the caller's business.
Status write_all(int fd, std::string_view bytes);

Status set_nonblocking(int fd, bool on = true);
Status set_cloexec(int fd, bool on = true);

struct Pipe {
  Fd read;
  Fd write;
};
// pipe2(2); `flags` may hold O_NONBLOCK, O_CLOEXEC is always added.
Result<Pipe> make_pipe(int flags = 0);

// Wakes a thread that sleeps in poll, epoll or zmq_poll: an eventfd. Many notifications before one consume are one.
class Wakeup {
 public:
  static Result<Wakeup> create();

  // Makes fd() readable. Any thread, also from a signal handler.
  void notify() const noexcept;
  // Makes fd() unreadable again. Returns whether anybody had notified. The sleeping thread only.
  bool consume() const noexcept;
  int fd() const { return fd_.get(); }

 private:
  explicit Wakeup(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace bai
