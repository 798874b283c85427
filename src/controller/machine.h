// Machine: the controller's truth, and all its rules, as a function from inputs to outputs. No I/O, no threads, no clock.
// One thread calls it. What it changes is in Output::batch; what may be told to anyone is in Output::effects and leaves only
// after the batch is durable. DESIGN: "The life of a job".
//
// One class, several files by subject: submit.cc (admission), actions.cc (cancel, hold, release, requeue), interrupt.cc (suspend, resume,
// notices), update.cc, lifecycle.cc (starts, ends, arrays), hooks.cc (prologs and epilogs), steps.cc, step_use.cc, dependencies.cc,
// agents.cc (registry, silence), machine.cc (the rest).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "controller/estimate_log.h"
#include "controller/io.h"
#include "controller/step_layout.h"
#include "controller/use_queries.h"
#include "sokovan/admission.h"

namespace bai::controller {

inline constexpr std::uint32_t kDefaultPriority = 1'000'000;
// Answers to changing requests are kept in memory this long; later repeats are looked up in the store. Longer than a MUNGE
// credential lives, so that a first sending can never arrive after its answer was dropped.
inline constexpr std::int64_t kAnswerMemoryMs = 15 * 60 * 1000;
inline constexpr std::int64_t kResendMs = 5'000;
// A step that its agent has not, made before a restart: its client has so long to ask again.
inline constexpr std::int64_t kStepRequestMs = 60'000;
// Ended jobs that each tick may forget; an agent's report makes up for twice the ends that it brings, so that they leave as fast as
// they come. Those that are needed after MinJobAge are looked at again after so many seconds.
inline constexpr std::size_t kForgetPerTick = 2'000;
inline constexpr Seconds kAskAgain = 30;
// How often one request may make all nodes be looked at; once costs at most a tenth of a millisecond with ten thousand of them.
inline constexpr std::uint32_t kSearchesPerRequest = 2'000;
// A setting whose name ends in an id, and whose text is one: jobs between them may have been given by a database that was lost.
inline constexpr std::string_view kUnknownJobs = "unknown_jobs/";

// Settings that name partitions made at run time, with a slash behind the name.
inline constexpr std::string_view kMadePartitions = "partition_made/";
// What a job says while it is CONFIGURING and PrologCtld is not over; kept, so that a later controller knows.
inline constexpr std::string_view kPrologRuns = "the controller's prolog runs";

// Why a job ends with SchedulerParameters=kill_invalid_depend.
inline constexpr std::string_view kNeverSatisfied = "its dependency can never be satisfied";

struct MachineStart {
  std::shared_ptr<const ClusterConfig> config;
  Lineage lineage;  // as the store was opened: durable
  store::Loaded loaded;
  Time now;
  std::int64_t mono_ms = 0;
  JobId unknown_from =
      0;  // after an accepted loss: ids from here to lineage.last_job_id may have been given before
  std::uint64_t life = 0;  // how often the store was loaded anew in this epoch: signals are told apart by it
};

// It was told to leave its nodes, and may use them until its grace is over.
bool is_leaving(const Job& job);

class Machine {
 public:
  // `out` gets the first feed for the scheduler and the first view.
  Machine(MachineStart start, Output& out);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Appends to `out`; several inputs may share one Output, and so one commit.
  void handle(const Input& input, Output& out);

  // For tests and the simulation: what must always hold. Empty when it does, else what is broken.
  std::string check_invariants() const;
  Lsn lsn() const { return lsn_; }
  JobPtr find(JobId id) const;
  std::size_t job_count() const { return jobs_.size(); }
  // The connections that wait for a job's end: whoever drops this machine must end them.
  std::vector<ConnId> waiting() const;

