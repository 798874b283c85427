// The requests that commands make of bai-ctld and its replies. Cereal structs; protocol version 1.
// Alternatives are only ever appended to the variants. Everything is bounded by archive.h's caps when decoded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/explanation.h"
#include "model/job.h"
#include "model/node.h"
#include "model/step.h"
#include "model/step_use.h"
#include "wire/job_table.h"

namespace bai::wire {

inline constexpr std::uint32_t kProtocolVersion = 1;
inline constexpr std::size_t kMaxRequestBytes = 64 << 20;
inline constexpr std::size_t kMaxScriptBytes = 16 << 20;
inline constexpr std::size_t kMaxEnvironmentBytes = 16 << 20;

struct ErrorBody {
  Error error;
  template <class A>
  void serialize(A& a) {
    a(error.code, cap(error.message, 65536), error.place, cap(error.remedy, 65536));
  }
};

// A job, or one task of an array (task != kNoTask), or one step of a job.
struct JobRef {
  JobId job = 0;
  std::uint32_t task = kNoTask;
  StepId step = kNoStep;
  friend auto operator<=>(const JobRef&, const JobRef&) = default;
  template <class A>
  void serialize(A& a) {
    a(job, task, step);
  }
};

// Which jobs; an empty list matches all. Lists are and-ed, their entries or-ed.
struct JobFilter {
  std::vector<JobRef> jobs;
  std::vector<std::string> users;  // names or uids, as typed; the controller resolves them
  std::vector<std::string> partitions, names, accounts, nodes;
  std::vector<JobState> states;  // empty: whatever the request's default is
  bool mine = false;             // --me
  template <class A>
  void serialize(A& a) {
    a(cap(jobs, 1 << 20), users, partitions, names, accounts, cap(nodes, 65536), states, mine);
  }
};

// ---- requests

struct PingRequest {
  template <class A>
  void serialize(A&) {}
};

struct ContentBlob {
  std::string bytes;  // its hash is computed again by the receiver
  template <class A>
  void serialize(A& a) {
    a(blob(bytes, kMaxEnvironmentBytes));
  }
};

struct Submission {
  JobSpec spec;
  LaunchRecord launch;
  std::optional<IdSet> array_tasks;
  std::uint32_t array_max_running = 0;
  bool hold = false;
  bool lost_dependencies_hold = false;  // as Slurm has it: a job that is not there was long done, and well
  std::optional<std::uint32_t> priority;
  template <class A>
  void serialize(A& a) {
    a(spec, launch, array_tasks, array_max_running, hold, lost_dependencies_hold, priority);
  }
};

// One or many. Each is taken or refused on its own; all that are taken are durable together. test_only queues nothing.
struct SubmitRequest {
  std::vector<ContentBlob> contents;  // scripts and environments that the launches name by hash
  std::vector<Submission> jobs;
  bool test_only = false;
  template <class A>
  void serialize(A& a) {
    a(cap(contents, 65536), cap(jobs, 65536), test_only);
  }
};

// Jobs that are queued, active, or finished within MinJobAge. Answered by JobTables in id order, the last with more=false.
struct QueueRequest {
  JobFilter filter;
  bool finished_too = false;  // with no states given: also finished ones
  template <class A>
  void serialize(A& a) {
    a(filter, finished_too);
  }
};

// The same as a stream: the matching jobs first (JobTables with more=true), then a WatchBatch per change until the caller leaves.
struct WatchRequest {
  JobFilter filter;
  template <class A>
  void serialize(A& a) {
    a(filter);
  }
};

// Answered once when every task of the job has ended.
struct WaitRequest {
  JobId job = 0;
  template <class A>
  void serialize(A& a) {
    a(job);
  }
};

struct HistoryRequest {  // the moves of one job's life
  JobRef job;
  template <class A>
  void serialize(A& a) {
    a(job);
  }
};

struct AccountingRequest {  // finished jobs from the store, and running ones
  JobFilter filter;
  Time since, until;
  bool all_users = false;
  template <class A>
  void serialize(A& a) {
    a(filter, since, until, all_users);
  }
};

struct ClusterRequest {  // nodes and partitions
  template <class A>
  void serialize(A&) {}
};

struct ConfigRequest {
  template <class A>
  void serialize(A&) {}
};

struct DiagRequest {
  bool reset = false;
  template <class A>
  void serialize(A& a) {
    a(reset);
  }
};

// kComplete: an allocation without a batch script has done its work.
enum class JobAction : std::uint8_t {
  kCancel,
  kHold,
  kRelease,
  kRequeue,
  kRequeueHold,
  kComplete,
  kSuspend,
  kResume,
};

struct ActionRequest {
  JobAction action = JobAction::kCancel;
  JobFilter filter;
  std::uint16_t signal = 0;  // kCancel: 0 ends the job, else only this signal is sent
  bool batch_only = false;   // --batch
  bool full = false;         // --full
  bool user_hold = false;    // kHold by an operator as a user's hold
  ExitStatus exit;           // kComplete: the job's
  template <class A>
  void serialize(A& a) {
    a(action, filter, signal, batch_only, full, user_hold, exit);
  }
};

// Partitions can also be made and unmade; what the configuration has cannot be deleted.
enum class UpdateKind : std::uint8_t { kJob, kNode, kPartition, kCreatePartition, kDeletePartition };

// bai-control update: keys as scontrol's, lower case ("timelimit", "state", "reason"); the controller parses the values.
struct UpdateRequest {
  UpdateKind kind = UpdateKind::kJob;
  std::vector<JobRef> jobs;
  std::vector<std::string> names;  // nodes or partitions
  std::vector<std::pair<std::string, std::string>> values;
  template <class A>
  void serialize(A& a) {
    a(kind, jobs, cap(names, 65536), cap(values, 100));
  }
};

struct ReconfigureRequest {
  template <class A>
  void serialize(A&) {}
};

struct ShutdownRequest {
  bool agents_too = false;
  template <class A>
  void serialize(A& a) {
    a(agents_too);
  }
};

struct LogLevelRequest {
  std::string level;  // error, warn, info, debug, trace
  template <class A>
  void serialize(A& a) {
    a(level);
  }
};

// Why a job waits. Answered by WhyReply.
struct WhyRequest {
  JobRef job;
  template <class A>
  void serialize(A& a) {
    a(job);
  }
};

// What would change if nodes were taken out of service now. Answered by DrainPlanReply.
struct DrainPlanRequest {
  std::vector<std::string> nodes;  // host lists
  template <class A>
  void serialize(A& a) {
    a(cap(nodes, 65536));
  }
};

// An allocation's client says that it is there. Answered by an AllocationReply when the job starts, and by another when it ended;
// with `lease`, a job without a batch script ends InactiveLimit after this connection does.
struct HoldRequest {
  JobId job = 0;
  bool lease = true;
  template <class A>
  void serialize(A& a) {
    a(job, lease);
  }
};

// A step of a running job. Answered by a StepReply once the job has what it asks for (at once, or never with `immediate`), and by a
// StepEndReply when it ended.
struct StepRequest {
  JobId job = 0;
  StepSpec spec;
  StepRun run;
  LaunchRecord launch;
  std::string script;       // of --multi-prog
  std::string environment;  // "K=V\0K=V\0"
  bool immediate = false;
  template <class A>
  void serialize(A& a) {
    a(job, spec, run, launch, blob(script, kMaxScriptBytes), blob(environment, kMaxEnvironmentBytes),
      immediate);
  }
};

// The step's shepherds dial this client, too. Answered by a StepReply, and by a StepEndReply when it ended.
struct AttachRequest {
  JobId job = 0;
  StepId step = 0;
  StepClientAddress client;
  bool write = false;  // to the tasks' standard input too, not only read
  template <class A>
  void serialize(A& a) {
    a(job, step, client, write);
  }
};

// Steps of jobs, running and ended, from the store. Answered by StepsReplies, the last with more=false.
struct StepsRequest {
  std::vector<JobId> jobs;  // empty: of all that run
  template <class A>
  void serialize(A& a) {
    a(cap(jobs, 1 << 20));
  }
};

// What running steps use now. The nodes are asked when this is, and nothing is kept. Answered by a UseReply when all have
// answered, or after a few seconds with what there is.
struct UseRequest {
  std::vector<JobRef> jobs;
  bool all_steps =
      false;              // of a job without a step; otherwise the lowest that runs, or else its batch script
  bool batch_too = true;  // "or else"
  template <class A>
  void serialize(A& a) {
    a(cap(jobs, 65536), all_steps, batch_too);
  }
};

// The batch script of a job that is queued, active or lately ended, and the environment that it was given. Its owner's and operators'.
// Answered by a ScriptReply.
struct ScriptRequest {
  JobRef job;
  template <class A>
  void serialize(A& a) {
    a(job);
  }
};

using RequestBody =
    std::variant<PingRequest, SubmitRequest, QueueRequest, WatchRequest, WaitRequest, HistoryRequest,
                 AccountingRequest, ClusterRequest, ConfigRequest, DiagRequest, ActionRequest, UpdateRequest,
                 ReconfigureRequest, ShutdownRequest, LogLevelRequest, WhyRequest, DrainPlanRequest,
                 HoldRequest, StepRequest, AttachRequest, StepsRequest, UseRequest, ScriptRequest>;

struct Request {
  RequestId id;         // made by the caller; a repeat of a changing request gets the first answer
  bool repeat = false;  // it was sent before and its outcome is unknown
  RequestBody body;
  template <class A>
  void serialize(A& a) {
    a(id, repeat, body);
  }
};

// ---- replies

struct PongReply {
  std::string cluster, host, version;
  Lineage lineage;
  Time now, started;
  bool admitting = true;                     // false while the store refuses writes
  std::string trouble;                       // why, then
  std::uint32_t nodes = 0, nodes_ready = 0;  // registered and responding
  template <class A>
  void serialize(A& a) {
    a(cluster, host, version, lineage, now, started, admitting, cap(trouble, 65536), nodes, nodes_ready);
  }
};

struct JobResult {
  JobRef ref;
  std::optional<ErrorBody> error;
  std::string note;  // "already finished", ... for a person
  template <class A>
  void serialize(A& a) {
    a(ref, error, note);
  }
};

struct SubmitReply {
  std::vector<JobResult> results;  // in the request's order
  // test_only:
  Time expected_start;
  std::uint32_t cpus = 0;
  std::string node_list, partition;
  std::vector<std::string> warnings;
  template <class A>
  void serialize(A& a) {
    a(cap(results, 65536), expected_start, cpus, cap(node_list, 1 << 20), partition, warnings);
  }
};

struct JobsReply {
  Lsn lsn = 0;
  Time now;  // the controller's clock: run times are told by it
  bool more = false;
  bool stale = false;                      // the store is failing; this is what was durable last
  std::vector<std::string> unknown_users;  // of the filter; told once, with the last table
  JobTable table;
  template <class A>
  void serialize(A& a) {
    a(lsn, now, more, stale, unknown_users, table);
  }
};

struct WatchBatch {
  Lsn lsn = 0;
  Time now;
  bool resync = false;      // changes were missed: forget everything; a snapshot follows
  JobTable changed;         // new and changed jobs, finished ones included
  std::vector<JobId> gone;  // no longer match, or forgotten
  template <class A>
  void serialize(A& a) {
    a(lsn, now, resync, changed, cap(gone, 1 << 20));
  }
};

struct WaitReply {
  JobState state = JobState::kCompleted;
  ExitStatus exit;  // of an array: the worst
  template <class A>
  void serialize(A& a) {
    a(state, exit);
  }
};

struct HistoryReply {
  std::vector<JobEvent> events;
  template <class A>
  void serialize(A& a) {
    a(cap(events, 1 << 20));
  }
};

struct ClusterReply {
  Time now;
  bool stale = false;
  std::vector<Node> nodes;  // in configuration order
  std::vector<Partition> partitions;
  template <class A>
  void serialize(A& a) {
    a(now, stale, cap(nodes, 1 << 20), cap(partitions, 65536));
  }
};

struct ConfigReply {
  Time now;
  std::vector<std::pair<std::string, std::string>> values;     // as configured
  std::vector<std::pair<std::string, std::string>> overrides;  // run-time changes, apart
  template <class A>
  void serialize(A& a) {
    a(now, cap(values, 65536), cap(overrides, 65536));
  }
};

struct Metric {
  std::string group, name, unit;  // "requests", "submit_p99", "us"
  double value = 0;
  template <class A>
  void serialize(A& a) {
    a(group, name, unit, value);
  }
};

struct DiagReply {
  Time now, since;
  std::vector<Metric> metrics;
  template <class A>
  void serialize(A& a) {
    a(now, since, cap(metrics, 65536));
  }
};

struct ActionReply {
  std::vector<JobResult> results;  // one per job that the filter names or finds
  template <class A>
  void serialize(A& a) {
    a(cap(results, 1 << 20));
  }
};

struct DoneReply {
  std::vector<std::string> notes;  // what changed, warnings
  template <class A>
  void serialize(A& a) {
    a(cap(notes, 65536));
  }
};

struct WhyReply {
  Time now;
  JobTable table;  // the job
  // Absent when it does not wait.
  std::optional<Explanation> explanation;
  template <class A>
  void serialize(A& a) {
    a(now, table, explanation);
  }
};

struct DrainPlanReply {
  Time now;
  std::vector<Delay> delays;
  std::vector<JobId> running;  // on the nodes: they go on
  template <class A>
  void serialize(A& a) {
    a(now, cap(delays, 1 << 20), cap(running, 1 << 20));
  }
};

struct AllocationReply {
  std::shared_ptr<const Job> job;
  Seconds time_limit = 0;  // in force
  template <class A>
  void save(A& a) const {
    a(*job, time_limit);
  }
  template <class A>
  void load(A& a) {
    auto record = std::make_shared<Job>();
    a(*record, time_limit);
    job = std::move(record);
  }
};

struct StepReply {
  Step step;
  template <class A>
  void serialize(A& a) {
    a(step);
  }
};

struct StepEndReply {
  Step step;
  std::vector<std::pair<Istr, std::string>> messages;  // what nodes said
  template <class A>
  void serialize(A& a) {
    a(step, cap(messages, 65536));
  }
};

struct StepsReply {
  Time now;
  bool more = false;
  std::vector<Step> steps;  // by job, attempt and number
  template <class A>
  void serialize(A& a) {
    a(now, more, cap(steps, 1 << 20));
  }
};

// One node's part of a step that runs. With `missing`, why there is nothing else.
struct NodeUse {
  Istr node;
  std::string missing;
  LiveUse use;
  template <class A>
  void serialize(A& a) {
    a(node, missing, use);
  }
};

struct StepUse {
  JobId job = 0, array_job = 0;
  std::uint32_t array_task = kNoTask;
  Attempt attempt = 0;
  StepId step = 0;
  Istr name, user;
  Time started;
  std::uint32_t tasks = 0, cpus = 0;
  std::vector<NodeUse> nodes;  // in the job's order
  template <class A>
  void serialize(A& a) {
    a(job, array_job, array_task, attempt, step, name, user, started, tasks, cpus, cap(nodes, 65536));
  }
};

struct UseReply {
  Time now;
  std::vector<StepUse> steps;      // in the order that was asked for
  std::vector<JobResult> refused;  // what was asked for and is not there, does not run, or is another's
  template <class A>
  void serialize(A& a) {
    a(now, cap(steps, 1 << 20), cap(refused, 65536));
  }
};

struct ScriptReply {
  std::string script;
  std::string environment;  // "K=V\0K=V\0"
  template <class A>
  void serialize(A& a) {
    a(blob(script, kMaxScriptBytes), blob(environment, kMaxEnvironmentBytes));
  }
};

using ReplyBody =
    std::variant<ErrorBody, PongReply, SubmitReply, JobsReply, WatchBatch, WaitReply, HistoryReply,
                 ClusterReply, ConfigReply, DiagReply, ActionReply, DoneReply, WhyReply, DrainPlanReply,
                 AllocationReply, StepReply, StepEndReply, StepsReply, UseReply, ScriptReply>;

struct Reply {
  RequestId id;
  ReplyBody body;
  template <class A>
  void serialize(A& a) {
    a(id, body);
  }
};

// What decode() says of bytes that are no message.
template <class T>
Result<T> as_message(Result<T> decoded) {
  if (decoded) return decoded;
  return Error{"bad_message", decoded.error().message, decoded.error().place, decoded.error().remedy};
}

// Compiled once, in messages.cc. Decoding refuses anything that is not exactly one message ("bad_message").
std::string encode_request(const Request& request);
Result<Request> decode_request(std::string_view bytes);
std::string encode_reply(const Reply& reply);
Result<Reply> decode_reply(std::string_view bytes);

// Whether the request changes something, and so must be answered once for ever.
bool is_changing(const RequestBody& body);
std::string_view request_name(const RequestBody& body);  // "submit", "queue", ...

}  // namespace bai::wire
