// Whose jobs are on a node, as --exclusive=user and ExclusiveUser partitions need to know (sbatch(1), slurm.conf(5)).
// Plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace bai::sokovan {

struct Tenancy {
  static constexpr std::uint32_t kNobody = 0xffffffff, kSeveral = 0xfffffffe;  // no uids

  std::uint32_t user = kNobody;
  bool closed = false;  // one of the jobs wants none of another user's beside it

  // Whether a job of that user may come; `closing`: it is such a job itself.
  bool admits(std::uint32_t uid, bool closing) const {
    return user == kNobody || user == uid || (!closed && !closing);
  }
  void add(std::uint32_t uid, bool closing) {
    user = user == kNobody || user == uid ? uid : kSeveral;
    closed |= closing;
  }
};

// Counts them.
class Tenants {
 public:
  void add(std::uint32_t uid, bool closing) {
    closing_ += closing;
    for (auto& [user, jobs] : users_)
      if (user == uid) return void(++jobs);
    users_.emplace_back(uid, 1);
  }
  void remove(std::uint32_t uid, bool closing) {
    closing_ -= closing;
    auto it = std::find_if(users_.begin(), users_.end(), [&](const auto& one) { return one.first == uid; });
    if (it != users_.end() && --it->second == 0) users_.erase(it);
  }
  Tenancy tenancy() const {
    const auto user = users_.empty()       ? Tenancy::kNobody
                      : users_.size() == 1 ? users_[0].first
                                           : Tenancy::kSeveral;
    return {user, closing_ != 0};
  }

 private:
  std::vector<std::pair<std::uint32_t, std::uint32_t>> users_;  // and how many jobs; few
  std::uint32_t closing_ = 0;
};

}  // namespace bai::sokovan
