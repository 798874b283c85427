// Job: what was asked for (JobSpec), where it stands, what it holds. Plain values. A published record is immutable
// and shared between the state thread, readers' views and the scheduler's feed: to change one, copy it.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/idset.h"
#include "base/istr.h"
#include "base/time.h"
#include "model/devices.h"
#include "model/ids.h"
#include "model/request.h"
#include "model/serialize.h"
#include "model/states.h"

namespace bai {

enum class DependencyKind : std::uint8_t { kAfter, kAfterAny, kAfterOk, kAfterNotOk, kAfterCorr, kSingleton };
enum class DependencyState : std::uint8_t { kWaiting, kSatisfied, kFailed };

struct Dependency {
  DependencyKind kind = DependencyKind::kAfterAny;
  JobId job = 0;                 // 0 for singleton
  std::uint32_t task = kNoTask;  // of an array
  std::uint32_t delay_min = 0;   // after:ID+MINUTES
  DependencyState state = DependencyState::kWaiting;

  friend bool operator==(const Dependency&, const Dependency&) = default;
  template <class A>
  void serialize(A& a) {
    a(at_most(kind, DependencyKind::kSingleton), job, task, delay_min,
      at_most(state, DependencyState::kFailed));
  }
};

// All of them (`,`) or any one of them (`?`) must be satisfied.
struct Dependencies {
  bool any = false;
  std::vector<Dependency> list;

  friend bool operator==(const Dependencies&, const Dependencies&) = default;
  template <class A>
  void serialize(A& a) {
    a(any, cap(list, 1024));
  }
};

// --signal=[B:]NUM[@SECONDS]
struct WarningSignal {
  std::uint16_t number = 0;  // 0: none
  bool batch_only = false;
  std::uint32_t before_end_s = 60;

  friend bool operator==(const WarningSignal&, const WarningSignal&) = default;
  template <class A>
  void serialize(A& a) {
    a(number, batch_only, before_end_s);
  }
};

enum MailEvent : std::uint16_t {
  kMailBegin = 1,
  kMailEnd = 2,
  kMailFail = 4,
  kMailRequeue = 8,
  kMailInvalidDepend = 16,
  kMailTimeLimit = 32,
  kMailTimeLimit90 = 64,
  kMailTimeLimit80 = 128,
  kMailTimeLimit50 = 256,
  kMailArrayTasks = 512,
};

enum class OpenMode : std::uint8_t { kDefault, kTruncate, kAppend };
enum class Requeue : std::uint8_t { kDefault, kNo, kYes };

// An array as it was submitted; its tasks' environment tells them.
struct ArrayNumbers {
  std::uint32_t count = 0;  // 0: no array
  std::uint32_t min = 0, max = 0, step = 1;

  friend bool operator==(const ArrayNumbers&, const ArrayNumbers&) = default;
  template <class A>
  void serialize(A& a) {
    a(count, min, max, step);
  }
};

// What rare jobs ask for; absent when all of it is default.
struct JobExtras {
  Time begin;
  Time deadline;
  Dependencies dependencies;
  WarningSignal signal;
  std::uint16_t mail_events = 0;  // MailEvent bits
  Istr mail_user;
  Istr comment;
  Istr admin_comment;
  Istr qos;
  Istr std_in;         // empty: /dev/null
  ArrayNumbers array;  // the controller's to set
  Istr arguments;  // the script's, as shown; the controller's to set. What counts is signed, in LaunchRecord
  bool no_batch = false;  // an allocation for steps: bai-alloc's, bai-run's
  bool lease = false;     // with it: ends when its client is gone

  friend bool operator==(const JobExtras&, const JobExtras&) = default;
  template <class A>
  void serialize(A& a) {
    a(begin, deadline, dependencies, signal, mail_events, mail_user, comment, admin_comment, qos, std_in,
      array, arguments, no_batch, lease);
  }
};

// What was asked for. Shared by all tasks of an array and by all of a job's records.
struct JobSpec {
  Istr name;
  Istr user;  // resolved by the controller
  Istr group;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  Istr account;
  Istr partition;  // one name, or several with commas
  Istr workdir;
  Istr std_out;  // with patterns; empty: the dialect's default was already put here by the client
  Istr std_err;  // empty: as std_out
  Istr command;  // the script's path, shown by show job
  Istr host;     // where it was submitted, and from which session
  std::uint32_t session = 0;
  ResourceRequest request;
  Seconds time_limit = 0;  // 0: the partition's default; kUnlimited
  std::int32_t nice = 0;
  OpenMode open_mode = OpenMode::kDefault;
  Requeue requeue = Requeue::kDefault;
  std::shared_ptr<const JobExtras> extras_or_null;

