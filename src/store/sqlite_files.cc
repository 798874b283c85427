#include "store/sqlite_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace bai::store {

namespace {

struct FileSystem {
  unsigned long type;
  const char* name;
};
// linux/magic.h, and each project's own headers.
constexpr FileSystem kRefused[] = {
    {0x6969, "NFS"},       {0x517b, "SMB"},        {0xff534d42, "CIFS"},  {0xfe534d42, "SMB2"},
    {0x65735546, "FUSE"},  {0x0bd00bd0, "Lustre"}, {0x5346414f, "AFS"},   {0x6b414653, "AFS"},
    {0x00c36400, "Ceph"},  {0x01021997, "9p"},     {0x01161970, "GFS2"},  {0x7461636f, "OCFS2"},
    {0x47504653, "GPFS"},  {0x19830326, "BeeGFS"}, {0x20030528, "PVFS2"}, {0x73757245, "Coda"},
    {0xaad7aaea, "PanFS"}, {0x786f4256, "vboxsf"},
};

}  // namespace

const char* refused_file_system(unsigned long type) {
  const auto* found = std::find_if(std::begin(kRefused), std::end(kRefused),
                                   [&](const FileSystem& fs) { return fs.type == (type & 0xffffffff); });
  return found != std::end(kRefused) ? found->name : nullptr;
}

Status check_file_system(const std::string& directory) {
  struct statfs info {};
  if (statfs(directory.c_str(), &info) != 0) {
    Error error = errno_error("cannot look at the database's directory", directory, errno);
    error.remedy = "create it, owned by the user that the daemon runs as";
    return error;
  }
  if (const char* name = refused_file_system(static_cast<unsigned long>(info.f_type)))
    return Error{"network_file_system",
                 std::string("the database would be on a network file system (") + name + ")", directory,
                 "put it on a local disk, or use PostgreSQL"};
  return {};
}

Result<FileLock> FileLock::take(const std::string& file) {
  FileLock lock;
  auto fd = open_fd(file, O_RDWR | O_CREAT, 0600);
  if (!fd) return fd.error();
  lock.fd_ = std::move(*fd);
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(lock.fd_.get(), F_OFD_SETLK, &whole) != 0) {
    if (errno != EAGAIN && errno != EACCES) return errno_error("cannot lock", file, errno);
    char owner[32] = {};
    const auto n = pread(lock.fd_.get(), owner, sizeof owner - 1, 0);
    std::string pid(owner, n > 0 ? static_cast<std::size_t>(n) : 0);
    pid = pid.substr(0, pid.find('\n'));
    return Error{"locked", "the database is in use by process " + (pid.empty() ? "?" : pid), file,
                 "stop that process first"};
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock.fd_.get(), 0) != 0 ||
      pwrite(lock.fd_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    // Only the name in an error of another process: not worth failing on a full disk.
  }
  return lock;
}

Status Ballast::take() {
  if (held_ || bytes_ == 0) return {};
  auto fd = open_fd(file_, O_RDWR | O_CREAT, 0600);
  if (!fd) return fd.error();
  if (const int err = posix_fallocate(fd->get(), 0, static_cast<off_t>(bytes_)); err != 0) {
    if (ftruncate(fd->get(), 0) != 0) return errno_error("cannot truncate", file_, errno);
    return errno_error("cannot reserve space", file_, err);
  }
  held_ = true;
  return {};
}

Status Ballast::release() {
  held_ = false;
  if (unlink(file_.c_str()) != 0 && errno != ENOENT) return errno_error("cannot remove", file_, errno);
  return {};
}

}  // namespace bai::store
