#include "controller/stats.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/text.h"

namespace bai::controller {
namespace {

std::size_t bucket_of(std::int64_t us) {
  if (us < 8) return static_cast<std::size_t>(std::max<std::int64_t>(us, 0));
  auto value = static_cast<std::uint64_t>(us);
  int exponent = std::bit_width(value) - 1;  // at least 3
  auto eighth = (value >> (exponent - 3)) & 7;
  return static_cast<std::size_t>((exponent - 2) * 8) + eighth;
}

std::int64_t top_of(std::size_t bucket) {
  if (bucket < 8) return static_cast<std::int64_t>(bucket);
  int exponent = static_cast<int>(bucket / 8) + 2;
  return static_cast<std::int64_t>(((8 + bucket % 8 + 1) << (exponent - 3)) - 1);
}

}  // namespace

void Histogram::add(std::int64_t us) {
  buckets_[std::min(bucket_of(us), buckets_.size() - 1)]++;
  count_++;
  sum_ += static_cast<double>(us);
  max_ = std::max(max_, us);
}

std::int64_t Histogram::quantile(double q) const {
  auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank && seen > 0) return std::min(top_of(i), max_);
  }
  return max_;
}

void Stats::request(std::string_view name, std::int64_t us) {
  std::lock_guard lock(mutex_);
  auto it = requests_.find(name);
  if (it == requests_.end()) it = requests_.emplace(std::string(name), Histogram()).first;
  it->second.add(us);
}

void Stats::commit(std::size_t changes, std::int64_t us) {
  std::lock_guard lock(mutex_);
  commits_.add(us);
  changes_ += changes;
}

void Stats::moves(const std::vector<store::Change>& changes) {
  std::uint64_t submitted = 0;
  std::array<std::uint64_t, kJobStates> moved{};
  for (const auto& change : changes)
    if (auto* put = std::get_if<store::EventPut>(&change)) {
      if (put->event.from != put->event.to)
        moved[static_cast<std::size_t>(put->event.to)]++;
      else if (put->event.cause.view().starts_with("submitted"))
        submitted++;
    }
  std::lock_guard lock(mutex_);
  submitted_ += submitted;
  for (std::size_t i = 0; i < moved.size(); ++i) moved_[i] += moved[i];
}

void Stats::pass(std::uint64_t jobs_tried, std::size_t starts, std::int64_t us) {
  std::lock_guard lock(mutex_);
  passes_.add(us);
  tried_ += jobs_tried;
  starts_ += starts;
}

void Stats::count(std::string_view name, std::uint64_t n) {
  std::lock_guard lock(mutex_);
  auto it = counts_.find(name);
  if (it == counts_.end()) it = counts_.emplace(std::string(name), 0).first;
  it->second += n;
}

void Stats::reset(Time now) {
  std::lock_guard lock(mutex_);
  since_ = now;
  requests_.clear();
  commits_ = passes_ = Histogram();
  changes_ = tried_ = starts_ = 0;
  counts_.clear();
  submitted_ = 0;
  moved_ = {};
}

Time Stats::since() const {
  std::lock_guard lock(mutex_);
  return since_;
}

std::vector<wire::Metric> Stats::metrics() const {
  std::lock_guard lock(mutex_);
  std::vector<wire::Metric> out;
  auto add = [&out](std::string group, std::string name, std::string unit, auto value) {
    out.push_back({std::move(group), std::move(name), std::move(unit), static_cast<double>(value)});
  };
  auto histogram = [&add](const std::string& group, const std::string& name, const Histogram& h) {
    add(group, name + "_count", "", h.count());
    add(group, name + "_p50", "us", h.quantile(0.5));
    add(group, name + "_p99", "us", h.quantile(0.99));
    add(group, name + "_max", "us", h.max());
    add(group, name + "_mean", "us", h.mean());
  };
  for (const auto& [name, h] : requests_) histogram("requests", name, h);
  histogram("store", "commit", commits_);
  add("store", "changes", "", changes_);
  add("store", "changes_per_commit", "",
      commits_.count() ? static_cast<double>(changes_) / static_cast<double>(commits_.count()) : 0);
  histogram("scheduler", "pass", passes_);
  add("scheduler", "jobs_tried", "", tried_);
  add("scheduler", "starts", "", starts_);
  if (submitted_) add("moves", "submitted", "", submitted_);
  for (std::size_t i = 0; i < moved_.size(); ++i)
    if (moved_[i]) add("moves", lower(std::string(name(static_cast<JobState>(i)))), "", moved_[i]);
  for (const auto& [name, n] : counts_) add("counts", name, "", n);
  return out;
}

}  // namespace bai::controller
