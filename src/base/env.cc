#include "base/env.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/fd.h"

namespace bai {

namespace {

// Depth of remove_tree: each level holds a descriptor.
constexpr int kMaxTreeDepth = 256;

struct CloseDir {
  void operator()(DIR* d) const { ::closedir(d); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

std::int64_t clock_us(clockid_t clock) {
  timespec ts{};
  ::clock_gettime(clock, &ts);
  return std::int64_t{ts.tv_sec} * 1'000'000 + ts.tv_nsec / 1000;
}

void system_random(void* out, std::size_t size) {
  auto* p = static_cast<unsigned char*>(out);
  while (size > 0) {
    const ssize_t n = ::getrandom(p, size, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      std::perror("getrandom");
      std::abort();  // no caller could go on without randomness
    }
    p += n;
    size -= static_cast<std::size_t>(n);
  }
}

// Runs `act` (0 or -1 with errno) unless file_step has another opinion. Returns 0 or an errno value.
template <class Act>
int step(const Env& env, const FileStep& what, Act&& act) {
  if (env.file_step) {
    const int verdict = env.file_step(what);
    if (verdict == Env::kPretend) return 0;
    if (verdict != 0) return verdict;
  }
  for (;;) {
    if (act() == 0) return 0;
    if (errno != EINTR) return errno;
  }
}

// fsync is not repeated after a failure of any kind: the kernel forgets the pages.
int sync_step(const Env& env, FileOp op, const std::string& path, int fd) {
  return step(env, {op, path}, [&] {
    const int rc = ::fsync(fd);
    if (rc != 0 && errno == EINTR) errno = EIO;
    return rc;
  });
}

// All of `bytes`, as one step. errno value.
int write_step(const Env& env, const std::string& path, int fd, std::string_view bytes) {
  return step(env, {FileOp::write, path}, [&] {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0) {
        if (errno == EINTR) continue;
        return -1;
      }
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return 0;
  });
}

int remove_at(int parent, const char* name, int depth) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return errno;
  const int unlink_error = errno;
  Fd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return errno == ENOTDIR ? unlink_error : errno;
  if (depth >= kMaxTreeDepth) return ELOOP;
  Dir dir(::fdopendir(fd.get()));
  if (!dir) return errno;
  const int dir_fd = fd.release();
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (!entry) {
      if (errno != 0) return errno;
      break;
    }
    const std::string_view n = entry->d_name;
    if (n == "." || n == "..") continue;
    if (const int err = remove_at(dir_fd, entry->d_name, depth + 1)) return err;
  }
  dir.reset();
  if (::unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
  return errno;
}

}  // namespace

std::string parent_dir(const std::string& path) {
  const auto end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const auto slash = path.find_last_of('/', end);
  if (slash == std::string::npos) return ".";
  const auto last = path.find_last_not_of('/', slash);
  return last == std::string::npos ? "/" : path.substr(0, last + 1);
}

bool is_temporary_name(std::string_view name) { return name.starts_with(kTemporaryPrefix); }

Env Env::real() {
  Env env;
  env.now = [] { return Time{clock_us(CLOCK_REALTIME)}; };
  env.monotonic_ms = [] { return clock_us(CLOCK_MONOTONIC) / 1000; };
  env.random_bytes = system_random;
  return env;
}

std::uint64_t Env::random_u64() const {
  std::uint64_t out = 0;
  random_bytes(&out, sizeof out);
  return out;
}

Status Env::sync_dir(const std::string& path) const {
  auto dir = open_fd(path, O_RDONLY | O_DIRECTORY);
  if (!dir) return dir.error();
  if (const int err = sync_step(*this, FileOp::sync_dir, path, dir->get()))
    return errno_error("cannot sync the directory", path, err);
  return {};
}

Status Env::write_file_atomic(const std::string& path, std::string_view bytes, unsigned mode) const {
  const std::string dir = parent_dir(path);
  char suffix[20];
  std::snprintf(suffix, sizeof suffix, "%016llx", static_cast<unsigned long long>(random_u64()));
  const std::string temp = (dir == "/" ? dir : dir + "/") + std::string(kTemporaryPrefix) + suffix;

  Fd fd;
  int err = step(*this, {FileOp::create, temp}, [&] {
    fd.reset(::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    return fd ? 0 : -1;
  });
  if (err != 0 || !fd) return errno_error("cannot create a file beside it", path, err != 0 ? err : EIO);
  const char* what = "cannot set the mode";
  if (::fchmod(fd.get(), mode) != 0) err = errno;
  if (err == 0) {
    what = "cannot write";
    err = write_step(*this, temp, fd.get(), bytes);
  }
  if (err == 0) {
    what = "cannot sync";
    err = sync_step(*this, FileOp::sync, temp, fd.get());
  }
  fd.reset();
  if (err == 0) {
    what = "cannot rename into place";
    err = step(*this, {FileOp::rename, temp, path}, [&] { return ::rename(temp.c_str(), path.c_str()); });
  }
  if (err != 0) {
    ::unlink(temp.c_str());
    return errno_error(what, path, err);
  }
  return sync_dir(dir);
}

Status Env::append_durable(const std::string& path, std::string_view bytes, unsigned mode) const {
  Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
  const bool is_new = !fd && errno == ENOENT;
  int err = 0;
  if (is_new) {
    err = step(*this, {FileOp::create, path}, [&] {
      fd.reset(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode));
      return fd && ::fchmod(fd.get(), mode) == 0 ? 0 : -1;
    });
  } else if (!fd) {
    err = errno;
  }
  if (err != 0 || !fd) return errno_error("cannot open for appending", path, err != 0 ? err : EIO);
  const off_t before = ::lseek(fd.get(), 0, SEEK_END);
  if (before < 0) return errno_error("cannot append", path, errno);
  if ((err = write_step(*this, path, fd.get(), bytes)) != 0) {
    // If even this fails the record's own checksum tells the reader.
    if (::ftruncate(fd.get(), before) != 0)
      return errno_error("cannot append, nor cut off the torn end", path, err);
    return errno_error("cannot append", path, err);
  }
  if ((err = sync_step(*this, FileOp::sync, path, fd.get())) != 0)
    return errno_error("cannot sync", path, err);
  return is_new ? sync_dir(parent_dir(path)) : Status{};
}

Status Env::remove_durable(const std::string& path) const {
  const int err = step(*this, {FileOp::remove, path}, [&] { return ::unlink(path.c_str()); });
  // Absent is success, but an earlier removal may not be on the disk yet.
  if (err != 0 && err != ENOENT) return errno_error("cannot remove", path, err);
  return sync_dir(parent_dir(path));
}

Result<std::string> Env::read_file(const std::string& path, std::size_t max_bytes) const {
  return read_all(path, max_bytes);
}

Status Env::make_dirs(const std::string& path, unsigned mode) const {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) return {};
    return errno_error("cannot make the directory", path, ENOTDIR);
  }
  const std::string parent = parent_dir(path);
  if (parent != path && parent != "." && parent != "/")
    if (auto ok = make_dirs(parent, mode); !ok) return ok;
  const int err = step(*this, {FileOp::make_dir, path}, [&] {
    // Two processes may make the same tree; only the one whose mkdir succeeds sets the mode.
    if (::mkdir(path.c_str(), mode) != 0) return errno == EEXIST ? 0 : -1;
    return ::chmod(path.c_str(), mode);
  });
  if (err != 0) return errno_error("cannot make the directory", path, err);
  return sync_dir(parent);
}

Status Env::remove_tree(const std::string& path) const {
  const int err = step(*this, {FileOp::remove, path}, [&] {
    errno = remove_at(AT_FDCWD, path.c_str(), 0);
    return errno == 0 ? 0 : -1;
  });
  if (err != 0) return errno_error("cannot remove the tree", path, err);
  return {};
}

Result<std::vector<std::string>> Env::list_dir(const std::string& path, std::size_t max_entries) const {
  Dir dir(::opendir(path.c_str()));
  if (!dir) return errno_error("cannot list", path, errno);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (!entry) {
      if (errno != 0) return errno_error("cannot list", path, errno);
      break;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() >= max_entries)
      return Error{"too_large", "more than " + std::to_string(max_entries) + " entries", path};
    names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace bai
