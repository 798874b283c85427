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
  bool stand = false;                 // planned starts stay from pass to pass, and move forward only
  bool by_due = false;                // the queue's order is that of due(); see there
  enum Order : std::uint8_t { kQueue, kShortest } backfill = kQueue;  // in which order those behind are tried
  friend bool operator==(const Rules&, const Rules&) = default;
};
Rules rules_of(const PartitionScheduling& scheduling, const SchedulingSettings& settings);

// What a job asks of its partition: the larger of its shares of CPUs, GPUs, and nodes for itself alone.
struct Share {
  std::int64_t asked = 0, total = 0;  // 0 in all: nobody knows
};

// The default policy's order. Jobs that are predicted to be short may pass: one counts as submitted later by 40 times its predicted run
// time, 36 hours at most, so nobody is passed by what came more than that later; and the wide ones, for which no hole is ever large
// enough, as submitted earlier, by 48 hours times the square of their share. Fixed when the job comes, so nothing is ever sorted again.
Time due(Time submitted, Seconds predicted, const Share& share);

// With it a job may also pass the first of the queue where it is only predicted not to delay it, provided that even at its limit it would be gone by
// the time when the older of the first two has waited so long.
inline constexpr Seconds kPatience = 36 * 3600;

// A job's place among those that wait: higher priority first, then who is due first: who came first, or as due() has it.
struct QueueKey {
  std::uint32_t priority = 0;
  JobId id = 0;
  Time due;
  friend std::strong_ordering operator<=>(const QueueKey& a, const QueueKey& b) {
    if (auto c = b.priority <=> a.priority; c != 0) return c;
    if (auto c = a.due <=> b.due; c != 0) return c;
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
