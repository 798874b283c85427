// The scheduler's own state. Private to sokovan; one thread.
//
// Equal requests form a class, which holds its startable jobs in order. A full pass takes the best head of all classes again and
// again: it starts, or gets a planned start, or is passed over; a head that did not fit ends its class once no more starts are
// planned. So a pass costs what there is to start and to plan and the number of classes, not the number of jobs. Between full passes
// a change costs what it touches: see wake.cc. doc/sokovan.md tells the whole. Hash maps are looked up, never walked.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "sokovan/asked.h"
#include "sokovan/estimates.h"
#include "sokovan/finder.h"
#include "sokovan/fragmentation.h"
#include "sokovan/licenses.h"
#include "sokovan/option.h"
#include "sokovan/planner.h"
#include "sokovan/policy.h"
#include "sokovan/predictor.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

// A partition and how its queue is worked off.
struct Queue {
  PartitionPtr partition;  // null: it is gone
  Rules rules;
  const Placement* placement = nullptr;
  std::uint32_t arena = 0;        // of its nodes, as of
  std::uint64_t arena_as_of = 0;  // this arena_generation(); 0: not known
  // As of the last full pass:
  bool blocked =
      false;     // one of its jobs waits for resources; no others wait for anything else than that one
  Rank blocker;  // which
  bool more =
      false;  // some wait without a planned start, because they or their users have as many as they may
  std::uint32_t planned = 0;
  std::map<std::uint32_t, std::uint32_t> planned_by_user;  // if there is a limit
  bool headless = false;  // its last planned start is gone, and who comes next has none yet
  // With rules.by_due, of the first that waits, and of the one behind it if `seconded`: when the older of them was submitted.
  Time oldest;
  bool seconded = false;
  // What its nodes have together, as of `generation`.
  std::uint64_t generation = 0;
  std::int64_t nodes = 0, cpus = 0, gpu_milli = 0;
};

struct JobClass {
  std::string key;
  std::shared_ptr<const JobSpec> spec;  // one of its jobs'
  Istr failed_nodes;
  bool any_switches = false;  // it waited long enough for few of them
  std::vector<std::string> partitions;
  std::map<std::string, std::uint32_t> licenses;
  bool bad_licenses = false;
  std::set<QueueKey> queue;
  std::uint32_t jobs = 0;  // that refer to it
  // As of `generation`:
  std::uint64_t generation = 0;
  std::uint32_t tier = 0;
  std::vector<Option> options;
  bool has_fallbacks = false;
  // What the last attempt found:
  bool blocked =
      false;  // its first job that is not planned did not fit, and nothing it could use came free since
  std::uint64_t missing_tasks = 0, missing_nodes = 0;  // at least so much more must come free; see Releases
  std::uint64_t released_tasks = 0;                    // the counters then
  std::uint64_t released_nodes = 0;
  bool no_guess = false;  // in this pass: it does not fit even for a moment
  // What was last said of those that are not planned.
  Reason rest = Reason::kPriority;
  std::string rest_detail;
  JobId first = 0;  // and of the one that waits for more than that, without a planned start
  Reason first_reason = Reason::kResources;
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
  Booking* booking = nullptr;  // kActive
  std::uint32_t job_class = 0;
  Kind kind = Kind::kStopped;
  Reason reported = Reason::kNone;
  bool dependencies_met = true;
  bool any_switches = false;
  std::uint32_t class_epoch = 0;
  Time timer;     // when it is looked at again; 0: never
  Time expected;  // the start that was reported
  Time due;       // see due(); when it was submitted, where that is the order; unset: not in a queue yet
  Seconds predicted = kUnlimited;  // how long it is going to run, as of then
};

struct ArrayInfo {
  JobId head = 0;
  std::uint32_t running = 0;  // tasks that are active or decided
};

// A planned start.
struct Plan {
  std::unique_ptr<Booking> booking;
  Rank rank;
  std::uint32_t job_class = 0;
  std::uint32_t option = 0;  // of the class
  std::uint32_t queue = 0;
  Reason reason = Reason::kPriority;
};

struct Scheduler::Impl {
  explicit Impl(PlacementSource source);

  // ---- what was fed
  Nodes nodes;
  std::vector<Switch> switches;
  Topology topology;
  Licenses licenses;
  std::vector<Queue> queues;  // by number; a name keeps its number
  std::map<std::string, std::uint32_t> queue_index;
  SchedulingSettings settings;
  std::unordered_map<JobId, Entry> jobs;
  std::size_t pending = 0, active = 0;
  Predictor predictor;
  PlacementSource plugins;
  std::map<std::string, Placement> placements;  // "fragmentation", and plugins'
  Fragmentation fragmentation;
  bool learns_shapes = false;  // a partition is placed by it