  const JobExtras& extras() const;  // the defaults when there are none
  void set_extras(JobExtras extras);

  template <class A>
  void save(A& a) const {
    a(name, user, group, uid, gid, account, partition, workdir, std_out, std_err, command, host, session,
      request, time_limit, nice, open_mode, requeue, extras_or_null != nullptr);
    if (extras_or_null) a(*extras_or_null);
  }
  template <class A>
  void load(A& a) {
    bool rare = false;
    a(name, user, group, uid, gid, account, partition, workdir, std_out, std_err, command, host, session,
      request, time_limit, nice, open_mode, requeue, rare);
    if (rare) {
      JobExtras extras;
      a(extras);
      extras_or_null = std::make_shared<const JobExtras>(std::move(extras));
    }
  }
};

// What one node gives to one job.
struct NodeShare {
  Istr node;
  std::uint32_t cpus = 0;
  std::uint64_t mem_mib = 0;
  std::uint32_t tasks = 0;             // how many of the job's tasks are for it; 0: not said
  std::vector<DeviceShare> devices{};  // which devices of the node, and how much of each
  // "0-3,8": which processors, by socket, core and thread (cpu_choice.h). Chosen at the start; empty in a plan.
  Istr cpu_ids{};

  friend bool operator==(const NodeShare&, const NodeShare&) = default;
  template <class A>
  void serialize(A& a) {
    a(node, cpus, mem_mib, tasks, cap(devices, 4096), cpu_ids);
  }
};

// The nodes in order; the batch script runs on the first.
// Sums by kind, and by type where there is one, as Slurm's TRES: "gres/gpu=4,gres/gpu:a100=4". Empty when there are none.
std::string format_device_totals(const std::vector<NodeShare>& shares);

struct Allocation {
  Istr partition;
  std::vector<NodeShare> nodes;
  std::uint32_t alternative = 0;  // 0: what was asked for; n: the request's nth alternative instead

  std::uint32_t cpus() const;
  std::uint64_t mem_mib() const;
  std::string hostlist() const;  // "n[1-4]"
  template <class A>
  void serialize(A& a) {
    a(partition, cap(nodes, 65536), alternative);
  }
};

struct ExitStatus {
  std::uint8_t code = 0;
  std::uint8_t signal = 0;

  std::string text() const { return std::to_string(code) + ":" + std::to_string(signal); }
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
  template <class A>
  void serialize(A& a) {
    a(code, signal);
  }
};

// What the waiting tasks of an array share. The head record (Job::array set) stands for all tasks that have not
// started; a task that starts, or is changed alone, becomes a job of its own with its own id. The last one takes the head's.
struct ArrayHead {
  IdSet waiting;                  // task numbers
  std::uint32_t max_running = 0;  // %limit; 0: none

  template <class A>
  void serialize(A& a) {
    a(waiting, max_running);
  }
};

struct Usage {
  std::uint64_t user_us = 0;
  std::uint64_t system_us = 0;
  std::uint64_t max_rss_kib = 0;  // of one task
  std::uint64_t sum_rss_kib = 0;  // over all tasks, of the most of each
  std::uint64_t read_bytes = 0, write_bytes = 0;
  std::uint64_t max_read_bytes = 0, max_write_bytes = 0;  // of one task

  // With what other tasks used.
  void add(const Usage& other);
  friend bool operator==(const Usage&, const Usage&) = default;
  template <class A>
  void serialize(A& a) {
    a(user_us, system_us, max_rss_kib, sum_rss_kib, read_bytes, write_bytes, max_read_bytes, max_write_bytes);
  }
};

// What has come over a job's present start from outside: absent for most.
struct Interruptions {
  std::uint64_t generation = 0;   // of the last suspend or resume, rising: what agents are told. 0: neither
  Time changed;                   // when that was
  std::int64_t suspended_us = 0;  // in all; one that lasts is added when it is over
  Time grace_until;               // it goes back to the queue, or ends, and has so long to write a checkpoint

