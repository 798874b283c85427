#include "controller/users.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "base/text.h"

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

// `user` as a name, else as a uid. An error of the system's is no proof that there is none.
bool is_known(const std::string& user) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found) return true;
  if (!all_digits(user) || user.size() > 10) return false;
  const auto uid = static_cast<uid_t>(std::stoull(user));
  return getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found;
}

}  // namespace

std::vector<std::string> Users::unknown(const std::vector<std::string>& users) {
  std::vector<std::string> out;
  const auto now = std::chrono::steady_clock::now();
  for (const auto& user : users) {
    std::optional<bool> known;
    {
      std::lock_guard lock(mutex_);
      auto it = known_.find(user);
      if (it != known_.end() && it->second.second > now) known = it->second.first;
    }
    if (!known) {
      known = is_known(user);
      std::lock_guard lock(mutex_);
      if (known_.size() > 10'000) known_.clear();
      known_[user] = {*known, now + std::chrono::minutes(1)};
    }
    if (!*known) out.push_back(user);
  }
  return out;
}

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