  // ---- derived
  std::uint64_t generation = 1;     // of nodes' shapes and partitions
  std::uint32_t class_epoch = 1;    // of what tells classes apart
  std::uint64_t up_generation = 1;  // of which nodes are up
  std::vector<std::unique_ptr<JobClass>> classes;
  std::vector<std::uint32_t> free_classes;
  std::unordered_map<std::string, std::uint32_t> class_index;
  mutable std::map<std::string, std::pair<std::uint64_t, std::weak_ptr<const Filter>>> filters;
  std::set<std::pair<Time, JobId>> timers;  // begin times, and ends of the wait for few switches
  std::unordered_map<JobId, ArrayInfo> arrays;
  std::uint64_t last_booking = 0;
  std::unordered_map<std::uint64_t, std::unique_ptr<Booking>> bookings;  // running and decided
  std::set<std::pair<Time, std::uint64_t>> ends;                         // of bookings
  std::unordered_map<JobId, std::vector<std::uint64_t>> decided;         // bookings by job
  std::vector<JobId> unreported;
  Time last_now;
  Finder finder;
  Planner planner;

  // ---- passes
  // A class in a pass: its next job, and how many of an array's tasks were planned already.
  struct Run {
    Rank rank;
    std::uint32_t job_class;
    std::uint32_t tasks_planned;
    bool tried;  // an equal one did not fit: only a planned start is left for it
    friend bool operator<(const Run& a, const Run& b) {
      return b.rank < a.rank;
    }  // for a heap: the best is the largest
  };
  bool in_pass = false, full_pass = false;
  std::vector<Run> heap;
  std::vector<Plan> plans;  // by rank within each queue
  Estimates estimates;
  Time next_planned = kFarFuture;                          // no plan is for an earlier time
  std::unordered_map<JobId, std::uint32_t> planned_tasks;  // how many plans a job has
  std::map<std::uint32_t, Rank>
      last_planned;           // by arena: the last of those who planned there since the full pass
  bool must_pass = true;      // what was planned is void: a full pass comes before anything else
  bool void_standing = true;  // with it, also where planned starts stand
  Time freed_until =
      kBeginning;  // the last of the ends of what came free before its time, since what stands was moved forward
  bool changed = false;  // a full pass could find better plans
  Time last_pass;
  std::uint64_t pass_steps = 0;  // what the last full pass cost
  std::uint64_t steps_before = 0;
  bool guessed_some = false;  // in this pass: one started that a planned start may have to wait for
  std::uint32_t guesses = 0;  // in this pass: jobs looked at behind the first of their class; bounded
  std::vector<std::uint32_t> touched_nodes;             // something came free there
  std::vector<std::pair<std::uint32_t, JobId>> joined;  // jobs that joined the queue of a class
  bool touched_licenses = false;
  bool nodes_came = false;                               // some can be used that could not
  std::uint64_t released_tasks = 0, released_nodes = 0;  // CPUs and nodes that came free, ever

  // feed.cc
  void set_node(const NodeSet& set);
  void node_gone(const NodeGone& gone);
  void set_partition(const PartitionPtr& partition);
  void partition_gone(const Istr& name);
  const Partition* partition_named(const Istr& name) const;  // null: there is none
  void set_settings(const SchedulingSettings& to);
  void set_topology(std::vector<Switch> to);
  void set_job(const JobPtr& job, bool dependencies_met);
  void set_active(const JobPtr& job);
  void set_pending(const JobPtr& job, bool dependencies_met);
  void remove_job(JobId id);
  void unlink(Entry& entry);  // out of queues and bookings, not out of `jobs`
  void enqueue(Entry& entry, Time now);
  void fire_timers(Time now);

  // bookings.cc
  Booking booking_of(const Job& job);
  std::pair<Time, Time> ends_of(const Job& job) const;  // expected, at the latest
  Booking* acquire(Booking booking);
  void release(std::uint64_t id);
  void drop_decided(JobId id);
  void move_end(Booking& booking, Time to);
  void extend_overdue(Time now);
  void touch_nodes(const Booking& booking);
  bool array_is_full(const Job& job) const;  // runs as many tasks as it may
  void unpark(JobId array);

