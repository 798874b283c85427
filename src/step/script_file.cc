#include "step/script_file.h"

#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"

namespace bai::step {

namespace {

constexpr const char* kAttribute = "system.posix_acl_access";
constexpr int kReadExecute = ACL_READ | ACL_EXECUTE;

void put(std::string* out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> 8 * i & 0xff));
}

}  // namespace

std::string acl_for(uint32_t uid) {
  constexpr uint32_t kNoId = UINT32_MAX;
  struct Entry {
    int tag, permissions;
    uint32_t id;
  };
  std::string out;
  put(&out, POSIX_ACL_XATTR_VERSION, 4);
  for (const Entry& entry :
       {Entry{ACL_USER_OBJ, kReadExecute, kNoId}, Entry{ACL_USER, kReadExecute, uid},
        Entry{ACL_GROUP_OBJ, 0, kNoId}, Entry{ACL_MASK, kReadExecute, kNoId}, Entry{ACL_OTHER, 0, kNoId}}) {
    put(&out, static_cast<uint32_t>(entry.tag), 2);
    put(&out, static_cast<uint32_t>(entry.permissions), 2);
    put(&out, entry.id, 4);
  }
  return out;
}

Status write_script_file(const std::string& path, std::string_view text, uint32_t uid, uint32_t gid) {
  auto fd = open_fd(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0700);
  if (!fd.ok()) return fd.error();
  if (geteuid() == 0 && uid != 0) {
    const std::string acl = acl_for(uid);
    const bool kept = fsetxattr(fd->get(), kAttribute, acl.data(), acl.size(), 0) == 0;
    if (!kept && (errno != EOPNOTSUPP || fchown(fd->get(), uid, gid) != 0))
      return errno_error("cannot give away", path, errno);
  }
  return write_all(fd->get(), text);
}

}  // namespace bai::step