 private:
  struct JobEntry {
    JobPtr job;
    bool dependencies_met = true;
  };
  struct NodeEntry {
    std::shared_ptr<Node> node;  // the newest; copied into the view when changed
    store::NodePut decision;
    bool configured = true;
    bool registered = false;
    ConnId conn = 0;
    std::int64_t heard_ms = 0;  // or when its grace began
    bool lost = false;          // its jobs were ended for silence
    sokovan::NodeRoom room;
    sokovan::Tenants tenants;
    std::set<JobId> jobs;                   // that hold something here
    std::vector<DeviceShare> devices_used;  // by them
    IdSet cpus_taken;                       // by them
    std::set<wire::AttemptKey> stale;       // attempts that must end before new work comes
    wire::NodeHooks hooks = 0;              // as it registered
  };
  // Where a start is among the site's programs around it. kRuns, from the beginning to the end, when there are none.
  enum class Stage : std::uint8_t { kPrologCtld, kProlog, kRuns, kEpilog, kEpilogCtld };
  // A prolog or epilog of one start on one of its nodes.
  struct HookRun {
    Istr node;
    bool ended = false;
    std::int64_t sent_ms = 0;  // 0: not yet
  };
  // Whether a shepherd stands still, or goes on, as the job's record wants it.
  struct Standing {
    std::uint64_t done = 0;  // the generation that it has carried out
    std::int64_t sent_ms = 0;
  };
  // One start of a job that has not ended: the edge to its batch node's agent. Of an allocation, which has no batch script, `node` is empty.
  struct Running {
    Istr node;
    bool acknowledged = false;  // the agent has claimed it
    std::int64_t sent_ms = 0;   // launch or termination, last
    int sends = 0;
    bool terminating = false;
    std::uint64_t generation = 0;  // of the last termination
    bool kill_now = false;
    wire::AttemptEnd as = wire::AttemptEnd::kCancelled;
    Standing standing;
    std::optional<wire::AttemptReport> ended;  // it waits for steps to end, too, or for epilogs
    Stage stage = Stage::kRuns;
    std::vector<HookRun> hooks;  // of this stage
  };
  // One node's part of a step.
  struct StepNode {
    Istr node;
    bool acknowledged = false, ended = false;
    std::int64_t sent_ms = 0;
    int sends = 0;
    wire::AttemptEnd end = wire::AttemptEnd::kExited;
    ExitStatus exit;
    Usage usage;
    Time started, ended_at;
    std::string message;
    Standing standing;
  };
  struct StepEntry {
    StepPtr step;
    std::shared_ptr<const wire::StepRequest> request;  // null after a restart, until its client asks again
    std::int64_t loaded_ms = 0;                        // then: since when it is waited for
    std::vector<StepNode> nodes;                       // as step->nodes
    bool terminating = false, kill_now = false;
    bool in_grace = false;  // of its job: what was sent is no more than the notice
    std::uint64_t generation = 0;
    wire::AttemptEnd as = wire::AttemptEnd::kCancelled;
    std::uint32_t ended_by_uid = kNoUid;
    std::vector<std::pair<ConnId, RequestId>> clients;  // to hear of its end
  };
  struct WaitingStep {  // until other steps of its job end
    ConnId conn = 0;
    RequestId id;
    std::uint32_t uid = 0;
    std::shared_ptr<const wire::StepRequest> request;
  };
  // Of one start of a job.
  struct JobSteps {
    StepId next = 0;
    std::vector<StepRoom> rooms;  // as the allocation's nodes
    std::map<StepId, StepEntry> live;
    std::deque<WaitingStep> waiting;
  };
  // A client that an allocation was made for, or that watches it.
  struct Holder {
    ConnId conn = 0;
    RequestId id;
    bool lease = false;
  };
  struct ArrayEntry {
    std::map<std::uint32_t, JobId> tasks;  // that have records of their own
    std::uint64_t unfinished = 0;          // waiting ones in the head included
  };
  struct Answer {
    std::uint32_t uid = 0;
    std::string bytes;
  };

  // machine.cc
  void on_command(const FromCommand& command);
  void on_tick();
  void on_reconfigure(const Reconfigure& input);
  void reply(ConnId conn, const RequestId& id, wire::ReplyBody body);
  void reply_error(ConnId conn, const RequestId& id, Error error);
  void answer(const FromCommand& command, wire::ReplyBody body);  // to a changing request: remembered
  void answer(ConnId conn, const RequestId& id, std::uint32_t uid, wire::ReplyBody body);
  template <class C>
  void change(C c);  // gives it the next LSN
  Lsn next_lsn();
  void put_job(Job job);
  void put_volatile(Job job);  // view and scheduler only: estimates, reasons
  void feed_job(const JobEntry& entry);
  void tell(sokovan::Change change);  // the scheduler
  void event(const Job& before, const Job& after, std::string_view cause, std::uint32_t actor);
  // Moves and records; the illegal is refused loudly.
  void move(Job job, JobState to, std::string_view cause, std::uint32_t actor);
  void set_trouble(std::string text);
  Seconds time_limit_in_force(const Job& job) const;
  const Partition* partition_of(const Job& job) const;
  void load(store::Loaded loaded);
  void load_config();
  void forget_old(std::size_t budget);
  void mail(const Job& job, std::uint16_t event, std::string_view what);

