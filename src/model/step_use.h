// What a running step uses, as its shepherds see it when somebody asks (bai-stat). Nothing of it is kept. Plain values; any thread.
#pragma once

#include <cstdint>
#include <vector>

#include "model/serialize.h"

namespace bai {

// One figure over the tasks of a step: together, and of the tasks that have the most and the least.
struct UseFigure {
  std::uint64_t total = 0, most = 0, least = 0;
  std::uint32_t most_task = 0, least_task = 0;  // ranks

  friend bool operator==(const UseFigure&, const UseFigure&) = default;
  template <class A>
  void serialize(A& a) {
    a(total, most, least, most_task, least_task);
  }
};

inline constexpr std::size_t kMaxLivePids = 256;

// Of one node. A task is a process that the shepherd started, and its descendants.
struct LiveUse {
  std::uint32_t tasks = 0;      // that were started, running or not
  std::uint32_t processes = 0;  // that live
  UseFigure cpu_us;
  UseFigure rss_kib, vm_kib;  // `total` is now's; most and least are of the tasks' peaks
  UseFigure pages;            // page faults that needed the disk
  UseFigure read_bytes, write_bytes;
  std::vector<std::uint32_t> pids;  // the first of those that live; kMaxLivePids at most

  friend bool operator==(const LiveUse&, const LiveUse&) = default;
  template <class A>
  void serialize(A& a) {
    a(tasks, processes, cpu_us, rss_kib, vm_kib, pages, read_bytes, write_bytes, cap(pids, kMaxLivePids));
  }
};

}  // namespace bai
