// Users: uid to names and groups, asked of the system (NSS) and kept for a minute. Any thread; a miss may block on NSS.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "controller/io.h"

namespace bai::controller {

class Users {
 public:
  explicit Users(std::uint32_t bai_uid) : bai_uid_(bai_uid) {}
  Caller resolve(std::uint32_t uid, std::uint32_t gid);
  // Those of `users` (names or uids) that the system does not know.
  std::vector<std::string> unknown(const std::vector<std::string>& users);

 private:
  struct Entry {
    Caller caller;
    std::chrono::steady_clock::time_point until;
  };
  std::uint32_t bai_uid_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> cache_;
  std::unordered_map<std::string, std::pair<bool, std::chrono::steady_clock::time_point>> known_;
};

}  // namespace bai::controller
