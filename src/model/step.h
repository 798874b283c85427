// Step: work inside a running job, made by bai-run. What was asked for (StepSpec), what the nodes' shepherds need beside it (StepRun), where
// it runs and how it went. Plain values; a published record is immutable and shared. The batch script is a step, too (kBatchStep), but it is
// kept as the job itself.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/istr.h"
#include "base/result.h"
#include "base/time.h"
#include "model/devices.h"
#include "model/ids.h"
#include "model/job.h"
#include "model/serialize.h"
#include "model/states.h"

namespace bai {

// "batch", "7".
std::string step_name(StepId id);
// "7.batch", "7.0".
std::string step_name(JobId job, StepId id);

// How tasks go to nodes (srun -m).
enum class Distribution : std::uint8_t { kBlock, kCyclic, kPlane, kArbitrary };
std::string_view name(Distribution distribution);  // "block"

// Zeros were not said.
struct StepSpec {
  Istr name;
  std::uint32_t tasks = 0;           // -n; one a node
  std::uint32_t min_nodes = 0;       // -N; all of the job's that are needed
  std::uint32_t max_nodes = 0;       //
  std::uint32_t cpus_per_task = 0;   // -c; 1
  std::uint32_t tasks_per_node = 0;  // --ntasks-per-node
  std::uint64_t mem_mib = 0;         // --mem, of each node; without it the step shares what the job has
  std::uint64_t mem_per_cpu_mib = 0;
  Istr nodes_wanted;    // -w, hostlist
  Istr nodes_excluded;  // -x, hostlist
  bool relative = false;
  std::uint32_t first_node = 0;  // -r, with `relative`
  Distribution distribution = Distribution::kBlock;
  std::uint32_t plane = 0;  // tasks at a time, for kPlane
  std::vector<Istr> hosts;  // of each task, for kArbitrary
  bool exact = false;       // only as many CPUs as its tasks ask, not all that the job has on its nodes
  bool overlap = false;     // shares what other steps use
  bool overcommit = false;  // more tasks than CPUs
  std::vector<DeviceRequest> devices;
  Seconds time_limit = 0;  // the job's

  friend bool operator==(const StepSpec&, const StepSpec&) = default;
  template <class A>
  void serialize(A& a) {
    a(name, tasks, min_nodes, max_nodes, cpus_per_task, tasks_per_node, mem_mib, mem_per_cpu_mib,
      nodes_wanted, nodes_excluded, relative, first_node, at_most(distribution, Distribution::kArbitrary),
      plane, cap(hosts, 65536), exact, overlap, overcommit, cap(devices, 64), time_limit);
  }
};

// Where a client listens for a step's shepherds, and the secret that both sides prove.
struct StepClientAddress {
  std::vector<std::string> endpoints;  // "10.0.0.1:40000", to be tried in turn
  std::string key;                     // 32 bytes

  friend bool operator==(const StepClientAddress&, const StepClientAddress&) = default;
  template <class A>
  void serialize(A& a) {
    a(cap(endpoints, 16), blob(key, 64));
  }
};

// How it runs on its nodes: what the controller only carries.
struct StepRun {
  StepClientAddress client;
  Istr workdir;
  Istr std_in, std_out, std_err;  // files that the nodes open, with patterns; empty: the client's streams
  OpenMode open_mode = OpenMode::kDefault;
  bool pty = false;
  bool unbuffered = false;  // -u
  std::uint16_t rows = 0, columns = 0;
  bool kill_on_bad_exit = false;  // -K
  std::uint32_t wait_s = 0;       // -W: the others are ended so long after the first; 0: not
  bool detach = false;            // it outlives its client
  std::uint32_t umask = 022;
  Istr cpu_bind, gpu_bind, mpi;
  bool multi_prog = false;  // the script is a multi-prog configuration
  WarningSignal signal;
  Istr speaker;  // who speaks in what tasks see of the shepherd: "slurmstepd"
  Istr task_prolog, task_epilog;
  Istr comment;  // its own; "emulate:SECONDS" means something to emulated nodes

  friend bool operator==(const StepRun&, const StepRun&) = default;
  template <class A>
  void serialize(A& a) {
    a(client, workdir, std_in, std_out, std_err, open_mode, pty, unbuffered, rows, columns, kill_on_bad_exit,
      wait_s, detach, umask, cpu_bind, gpu_bind, mpi, multi_prog, signal, speaker, task_prolog, task_epilog,
      comment);
  }
};

// The step's part of what its user signs (LaunchRecord::digest): a job's specification as if it were the job.
JobSpec as_signed(std::uint32_t uid, std::uint32_t gid, const StepRun& run);

// What one node of the job gives to one step, and which of its tasks run there.
struct StepShare {
  Istr node;
  std::uint32_t index = 0;  // of the node among the job's
  std::uint32_t cpus = 0;
  std::uint64_t mem_mib = 0;  // 0: shares the job's
  std::vector<DeviceShare> devices;
  std::vector<std::uint32_t> ranks;  // rising
  Istr cpu_ids{};                    // of the job's

  friend bool operator==(const StepShare&, const StepShare&) = default;
  template <class A>
  void serialize(A& a) {
    a(node, index, cpus, mem_mib, cap(devices, 4096), cap(ranks, 1 << 20), cpu_ids);
  }
};

inline constexpr std::uint32_t kNoUid = 0xffffffff;

struct Step {
  JobId job = 0;
  Attempt attempt = 0;
  StepId id = 0;
  StepSpec spec;
  std::vector<StepShare> nodes;  // those of the job that it uses, in the job's order
  JobState state = JobState::kConfiguring;
  std::uint32_t uid = 0;
  ExitStatus exit;                      // the highest of its tasks
  std::uint32_t ended_by_uid = kNoUid;  // who cancelled it, or its job
  Time created, started, ended;
  Usage usage;
  Istr command;                   // its arguments, as shown
  Istr detail;                    // a sentence for a person
  std::int64_t suspended_us = 0;  // in all; a standstill of its job that lasts is added when it is over

  std::uint32_t tasks() const;
  std::uint32_t cpus() const;
  std::string hostlist() const;
  template <class A>
  void serialize(A& a) {
    a(job, attempt, id, spec, cap(nodes, 65536), at_most(state, JobState::kRequeued), uid, exit, ended_by_uid,
      created, started, ended, usage, command, detail, suspended_us);
  }
};
using StepPtr = std::shared_ptr<const Step>;

}  // namespace bai