  // classes.cc, options.cc
  std::string class_key(const Job& job, bool any_switches) const;
  JobClass make_class(const Job& job, bool any_switches) const;
  std::uint32_t class_of(const Job& job, bool any_switches);
  void leave_class(std::uint32_t job_class);
  void reclass();  // when what classes are told apart by has changed
  bool users_matter(std::string_view partitions) const;
  void refresh(JobClass& c);
  void add_options(const JobClass& c, std::uint32_t queue, bool limits, std::vector<Option>& out);
  Option make_option(const JobClass& c, std::uint32_t queue, const ResourceRequest& request,
                     const Constraint& constraint, const FeatureTest* matching, std::string_view avoid,
                     bool limits);
  std::vector<std::uint32_t> queues_of(const JobClass& c) const;
  std::uint32_t arena_of(Queue& q);
  std::shared_ptr<const Filter> filter_of(std::uint32_t arena, const ResourceRequest& request,
                                          const Constraint& constraint, const FeatureTest* matching,
                                          std::string_view avoid);
  Seconds limit_in(const JobSpec& spec, const Partition& partition) const;
  // How long it is expected to run, for planning.
  Seconds expected(const Option& option) const;
  bool is_up(Option& option);  // nodes that are up could hold it
  const Placement* placement_named(std::string_view name);

  // due.cc
  static QueueKey key_of(const Entry& entry) { return {entry.job->priority, entry.job->id, entry.due}; }
  void set_due(Entry& entry);
  Share share_asked(const ResourceRequest& request, Queue& q);
  bool is_cheap() const;  // a full pass, as of the last
  bool by_due(const JobClass& c) const;
  void note_second(const JobClass& c, const Entry& entry);
  bool may_guess(const JobClass& c, const Option& option, const Entry& entry, Time now) const;
  bool endangers(const std::vector<Pick>& picks, Time end) const;
  bool goes_on_guessing(const JobClass& c) const;

  // pass.cc
  Decisions decide(Time now, const Budget& budget);
  void begin_full_pass(Time now, Decisions& out);
  void push(std::uint32_t job_class, const QueueKey& key, std::uint32_t tasks_planned, bool tried,
            bool passing);
  void run(Run next, Time now, Decisions& out);
  bool usable(const Option& option) const;  // its queue does not stop it
  bool has_quota(const Option& option, std::uint32_t uid) const;
  std::uint32_t tasks_left(const Job& job, std::uint32_t planned) const;
  const Option* startable(JobClass& c, Time now, std::vector<Pick>& picks, Decisions& out);
  const Option* guessed(JobClass& c, const Entry& entry, Time now, std::vector<Pick>& picks, Decisions& out);
  bool try_start(JobClass& c, Entry& entry, bool surely, Time now, Decisions& out);
  void start(JobClass& c, Entry& entry, const Option& option, std::vector<Pick> picks, Time now,
             Decisions& out);
  void park(JobClass& c, Entry& entry);
  std::shared_ptr<const Allocation> allocation_of(const Option& option, const std::vector<Pick>& picks) const;
  NodeShare share_of(std::uint32_t node, std::uint32_t tasks, const Taken& taken) const;
  bool holds(const Option& option, const Allocation& allocation, const std::vector<Pick>& picks) const;

  // plans.cc
  enum class Planning : std::uint8_t { kPlanned, kNoQuota, kNever };
  Planning plan(JobClass& c, std::uint32_t job_class, Entry& entry, const Rank& rank, Time now);
  bool find_plan(const Option& option, Time now, Planned& out);
  void add_plan(std::uint32_t job_class, std::uint32_t option, const Job& job, const Rank& rank,
                Reason reason, Planned planned);
  void note_plan(const Plan& plan);
  void unbook(const Plan& plan);
  void drop_plan(std::size_t index);
  void drop_plans_of(JobId id);
  std::vector<Plan> drop_plans(bool those_that_stand);
  void plan_again(Time now);  // the same jobs, around what has started
  void plan_anew() { must_pass = void_standing = true; }
  void move_plans_forward(Time now, Decisions& out);
  void void_late_plans(Time now);
  std::vector<PlannedStart> planned_starts() const;

  // wake.cc
  void begin_small_pass(Time now, Decisions& out);
  void start_planned_early(const std::vector<std::uint32_t>& freed, bool licensed, Time now, Decisions& out);
  bool could_but_for_plans(const Option& option, Time now);
  bool someone_can_again();
  bool someone_joined_before_standing_plans();
  void plan_new_heads(Time now, Decisions& out);
  std::set<QueueKey>::const_iterator first_unplanned(const JobClass& c) const;
  JobClass* first_in(const std::set<std::uint32_t>& in, const std::set<std::uint32_t>& but,
                     std::uint32_t& job_class);

  // reports.cc
  void say(Entry& entry, Reason reason, const std::string& detail, Time expected, Decisions& out);
  void say_class(JobClass& c, Reason rest, const std::string& detail);
  void flush_reports(Decisions& out);

  // feasible.cc
  Status feasible(const Job& job);
  Result<Start> would_start(const Job& job, Time now, Time* expected);

  // explain.cc
  class Explainer;
  Result<Explanation> explain(JobId id, Time now);

  // snapshot.cc
  std::vector<Change> snapshot() const;
  std::vector<Delay> without(const std::vector<Istr>& leaving, Time now) const;
};

}  // namespace bai::sokovan
