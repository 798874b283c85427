// Explanation: why a job waits, and what would let it start. The scheduler makes it, bai-why shows it. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/istr.h"
#include "base/time.h"
#include "model/ids.h"
#include "model/serialize.h"
#include "model/states.h"

namespace bai {

// Something that nodes are short of, and how many nodes are. A node counts once, with the first thing that it lacks.
struct Shortage {
  std::string what;  // "CPUs", "memory", "gpu", ...
  std::uint32_t nodes = 0;
  friend bool operator==(const Shortage&, const Shortage&) = default;
  template <class A>
  void serialize(A& a) {
    a(what, nodes);
  }
};

// One partition's nodes, as the job sees them now: nodes = unfit + down + busy + reserved + free.
struct PlaceReport {
  Istr partition;
  Reason never = Reason::kNone;  // why it can never run there as things are configured
  std::string never_detail;
  std::uint32_t needed = 0;  // nodes, at least
  std::uint32_t nodes = 0;
  std::uint32_t unfit = 0;     // excluded, without the features, or too small when empty
  std::uint32_t down = 0;      // could, but are down or drained
  std::uint32_t busy = 0;      // could, but not beside what runs there; see `busy_for`
  std::uint32_t reserved = 0;  // have room now, and are planned for a job in front before this one would end
  std::uint32_t free = 0;      // could take a part of it at once
  std::uint64_t free_tasks = 0, tasks = 0;  // tasks that the free ones can take, and that it has
  std::vector<Shortage> unfit_for, busy_for;
  template <class A>
  void serialize(A& a) {
    a(partition, never, never_detail, needed, nodes, unfit, down, busy, reserved, free, free_tasks, tasks,
      cap(unfit_for, 16), cap(busy_for, 16));
  }
};

// A running job whose end the start waits for.
struct Blocker {
  JobId job = 0;
  Time end;           // when it is expected to end; 0: it has no limit
  std::string nodes;  // those of them that it holds and the start needs
  template <class A>
  void serialize(A& a) {
    a(job, end, cap(nodes, 1 << 20));
  }
};

// One change of the request that would let it start sooner.
struct WhatIf {
  std::string change;  // "--time=3:10:00", or a word for something left out: "without --exclusive"
  Time start;
  bool now = false;
  template <class A>
  void serialize(A& a) {
    a(change, start, now);
  }
};

// How the first estimates of jobs that have started turned out: seconds by which they started later (below 0: sooner).
struct EstimateRecord {
  std::uint32_t count = 0;                           // at most the last thousand
  std::int64_t median_s = 0, low_s = 0, high_s = 0;  // nine of ten lie between low and high
  template <class A>
  void serialize(A& a) {
    a(count, median_s, low_s, high_s);
  }
};

struct Explanation {
  std::string asks;  // as bai-submit's options: "--nodes=2 --cpus-per-task=4 --time=1:00:00"
  Reason reason = Reason::kNone;
  std::string detail;
  bool startable =
      false;  // it is in the queue: not held, and nothing but resources and its turn is in the way
  std::vector<PlaceReport> places;
  std::uint64_t ahead = 0;         // jobs in front of it for the same partitions
  std::vector<JobId> first_ahead;  // the first few of them
  std::uint32_t blocking = 0;      // running jobs whose ends it waits for
  std::vector<Blocker> blockers;   // those of them that end last
  bool planned =
      false;          // `start` is kept free for it; otherwise it is the earliest that what is planned allows
  Time start;         // 0: unknown
  std::string nodes;  // where
  std::vector<WhatIf> what_if;  // soonest first
  EstimateRecord estimates;
  template <class A>
  void serialize(A& a) {
    a(asks, reason, detail, startable, cap(places, 256), ahead, cap(first_ahead, 16), blocking,
      cap(blockers, 16), planned, start, cap(nodes, 1 << 20), cap(what_if, 32), estimates);
  }
};

// A job whose start something would move.
struct Delay {
  JobId job = 0;
  Time before, after;  // 0: unknown
  friend bool operator==(const Delay&, const Delay&) = default;
  template <class A>
  void serialize(A& a) {
    a(job, before, after);
  }
};

}  // namespace bai