  // submit.cc
  void on_submit(const FromCommand& command, const wire::SubmitRequest& request);
  Result<JobId> admit(const Caller& caller, const wire::Submission& submission);
  Status check_request(const ResourceRequest& request) const;
  Status check_submission(const Caller& caller, const wire::Submission& submission, JobSpec& spec) const;
  Status check_partitions(const Caller& caller, JobSpec& spec) const;
  // Whether nodes could run it that are up, or down for now.
  Status check_nodes(const JobSpec& spec);

  // actions.cc
  void on_action(const FromCommand& command, const wire::ActionRequest& request);
  std::vector<wire::JobRef> select(const wire::JobFilter& filter, const Caller& caller,
                                   std::vector<wire::JobResult>& unknown) const;
  wire::JobResult act(const Caller& caller, const wire::JobRef& ref, const wire::ActionRequest& request);
  wire::JobResult cancel(const Caller& caller, const wire::JobRef& ref, const JobPtr& job,
                         const wire::ActionRequest& request);
  wire::JobResult hold(const Caller& caller, const wire::JobRef& ref, const JobPtr& job, bool as_user);
  wire::JobResult release(const Caller& caller, const wire::JobRef& ref, const JobPtr& job);
  wire::JobResult requeue(const Caller& caller, const wire::JobRef& ref, const JobPtr& job, bool held);

  // interrupt.cc
  wire::JobResult suspend(const Caller& caller, const wire::JobRef& ref, const JobPtr& job);
  wire::JobResult resume(const Caller& caller, const wire::JobRef& ref, const JobPtr& job);
  void end_standstill(Job& job);
  void send_standing(JobId id, bool now);
  void resend_standing();
  void take_off(Job copy, wire::AttemptEnd as, std::string_view cause, std::uint32_t actor);
  void put_notice(const Job& job, bool batch, wire::SignalOrder& order) const;
  void end_graces();

  // update.cc
  void on_update(const FromCommand& command, const wire::UpdateRequest& request);
  Status update_job(const Caller& caller, const wire::JobRef& ref,
                    const std::vector<std::pair<std::string, std::string>>& values);
  Status update_node(const Caller& caller, const std::string& name,
                     const std::vector<std::pair<std::string, std::string>>& values);
  Status update_partition(const std::string& name,
                          const std::vector<std::pair<std::string, std::string>>& values);
  Status create_partition(const std::string& name,
                          const std::vector<std::pair<std::string, std::string>>& values);
  Status delete_partition(const std::string& name);
  void drop_settings(const std::string& prefix);
  Partition made_partition(const std::string& name) const;
  Status update_step(const Caller& caller, const wire::JobRef& ref,
                     const std::vector<std::pair<std::string, std::string>>& values);
  Status apply_partition_value(Partition& partition, const std::string& key, const std::string& value) const;

  // lifecycle.cc
  void on_decided(const Decided& decided);
  std::shared_ptr<const Allocation> with_cpus(Allocation allocation);
  bool start(const sokovan::Start& start);
  JobPtr split_task(const Job& head, std::uint32_t task);  // the task's own record; the head loses it
  JobPtr task_record(JobId array, std::uint32_t task,
                     bool split);  // null when there is none (and split is false)
  void attempt_running(const JobPtr& job, const wire::AttemptReport& report);
  // False when the job's end must wait for its steps'.
  bool attempt_ended(const JobPtr& ending, const wire::AttemptReport& report);
  void end_attempt(const JobPtr& job, const wire::AttemptReport& report);
  void finish(Job job, JobState state, std::string_view cause, std::uint32_t actor);
  static void note_failed_node(Job& job, const Istr& node);
  // `attempt_ends`: what accounting says of the attempt that ended, kRequeued or kNodeFail.
  void back_to_queue(Job job, std::string_view cause, JobState attempt_ends, std::uint32_t actor, Hold hold);
  void terminate(const JobPtr& job, bool kill_now, wire::AttemptEnd as);
  void send_launch(const Job& job, Running& running);
  void send_termination(const Job& job, Running& running);
  void occupy(const Job& job);
  void vacate(const Job& job);
  void release_waiters(JobId id);
  bool may_requeue(const Job& job) const;

