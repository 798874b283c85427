#include "agent/users.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace bai::agent {

namespace {
constexpr std::int64_t kKeepMs = 60'000;
constexpr int kMaxGroups = 65536;
}  // namespace

Result<User> Users::find(std::uint32_t uid, std::uint32_t gid, std::int64_t mono_ms) {
  auto it = known_.find({uid, gid});
  if (it != known_.end() && mono_ms < it->second.until_ms) return it->second.user;

  std::vector<char> buffer(16 << 10);
  passwd entry{};
  passwd* found = nullptr;
  int err;
  while ((err = getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found)) == ERANGE &&
         buffer.size() < (1u << 20))
    buffer.resize(buffer.size() * 2);
  if (!found && (err == 0 || err == ENOENT || err == ESRCH))
    return Error{"unknown_user", "does not know uid " + std::to_string(uid)};
  if (!found) return Error{"user_lookup", "cannot look up uid " + std::to_string(uid) + ": " + strerror(err)};

  User user{uid, entry.pw_name, entry.pw_dir, entry.pw_shell, {}};
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (getgrouplist(entry.pw_name, gid, groups.data(), &count) < 0) {
    if (count > kMaxGroups || static_cast<std::size_t>(count) <= groups.size())
      return Error{"user_lookup", std::string("cannot list the groups of ") + entry.pw_name};
    groups.resize(static_cast<std::size_t>(count));
  }
  user.groups.assign(groups.begin(), groups.begin() + count);
  if (known_.size() > 4096) known_.clear();
  known_[{uid, gid}] = {user, mono_ms + kKeepMs};
  return user;
}

}  // namespace bai::agent