  template <class A>
  void serialize(A& a) {
    a(generation, changed, suspended_us, grace_until);
  }
};

struct Job;
// The request that its allocation is for: what was asked for, or the alternative that was taken.
const ResourceRequest& request_in_force(const JobSpec& spec,
                                        const std::shared_ptr<const Allocation>& allocation);
const ResourceRequest& request_in_force(const Job& job);

struct Job {
  JobId id = 0;
  JobId array_id = 0;  // the array's id; 0: no array
  std::uint32_t array_task = kNoTask;
  JobState state = JobState::kPending;
  Reason reason = Reason::kNone;
  Hold hold = Hold::kNone;
  ExitStatus exit;
  std::uint8_t restarts = 0;
  bool cancel_requested = false;   // its end, whatever it is, is a cancellation
  bool requeue_requested = false;  // after its end it goes back to the queue
  std::uint32_t priority = 0;      // higher first; 0 with a hold
  std::uint32_t ended_by_uid = 0;  // who cancelled
  Attempt attempt = 0;             // starts so far
  Time submitted;
  Time eligible;  // when it could first have started
  Time started;
  Time ended;
  Lsn lsn = 0;  // of the change that made this record
  std::shared_ptr<const JobSpec> spec;
  std::shared_ptr<const ArrayHead> array;        // the head of an array only
  std::shared_ptr<const Allocation> allocation;  // while active, and after the end
  std::shared_ptr<const Usage> usage;            // after the end
  std::shared_ptr<const Interruptions> interruptions;
  Istr detail;  // a sentence for a person, beside `reason`
  Istr
      failed_nodes;  // names with commas: they failed its last attempts; the scheduler avoids them while others can do
  Time expected_start;  // the scheduler's estimate; not durable

  template <class A>
  void save(A& a) const {
    a(id, array_id, array_task, state, reason, hold, exit, restarts, cancel_requested, requeue_requested,
      priority, ended_by_uid, attempt, submitted, eligible, started, ended, lsn, detail, failed_nodes);
    save_part(a, spec), save_part(a, array), save_part(a, allocation), save_part(a, usage);
    save_part(a, interruptions);
  }
  template <class A>
  void load(A& a) {
    a(id, array_id, array_task, state, reason, hold, exit, restarts, cancel_requested, requeue_requested,
      priority, ended_by_uid, attempt, submitted, eligible, started, ended, lsn, detail, failed_nodes);
    load_part(a, spec), load_part(a, array), load_part(a, allocation), load_part(a, usage);
    load_part(a, interruptions);
  }

 private:
  template <class A, class T>
  static void save_part(A& a, const std::shared_ptr<const T>& part) {
    a(part != nullptr);
    if (part) a(*part);
  }
  template <class A, class T>
  static void load_part(A& a, std::shared_ptr<const T>& part) {
    bool there = false;
    a(there);
    if (!there) return;
    auto value = std::make_shared<T>();
    a(*value);
    part = std::move(value);
  }
};
using JobPtr = std::shared_ptr<const Job>;

// How long its present start has been suspended by `now`, microseconds.
std::int64_t suspended_us(const Job& job, Time now);
// How long it has run in its present start by `now`, or ran until it ended, without the time that it was suspended.
Seconds run_time(const Job& job, Time now);

// "7", or "7_3" for an array's task, "7_[1-9]" for an array's head.
std::string display_id(const Job& job);

// One move in a job's life, kept for `show job --history`.
struct JobEvent {
  JobId job = 0;
  Attempt attempt = 0;
  Lsn lsn = 0;
  Time at;
  JobState from = JobState::kPending;
  JobState to = JobState::kPending;
  Istr cause;                   // "submitted", "scheduler", "exit 1:0", "cancelled by uid 1000", ...
  std::uint32_t actor_uid = 0;  // the caller's, or 0 for the system

  template <class A>
  void serialize(A& a) {
    a(job, attempt, lsn, at, from, to, cause, actor_uid);
  }
};

// Of a script or of what bai-run starts, each; as long as Linux takes one (MAX_ARG_STRLEN).
constexpr std::size_t kMaxArgumentBytes = 128 << 10;

// What a launch needs and the queue does not: kept in the store only.
// The user signed digest(); `path` leads from it to the root that the credential covers when many were signed at once
// (a Merkle tree; RFC 6962's node hashing, a missing right sibling is zeros), empty for one.
struct LaunchRecord {
  std::vector<std::string> args;
  Hash256 script;
  Hash256 environment;  // of "K=V\0K=V\0..."
  Uuid nonce;
  std::string credential;  // MUNGE, unrestricted, its payload is the root
  std::vector<Hash256> path;
  std::uint32_t index = 0;  // leaf number, tells left from right along the path

  // What the user signs for: script, args, environment, cluster and nonce; and of the spec uid, gid, workdir, what it reads
  // and writes and how it opens that. Nothing of what `update` may change.
  Hash256 digest(const JobSpec& spec, const Uuid& cluster) const;
  Hash256 root(const Hash256& digest) const;

  template <class A>
  void serialize(A& a) {
    a(blob(args, kMaxArgumentBytes, 4096), script, environment, nonce, cap(credential, 4096), cap(path, 32),
      index);
  }
};

// The root over the leaves and, for each leaf, its path.
struct SignatureTree {
  Hash256 root;
  std::vector<std::vector<Hash256>> paths;
};
SignatureTree sign_together(const std::vector<Hash256>& leaves);

}  // namespace bai
