// The scheduler's own state. Private to sokovan; one thread.
//
// Equal requests form a class, which holds its startable jobs in order; a pass takes the best head of all classes again and again. A
// head that does not fit ends its class for the pass. So a pass costs what there is to start and the number of
// classes, not the number of jobs. The first blocked job of each partition gets a reservation (EASY backfill: Lifka, "The
// ANL/IBM SP Scheduling System", 1995): the earliest time at which running jobs' limits leave room for it, and where;
// later jobs start only if they end by then, or take what it leaves over.
// Hash maps are looked up, never walked: nothing depends on their order.
#pragma once

#include <compare>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "sokovan/place.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

using Licenses = std::map<std::string, std::uint32_t>;

struct NodeSlot {
  Istr name;
  std::vector<std::string> features;
  std::uint32_t cpus = 0, cpus_used = 0;
  std::uint64_t mem = 0, mem_used = 0;
  std::uint32_t jobs = 0, exclusive_jobs = 0;
  Tenants tenants;
  std::uint32_t weight = 1;
  bool exists = false, usable = false;

  NodeRoom empty() const;
  NodeRoom now() const;  // whether usable or not
};

// What an active job, or a start that was decided, has.
struct Held {
  struct Part {
    std::uint32_t node, cpus;
    std::uint64_t mem;
    friend bool operator==(const Part&, const Part&) = default;
  };
  JobId job = 0;  // the array's head for a start decided from it
  JobId array = 0;
  std::uint32_t task = kNoTask;
  bool exclusive = false;
  bool exclusive_user = false;
  std::uint32_t uid = 0;
  bool decided = false;  // not confirmed yet
  Time end;              // by its time limit
  std::vector<Part> parts;
  Licenses licenses;
};

// The nodes that a partition offers to a constraint, best first.
struct Domain {
  std::uint64_t generation = 0;
  std::vector<std::uint32_t> nodes;
};

// A class's view of one of its partitions.
struct Option {
  PartitionPtr partition;
  Wish wish;
  Seconds limit = kUnlimited;
  std::shared_ptr<const Domain> domain;
  Reason reason = Reason::kNone;  // why never, as things are configured
  std::string detail;
};

struct QueueKey {
  std::uint32_t priority;
  JobId id;
  Time submitted;
  friend std::strong_ordering operator<=>(const QueueKey& a, const QueueKey& b) {
    if (auto c = b.priority <=> a.priority; c != 0) return c;
    if (auto c = a.submitted <=> b.submitted; c != 0) return c;
    return a.id <=> b.id;
  }
  friend bool operator==(const QueueKey&, const QueueKey&) = default;
};

struct JobClass {
  std::string key;
  std::shared_ptr<const JobSpec> spec;  // one of its jobs'
  std::vector<std::string> partitions;
  Licenses licenses;
  bool bad_licenses = false;
  std::set<QueueKey> queue;
  std::uint32_t jobs = 0;  // that refer to it
  // As of `generation`:
  std::uint64_t generation = 0;
  std::uint32_t tier = 0;
  std::vector<Option> options;
  // What was last said about it: its head, and all others.
  bool blocked = false;  // its head did not fit in the last pass, and nothing came free since
  JobId head = 0;
  Reason head_reason = Reason::kNone;
  Time head_expected;
  Reason rest = Reason::kPriority;
  std::string rest_detail;
};

enum class Kind : std::uint8_t {
  kQueued,    // in its class's queue
  kStopped,   // held, or dependencies not met
  kBegin,     // waits for its begin time
  kParked,    // its array runs as many tasks as it may
  kInFlight,  // all of it was decided to start
  kActive,
};

struct Entry {
  JobPtr job;
  std::uint64_t hold = 0;  // kActive: key in holds
  std::uint32_t job_class = 0;
  Kind kind = Kind::kStopped;
  Reason reported = Reason::kNone;
  bool dependencies_met = true;
};

struct ArrayInfo {
  JobId head = 0;
  std::uint32_t running = 0;  // tasks that are active or decided
};

// A blocked job's claim: from `at` on it needs what `left` leaves over of these nodes.
struct Reservation {
  std::string partition;
  std::uint32_t tier = 0;  // of the job and its key: who comes before it
  QueueKey key{};
  Time at;                                 // kFarFuture: when it is not known
  std::map<std::uint32_t, NodeRoom> left;  // by node: what others may still use beyond `at`
};

