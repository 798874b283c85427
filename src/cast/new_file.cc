#include "cast/new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/env.h"
#include "base/text.h"

namespace bai::cast {

namespace {

Error failed(const std::string& path, int error) {
  if (error == EEXIST)
    return Error{"exists", "cannot write " + quote(path) + ": File exists", "", "add --force to replace it"};
  return Error{"io_error", "cannot write " + quote(path) + ": " + strerror(error)};
}

}  // namespace

Result<NewFile> NewFile::make(const std::string& path, bool replace) {
  NewFile out(path, replace);
  struct stat there {};
  if (lstat(path.c_str(), &there) == 0) {
    if (S_ISDIR(there.st_mode)) return failed(path, EISDIR);
    if (!replace) return failed(path, EEXIST);
  }
  const std::string dir = parent_dir(path);
  // Without a name it vanishes with us, however we end.
  out.fd_ = Fd(open(dir.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (out.fd_) return out;
  if (errno != EOPNOTSUPP && errno != EISDIR) return failed(path, errno);
  std::string name = dir + "/.bai-cast.XXXXXX";
  out.fd_ = Fd(mkostemp(name.data(), O_CLOEXEC));
  if (!out.fd_) return failed(path, errno);
  out.temporary_ = name;
  return out;
}

NewFile::~NewFile() {
  if (fd_ && !temporary_.empty()) unlink(temporary_.c_str());
}

Status NewFile::write(std::string_view bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(path_, errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Status NewFile::finish(const FileLook& look) {
  const timespec now{0, UTIME_NOW};
  const timespec times[2] = {look.read.value_or(now), look.written.value_or(now)};
  if (fchmod(fd_.get(), look.mode) != 0 || futimens(fd_.get(), times) != 0) return failed(path_, errno);
  const std::string own = "/proc/self/fd/" + std::to_string(fd_.get());
  if (temporary_.empty() && linkat(AT_FDCWD, own.c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    if (errno != EEXIST || !replace_) return failed(path_, errno);
    // A link replaces nothing; a rename does.
    for (int attempt = 0; temporary_.empty() && attempt < 100; ++attempt) {
      const std::string name =
          parent_dir(path_) + "/.bai-cast." + std::to_string(getpid()) + "." + std::to_string(attempt);
      if (linkat(AT_FDCWD, own.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0)
        temporary_ = name;
      else if (errno != EEXIST)
        return failed(path_, errno);
    }
    if (temporary_.empty()) return failed(path_, EEXIST);
  }
  if (!temporary_.empty()) {
    const unsigned how = replace_ ? 0 : RENAME_NOREPLACE;
    if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), how) != 0)
      return failed(path_, errno);
    temporary_.clear();
  }
  if (close(fd_.release()) != 0)
    return failed(path_, errno);  // a network's disk may say only now that it is full
  return {};
}

}  // namespace bai::cast
