// Estimates: how first estimates of starts turned out. Private to sokovan; one thread.
#pragma once

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "model/explanation.h"

namespace bai::sokovan {

class Estimates {
 public:
  // The job was told a time. Only the first counts: later ones know more.
  void told(JobId job, Time expected) { open_.try_emplace(job, expected); }
  // How much later than that it started, if it was told.
  std::optional<Seconds> started(JobId job, Time now) {
    auto it = open_.find(job);
    if (it == open_.end()) return std::nullopt;
    const Seconds late = (now.us - it->second.us) / 1'000'000;
    open_.erase(it);
    add(late);
    return late;
  }
  void add(Seconds late) {
    if (late_s_.size() < kKept)
      late_s_.push_back(late);
    else
      late_s_[next_++ % kKept] = late;
  }
  // It left the queue without starting.
  void gone(JobId job) { open_.erase(job); }

  EstimateRecord record() const {
    EstimateRecord out;
    auto sorted = late_s_;
    std::sort(sorted.begin(), sorted.end());
    out.count = static_cast<std::uint32_t>(sorted.size());
    if (sorted.empty()) return out;
    const auto at = [&](std::size_t twentieths) { return sorted[(sorted.size() - 1) * twentieths / 20]; };
    out.low_s = at(1);
    out.median_s = at(10);
    out.high_s = sorted[sorted.size() - 1 - (sorted.size() - 1) / 20];
    return out;
  }

 private:
  static constexpr std::size_t kKept = 1000;
  std::unordered_map<JobId, Time> open_;
  std::vector<std::int64_t> late_s_;
  std::size_t next_ = 0;
};

}  // namespace bai::sokovan
