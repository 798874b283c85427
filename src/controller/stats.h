// Stats: what the controller counts about itself, for bai-diag. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "store/store.h"
#include "wire/messages.h"

namespace bai::controller {

// Durations in logarithmic buckets, eight to each doubling: p50 and p99 within nine percent.
class Histogram {
 public:
  void add(std::int64_t us);
  std::int64_t quantile(double q) const;  // microseconds; 0 when empty
  std::uint64_t count() const { return count_; }
  std::int64_t max() const { return max_; }
  double mean() const { return count_ ? sum_ / static_cast<double>(count_) : 0; }

 private:
  std::array<std::uint64_t, 320> buckets_{};
  std::uint64_t count_ = 0;
  std::int64_t max_ = 0;
  double sum_ = 0;
};

class Stats {
 public:
  explicit Stats(Time since) : since_(since) {}
  void request(std::string_view name, std::int64_t us);
  void commit(std::size_t changes, std::int64_t us);
  // How many jobs were submitted, started and ended by these changes.
  void moves(const std::vector<store::Change>& changes);
  void pass(std::uint64_t jobs_tried, std::size_t starts, std::int64_t us);
  void count(std::string_view name, std::uint64_t n = 1);
  void reset(Time now);
  std::vector<wire::Metric> metrics() const;
  Time since() const;

 private:
  mutable std::mutex mutex_;
  Time since_;
  std::map<std::string, Histogram, std::less<>> requests_;
  Histogram commits_, passes_;
  std::uint64_t changes_ = 0, tried_ = 0, starts_ = 0;
  std::map<std::string, std::uint64_t, std::less<>> counts_;
  std::uint64_t submitted_ = 0;
  std::array<std::uint64_t, kJobStates> moved_{};  // into this state
};

}  // namespace bai::controller
