// How the parts of a recording are encoded (base/archive.h). Private to sokovan. Any change here raises kRecordingVersion.
#pragma once

#include <variant>

#include "base/archive.h"
#include "model/serialize.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

template <class A>
void serialize(A& a, NodeSet& c) {
  a(c.name, c.cpus, c.mem_mib, cap(c.features, 4096), c.weight, c.usable, c.sockets, c.cores_per_socket,
    c.threads_per_core, c.tmp_mib, cap(c.devices, 256));
}
template <class A>
void serialize(A& a, NodeGone& c) {
  a(c.name);
}
template <class A>
void serialize(A& a, PartitionGone& c) {
  a(c.name);
}
template <class A>
void serialize(A& a, JobGone& c) {
  a(c.job);
}
template <class A>
void serialize(A& a, LicensesSet& c) {
  a(cap(c.total, 65536));
}
template <class A>
void serialize(A& a, TopologySet& c) {
  a(cap(c.switches, 65536));
}
template <class A>
void serialize(A& a, SettingsSet& c) {
  auto& s = c.settings;
  a(s.planned_starts, s.backfill_interval, s.cheap_pass_steps, s.device_quantum);
}
template <class A>
void serialize(A& a, RunEnded& c) {
  a(c.uid, c.limit, c.run, c.cpus);
}
template <class A>
void serialize(A& a, EstimateEnded& c) {
  a(c.late);
}
template <class A>
void serialize(A& a, Waiting& w) {
  a(w.job, at_most(w.reason, static_cast<Reason>(kReasons - 1)), w.detail, w.expected_start);
}
template <class A>
void serialize(A& a, Budget& b) {
  a(b.max_starts, b.max_jobs);
}

struct FreshRecord {
  bool fresh = true;
  template <class A>
  void serialize(A& a) {
    a(fresh);
  }
};
struct PartitionRecord {
  Partition partition;
  template <class A>
  void serialize(A& a) {
    a(partition);
  }
};
// Of the parts that it shares, `job` has those that are not the same as in the job's last record.
struct JobRecord {
  Job job;
  Time expected_start;
  bool dependencies_met = true, same_spec = false, same_array = false, same_allocation = false;
  template <class A>
  void serialize(A& a) {
    a(job, expected_start, dependencies_met, same_spec, same_array, same_allocation);
  }
};
struct StartRecord {
  JobId job = 0;
  std::uint32_t task = kNoTask;
  Allocation allocation;
  template <class A>
  void serialize(A& a) {
    a(job, task, allocation);
  }
};
struct DecisionRecord {
  Time now;
  Budget budget;
  std::vector<StartRecord> starts;
  std::vector<Waiting> waiting;
  Time next_wakeup;
  bool complete = true;
  std::uint64_t jobs_tried = 0;
  template <class A>
  void serialize(A& a) {
    a(now, budget, cap(starts, 10'000'000), cap(waiting, 10'000'000), next_wakeup, complete, jobs_tried);
  }
};
// Numbered by their place; new ones come last.
using Record =
    std::variant<FreshRecord, NodeSet, NodeGone, PartitionRecord, PartitionGone, JobRecord, JobGone,
                 LicensesSet, TopologySet, SettingsSet, RunEnded, DecisionRecord, EstimateEnded>;

}  // namespace bai::sokovan
