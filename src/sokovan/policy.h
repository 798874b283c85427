// Policy: what a partition's scheduling policy means to a pass. Private to sokovan; plain values.
#pragma once

#include <compare>
#include <cstdint>

#include "base/time.h"
#include "model/ids.h"
#include "model/scheduling.h"

namespace bai::sokovan {

struct Rules {
  bool nothing_passes = false;        // a blocked job stops all behind it
  std::uint32_t planned = 1;          // how many blocked jobs get planned starts
  std::uint32_t planned_by_user = 0;  // and of one user; 0: any number
  bool predict = false;               // plan with predicted run times
  enum Order : std::uint8_t { kQueue, kShortest } backfill = kQueue;  // in which order those behind are tried
  friend bool operator==(const Rules&, const Rules&) = default;
};
Rules rules_of(const PartitionScheduling& scheduling, const SchedulingSettings& settings);

// A job's place among those that wait: higher priority first, then who came first.
struct QueueKey {
  std::uint32_t priority = 0;
  JobId id = 0;
  Time submitted;
  friend std::strong_ordering operator<=>(const QueueKey& a, const QueueKey& b) {
    if (auto c = b.priority <=> a.priority; c != 0) return c;
    if (auto c = a.submitted <=> b.submitted; c != 0) return c;
    return a.id <=> b.id;
  }
  friend bool operator==(const QueueKey&, const QueueKey&) = default;
};

// A job's place in a pass; what is smaller comes first.
struct Rank {
  std::uint32_t tier = 0;    // of its best partition; higher first
  std::uint8_t passing = 0;  // 1: behind blocked jobs, in the policy's backfill order
  std::int64_t score = 0;    // the policy's, smaller first
  QueueKey key;
  friend std::strong_ordering operator<=>(const Rank& a, const Rank& b) {
    if (auto c = b.tier <=> a.tier; c != 0) return c;
    if (auto c = a.passing <=> b.passing; c != 0) return c;
    if (auto c = a.score <=> b.score; c != 0) return c;
    return a.key <=> b.key;
  }
  friend bool operator==(const Rank&, const Rank&) = default;
};

}  // namespace bai::sokovan