struct Scheduler::Impl {
  // ---- what was fed
  std::vector<NodeSlot> nodes;  // in order of their first NodeSet
  std::unordered_map<std::string, std::uint32_t> node_index;
  std::map<std::string, PartitionPtr> partitions;
  Licenses licenses_total, licenses_used;
  std::unordered_map<JobId, Entry> jobs;
  std::size_t pending = 0, active = 0;
  // ---- derived
  std::uint64_t generation = 1;  // of nodes' shapes and partitions
  std::vector<std::unique_ptr<JobClass>> classes;
  std::vector<std::uint32_t> free_classes;
  std::unordered_map<std::string, std::uint32_t> class_index;
  mutable std::map<std::string, std::weak_ptr<const Domain>> domains;
  std::set<std::pair<Time, JobId>> begins;
  std::unordered_map<JobId, ArrayInfo> arrays;
  std::uint64_t last_hold = 0;
  std::map<std::uint64_t, Held> holds;
  std::set<std::pair<Time, std::uint64_t>> ends;                  // of holds
  std::unordered_map<JobId, std::vector<std::uint64_t>> decided;  // holds by job
  std::vector<JobId> unreported;
  bool dirty = false;  // a pass could start something
  std::vector<std::uint32_t>
      touched;  // classes with a new head behind all reservations: these alone need a try
  Time last_now;
  // ---- the pass under way, kept when the budget ran out
  struct Ranked {
    std::uint32_t tier;
    QueueKey key;
    std::uint32_t job_class;
    friend bool operator<(const Ranked& a, const Ranked& b) {  // for a heap: the best is the largest
      if (a.tier != b.tier) return a.tier < b.tier;
      return b.key < a.key;
    }
  };
  bool in_pass = false;
  std::vector<Ranked> heap;
  std::vector<Reservation> reservations;
  Licenses licenses_claimed;  // by blocked jobs ahead in this pass

  // feed.cc
  void set_node(const NodeSet& set);
  void set_partition(PartitionPtr partition);
  void set_job(const JobPtr& job, bool dependencies_met);
  void set_active(const JobPtr& job);
  void set_pending(const JobPtr& job, bool dependencies_met);
  void remove_job(JobId id);
  void unlink(Entry& entry);  // out of queues and holds, not out of `jobs`
  void enqueue(Entry& entry, Time now);
  bool array_is_full(const Job& job) const;  // runs as many tasks as it may
  void unpark(JobId array);
  std::uint64_t acquire(Held held);
  void release(std::uint64_t hold);
  void drop_decided(JobId id);
  Held held_of(const Job& job) const;

  // classes.cc
  std::uint32_t class_of(const JobPtr& job);
  void leave_class(std::uint32_t job_class);
  static JobClass make_class(const std::shared_ptr<const JobSpec>& spec);
  void refresh(JobClass& c) const;
  // Without `limits` it asks for nodes only: not for the partition's state and limits.
  Option make_option(const JobClass& c, const PartitionPtr& partition, bool limits) const;
  std::vector<PartitionPtr> partitions_of(const JobClass& c) const;
  std::shared_ptr<const Domain> domain_of(const Partition& partition, const ResourceRequest& request) const;
  Seconds limit_in(const JobSpec& spec, const Partition& partition) const;

  // pass.cc
  Decisions decide(Time now, const Budget& budget);
  void begin_pass();
  void begin_small_pass();
  void touch(std::uint32_t job_class, const QueueKey& key);
  bool try_start(JobClass& c, Entry& entry, Time now, Decisions& out);
  void start(JobClass& c, Entry& entry, const Option& option, const std::vector<Pick>& picks, Time now,
             Decisions& out);
  void park(JobClass& c, Entry& entry);
  void block(JobClass& c, Entry& entry, Time now, Decisions& out);
  NodeRoom room_for(std::uint32_t node, const Wish& wish, Time end) const;
  bool licenses_free(const JobClass& c) const;
  // The earliest time when running jobs' ends leave room, and where. False when they never do.
  bool find_shadow(const Option& option, Time now, Time& at, std::vector<Pick>& picks,
                   std::map<std::uint32_t, NodeRoom>& rooms) const;
  void reserve(const JobClass& c, const Option& option, const Job& job, Time at,
               const std::vector<Pick>& picks, const std::map<std::uint32_t, NodeRoom>& rooms);
  void take_from_reservations(const Held& held);
  std::shared_ptr<const Allocation> allocation_of(const Option& option, const std::vector<Pick>& picks) const;
  void say(Entry& entry, Reason reason, const std::string& detail, Time expected, Decisions& out);
  void say_head(JobClass& c, Entry& entry, Reason reason, const std::string& detail, Time expected,
                Decisions& out);
  void say_class(JobClass& c, JobId head, Reason rest, const std::string& detail, Decisions& out);
  void flush_reports(Decisions& out);

  // feasible.cc
  Status feasible(const Job& job) const;
  Result<Start> would_start(const Job& job, Time now, Time* expected) const;
};

}  // namespace bai::sokovan