  // steps.cc
  void on_step(const FromCommand& command, const wire::StepRequest& request);
  void on_attach(const FromCommand& command, const wire::AttachRequest& request);
  void rejoin_step(const wire::ReplyBody& first, const FromCommand& command);
  JobSteps& steps_of(const Job& job);
  bool has_live_steps(JobId id) const;
  bool try_step(const JobPtr& job, JobSteps& steps, const WaitingStep& wanted);
  void try_waiting_steps(JobId id);
  Seconds step_limit(const Job& job, const Step& step) const;
  void send_limits(const Job& job);
  void tell_limits(const NodeEntry& at, const std::set<wire::AttemptKey>& known, wire::AgentOrders& orders);
  void send_step(const Job& job, StepEntry& entry, StepNode& run);  // its launch, or its end
  void terminate_step(const Job& job, StepEntry& entry, bool kill_now, wire::AttemptEnd as);
  void terminate_steps(const Job& job, bool kill_now, wire::AttemptEnd as);
  void signal_step(StepEntry& entry, std::uint16_t signal);
  std::string parent_address(const StepEntry& entry, const StepNode& run);
  StepNode* step_node(const wire::AttemptKey& key, const Istr& name, StepEntry*& entry);
  void step_reported(StepEntry& entry, StepNode& run, const wire::AttemptReport& report);
  void end_step(JobId id, StepEntry& entry);
  void forget_parts(const StepEntry& entry);
  void close_step(JobId id, StepEntry& entry, Step step, wire::StepEndReply news);
  void last_step_ended(JobId id);
  void abandon_steps(const Job& job, std::string_view why);
  void resend_steps();
  bool forsaken(const Job& job, const StepEntry& entry);
  void steps_missing_on(NodeEntry& at, const std::set<wire::AttemptKey>& known);
  void load_steps(const std::vector<StepPtr>& steps);
  wire::JobResult cancel_batch(const Caller& caller, const wire::JobRef& ref, const JobPtr& job,
                               const wire::ActionRequest& request);
  wire::JobResult cancel_step(const Caller& caller, const wire::JobRef& ref, const JobPtr& job,
                              const wire::ActionRequest& request);
  void on_hold(const FromCommand& command, const wire::HoldRequest& request);
  void tell_holders(const Job& job);
  void allocation_started(JobId id);
  void end_allocation(JobId id, bool kill_now, wire::AttemptEnd as, ExitStatus exit);
  wire::JobResult complete(const wire::JobRef& ref, const JobPtr& job, const wire::ActionRequest& request);
  void check_allocations();
  void step_client_closed(ConnId conn);

  // step_use.cc
  void on_use(const FromCommand& command, const wire::UseRequest& request);
  Result<std::vector<wire::StepUse>> steps_in_use(const Job& job, const wire::JobRef& ref,
                                                  const wire::UseRequest& request);
  void reply_uses();

  // hooks.cc
  void begin_start(JobId id);
  void begin_prologs(JobId id);
  void run_beside(JobId id, Hook hook);
  void on_hook_done(const HookDone& done);
  // False when there is none to wait for.
  bool begin_epilogs(const JobPtr& job, const wire::AttemptReport& report);
  void launch(JobId id);
  std::vector<HookRun> hook_runs(const Job& job, wire::NodeHooks which);
  bool may_come(const NodeEntry& entry) const;
  void send_hook(const Job& job, HookRun& run);
  void send_hooks();
  void hook_reported(NodeEntry& entry, const JobPtr& job, const wire::AttemptReport& report);
  // `entry`: null for the controller's.
  void prolog_failed(NodeEntry* entry, const JobPtr& job, std::string_view why);
  void hook_ended(JobId id, const Istr& node);
  void stage_over(JobId id);
  void forget_hooks(const Job& job);
  // Its outcome is settled; only epilogs are waited for.
  bool in_epilog(JobId id) const;
  void drain(NodeEntry& entry, std::string_view why);
  // Its node is lost, and others have epilogs to run.
  void end_with_epilogs(Job job, const Istr& lost);
  void resume_hooks();  // after a restart

