// Users as this node knows them (getpwuid(3), getgrouplist(3)), remembered for a minute: a name service may be slow.
// One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace bai::agent {

struct User {
  std::uint32_t uid = 0;
  std::string name, home, shell;
  std::vector<std::uint32_t> groups;  // of this user with that gid
};

class Users {
 public:
  // Errors: unknown_user; user_lookup (the name service failed: try again later).
  Result<User> find(std::uint32_t uid, std::uint32_t gid, std::int64_t mono_ms);

 private:
  struct Known {
    User user;
    std::int64_t until_ms = 0;
  };
  std::map<std::pair<std::uint32_t, std::uint32_t>, Known> known_;
};

}  // namespace bai::agent
