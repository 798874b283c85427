#include "base/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bai {

namespace {

const char* code_of(int err) {
  switch (err) {
    case ENOENT:
    case ENOTDIR:
      return "not_found";
    case EEXIST:
      return "exists";
    case EACCES:
    case EPERM:
    case EROFS:
      return "permission_denied";
    case ENOSPC:
    case EDQUOT:
      return "no_space";
    case EMFILE:
    case ENFILE:
      return "too_many_files";
    case ETIMEDOUT:
      return "timed_out";
    default:
      return "io_error";
  }
}

void wait_for(int fd, short events) {
  pollfd p{fd, events, 0};
  ::poll(&p, 1, -1);
}

Result<std::string> read_to_end(int fd, std::size_t max_bytes, const std::string& place) {
  std::string out;
  struct stat st {};
  // The size is a hint only: /proc's files say 0, growing files say too little.
  std::size_t room = 4096;
  if (::fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
    if (static_cast<std::uint64_t>(st.st_size) > max_bytes)
      return Error{"too_large", "more than " + std::to_string(max_bytes) + " bytes", place};
    room = static_cast<std::size_t>(st.st_size) + 1;
  }
  std::size_t have = 0;
  for (;;) {
    if (have == out.size()) out.resize(have + std::min(std::max(room, have), max_bytes + 1 - have));
    const ssize_t n = ::read(fd, out.data() + have, out.size() - have);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        wait_for(fd, POLLIN);
        continue;
      }
      return errno_error("cannot read", place, errno);
    }
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
    if (have > max_bytes)
      return Error{"too_large", "more than " + std::to_string(max_bytes) + " bytes", place};
  }
  out.resize(have);
  return out;
}

Status change_flag(int fd, int get, int set, int flag, bool on) {
  const int old = ::fcntl(fd, get);
  if (old < 0) return errno_error("cannot read descriptor flags", "", errno);
  const int wanted = on ? old | flag : old & ~flag;
  if (wanted != old && ::fcntl(fd, set, wanted) < 0)
    return errno_error("cannot set descriptor flags", "", errno);
  return {};
}

}  // namespace

Error errno_error(std::string what, std::string place, int err) {
  return Error{code_of(err), std::move(what) + ": " + std::strerror(err), std::move(place)};
}

void Fd::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0) return;
  const int keep = errno;
  ::close(old);  // Linux closes also when it says EINTR; there is nothing to repeat
  errno = keep;
}

Result<Fd> open_fd(const std::string& path, int flags, unsigned mode) {
  int fd;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno_error("cannot open", path, errno);
  return Fd(fd);
}

Result<std::string> read_all(int fd, std::size_t max_bytes) { return read_to_end(fd, max_bytes, ""); }

Result<std::string> read_all(const std::string& path, std::size_t max_bytes) {
  auto fd = open_fd(path, O_RDONLY);
  if (!fd) return fd.error();
  return read_to_end(fd->get(), max_bytes, path);
}

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      wait_for(fd, POLLOUT);
    } else if (errno != EINTR) {
      return errno_error("cannot write", "", errno);
    }
  }
  return {};
}

Status set_nonblocking(int fd, bool on) { return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on); }
Status set_cloexec(int fd, bool on) { return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on); }

Result<Pipe> make_pipe(int flags) {
  int ends[2];
  if (::pipe2(ends, flags | O_CLOEXEC) < 0) return errno_error("cannot make a pipe", "", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<Wakeup> Wakeup::create() {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return errno_error("cannot make an eventfd", "", errno);
  return Wakeup(std::move(fd));
}

void Wakeup::notify() const noexcept {
  const int keep = errno;
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, thus readable already.
  while (::write(fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = keep;
}

bool Wakeup::consume() const noexcept {
  std::uint64_t count = 0;
  ssize_t n;
  do n = ::read(fd_.get(), &count, sizeof count);
  while (n < 0 && errno == EINTR);
  return n == sizeof count;
}

}  // namespace bai