  // dependencies.cc
  Status check_dependencies(Dependencies& dependencies, bool lost_hold) const;
  void watch_dependencies(const Job& job);
  void unwatch_dependencies(const Job& job);
  void note_delays(const Job& job);          // what has started and only time is missing
  void reconsider_dependents(JobId id);      // a job or array started or ended
  bool evaluate(Job& job, bool& met) const;  // true when the record changed
  DependencyState evaluate_one(const Job& job, const Dependency& dependency) const;

  // agents.cc, devices.cc
  void on_agent(const FromAgent& message);
  void on_register(ConnId conn, const wire::AgentRegister& hello);
  void on_report(NodeEntry& entry, const wire::AttemptReport& report, std::vector<wire::AttemptKey>& forget);
  bool surely_ended(JobId id) const;
  void on_closed(ConnId conn);
  void check_silence();
  void end_jobs_of_lost(NodeEntry& entry);
  void node_lost(NodeEntry& entry, std::string_view why);
  void node_changed(NodeEntry& entry);                                  // view and scheduler
  bool devices_reported(NodeEntry& entry, const DeviceReport& report);  // true: node_changed() must follow
  void device_changed(NodeEntry& entry, const Istr& kind, std::uint32_t index, const std::string& why);
  void decide_node(NodeEntry& entry);  // its decision becomes durable
  NodeEntry* node(std::string_view name);
  void resend();

  std::shared_ptr<const ClusterConfig> config_;
  Lineage lineage_;
  Lsn lsn_ = 0;
  JobId last_job_id_ = 0;
  std::string trouble_;
  std::map<JobId, JobEntry> jobs_;
  std::map<JobId, ArrayEntry> arrays_;
  std::map<JobId, Running> running_;
  std::map<JobId, JobSteps> steps_;  // of active jobs that had one
  std::map<JobId, std::vector<Holder>> holders_;
  UseQueries uses_;
  std::set<JobId> unsettled_;             // suspended or resumed, and not all nodes have said so
  std::set<JobId> in_grace_;              // taken off their nodes, with time left
  std::set<ConnId> followers_;            // connections of clients of steps and allocations
  std::map<JobId, std::int64_t> leases_;  // since when nobody holds it, monotonic ms; 0: somebody does
  std::map<std::string, NodeEntry, std::less<>> nodes_;
  std::map<std::string, PartitionPtr, std::less<>> partitions_;
  std::map<std::string, std::string> settings_;  // as loaded, and partitions' overrides since
  EstimateLog estimates_;
  std::map<ConnId, std::string> agents_;  // session -> node
  std::unordered_map<RequestId, Answer> answers_;
  std::deque<std::pair<std::int64_t, RequestId>> answer_ages_;
  std::map<JobId, std::set<JobId>> dependents_;  // target -> who waits for it
  std::set<JobId> singletons_;                   // waiting ones
  std::set<JobId> delayed_;                      // after:ID+MINUTES whose ID has started
  std::set<std::pair<Time, JobId>> deadlines_;   // of waiting jobs
  std::set<std::pair<Time, JobId>>
      finished_;  // until forgotten: by end, or when they were still needed, later
  std::map<JobId, std::vector<std::pair<ConnId, RequestId>>> waiters_;
  sokovan::Admission admission_;
  std::uint32_t searches_ = 0;  // that admission_ may make in the request under way
  InternPool texts_;            // jobs submitted after each other share what they have in common
  std::uint64_t signal_generation_ = 0;
  std::int64_t last_tick_ms_ = 0;
  bool breaker_ = false;  // most nodes went silent at once
  // During one handle():
  Time now_;
  std::int64_t mono_ms_ = 0;
  Output* out_ = nullptr;
};

// A change's place in the one order.
template <class C>
void Machine::change(C c) {
  next_lsn();
  out_->batch.changes.emplace_back(std::move(c));
}

}  // namespace bai::controller
