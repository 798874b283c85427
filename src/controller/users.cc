#include "controller/users.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <vector>

namespace bai::controller {
namespace {

std::string group_name(gid_t gid) {
  std::vector<char> buffer(16384);
  group entry{};
  group* found = nullptr;
  if (getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found) == 0 && found) return found->gr_name;
  return std::to_string(gid);
}

Caller ask_system(std::uint32_t uid, std::uint32_t gid) {
  Caller caller;
  caller.uid = uid;
  caller.gid = gid;
  caller.group = group_name(gid);
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || !found) {
    caller.user = std::to_string(uid);
    caller.groups = {caller.group};
    return caller;
  }
  caller.user = found->pw_name;
  std::vector<gid_t> gids(64);
  int count = static_cast<int>(gids.size());
  if (getgrouplist(found->pw_name, gid, gids.data(), &count) < 0) {
    gids.resize(static_cast<std::size_t>(count));
    getgrouplist(found->pw_name, gid, gids.data(), &count);
  }
  gids.resize(static_cast<std::size_t>(count));
  for (gid_t one : gids) caller.groups.push_back(group_name(one));
  return caller;
}

}  // namespace

Caller Users::resolve(std::uint32_t uid, std::uint32_t gid) {
  std::uint64_t key = static_cast<std::uint64_t>(uid) << 32 | gid;
  auto now = std::chrono::steady_clock::now();
  {
    std::lock_guard lock(mutex_);
    auto it = cache_.find(key);
    if (it != cache_.end() && it->second.until > now) return it->second.caller;
  }
  Caller caller = ask_system(uid, gid);
  caller.is_operator = uid == 0 || uid == bai_uid_;
  std::lock_guard lock(mutex_);
  if (cache_.size() > 10'000) cache_.clear();
  cache_[key] = {caller, now + std::chrono::minutes(1)};
  return caller;
}

}  // namespace bai::controller
