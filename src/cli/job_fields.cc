#include "cli/job_fields.h"

#include <charconv>
#include <cstdio>

#include "base/units.h"
#include "cli/values.h"
#include "model/filename.h"

namespace bai::cli {
namespace {

using wire::JobRow;

constexpr Seconds kYear = 365 * 86400;  // what Slurm takes for no limit when it tells an end
constexpr std::size_t kTasksShown = 64;

void put(std::string& out, std::uint64_t number) {
  char buf[24];
  out.append(buf, std::to_chars(buf, buf + sizeof buf, number).ptr);
}
void put_or_null(std::string& out, std::string_view text) {
  out += text.empty() ? std::string_view("(null)") : text;
}
void put_time(std::string& out, Time at) {
  if (at.is_set())
    out += format_timestamp(at);
  else
    out += "N/A";
}

Seconds time_left(const JobView& job) {
  return job.row->time_limit == kUnlimited ? kUnlimited : job.row->time_limit - run_time(job);
}

void put_tasks(std::string& out, const JobView& job) {
  const std::size_t begin = out.size();
  out += job.text(job.row->array_tasks);
  if (out.size() - begin > kTasksShown) {
    out.resize(begin + kTasksShown - 3);
    out += "...";
  }
  if (job.row->array_max_running != 0) {
    out += '%';
    put(out, job.row->array_max_running);
  }
}

void put_task(std::string& out, const JobView& job) {
  if (job.task != kNoTask)
    put(out, job.task);
  else if (job.is_head())
    put_tasks(out, job);
  else if (job.row->array_id != 0 && job.row->array_task != kNoTask)
    put(out, job.row->array_task);
  else
    out += "N/A";
}

void put_nodes_or_reason(std::string& out, const JobView& job) {
  switch (job.row->state) {
    case JobState::kPending:
    case JobState::kFailed:
    case JobState::kTimeout:
    case JobState::kOutOfMemory:
    case JobState::kDeadline:
      out += '(';
      out += reason_text(job);
      out += ')';
      return;
    default:
      out += job.text(job.row->node_list);
  }
}

void put_memory(std::string& out, const JobView& job) { out += format_memory(asked_memory(job)); }

void put_float_priority(std::string& out, const JobView& job) {
  char buf[40];
  const int n = std::snprintf(buf, sizeof buf, "%16.14f", shown_priority(job) / 4294967295.0);
  out.append(buf, static_cast<std::size_t>(n));
}

// As wait() gives it.
std::uint64_t exit_status(const JobView& job) {
  return static_cast<std::uint64_t>(job.row->exit.code) << 8 | job.row->exit.signal;
}

// clang-format off
#define BAI_FIELD(letter, name, title, ...) \
  Field<JobView>{letter, name, title, [](std::string& out, const JobView& j) { __VA_ARGS__; }}
const Field<JobView> kFields[] = {
    BAI_FIELD('a', "account", "ACCOUNT", put_or_null(out, j.text(j.row->account))),
    BAI_FIELD('A', "jobid", "JOBID", put(out, j.row->id)),
    BAI_FIELD('B', "batchhost", "EXEC_HOST", out += j.row->batch_host ? j.text(j.row->batch_host) : std::string_view("n/a")),
    BAI_FIELD('c', "mincpus", "MIN_CPUS", put(out, least_cpus(j))),
    BAI_FIELD('C', "numcpus", "CPUS", put(out, j.row->cpus)),
    BAI_FIELD('d', "mintmpdisk", "MIN_TMP_DISK", out += '0'; (void)j),
    BAI_FIELD('D', "numnodes", "NODES", put(out, j.row->nodes)),
    BAI_FIELD('e', "endtime", "END_TIME", if (ends_never(j)) out += "NONE"; else put_time(out, end_time(j))),
    BAI_FIELD('E', "dependency", "DEPENDENCY", put_or_null(out, j.text(j.row->dependency))),
    BAI_FIELD('f', "feature", "FEATURES", put_or_null(out, j.text(j.row->constraint))),
    BAI_FIELD('F', "arrayjobid", "ARRAY_JOB_ID", put(out, j.row->array_id ? j.row->array_id : j.row->id)),
    BAI_FIELD('g', "groupname", "GROUP", out += j.text(j.row->group)),
    BAI_FIELD('G', "groupid", "GROUP", put(out, j.row->gid)),
    BAI_FIELD('h', "oversubscribe", "OVER_SUBSCRIBE", out += oversubscribe(j)),
    BAI_FIELD('H', "sockets", "SOCKETS_PER_NODE", out += '*'; (void)j),
    BAI_FIELD('i', "jobarrayid", "JOBID", put_job_id(out, j)),
    BAI_FIELD('I', "cores", "CORES_PER_SOCKET", out += '*'; (void)j),
    BAI_FIELD('j', "name", "NAME", out += j.text(j.row->name)),
    BAI_FIELD('J', "threads", "THREADS_PER_CORE", out += '*'; (void)j),
    BAI_FIELD('k', "comment", "COMMENT", put_or_null(out, j.text(j.row->comment))),
    BAI_FIELD('K', "arraytaskid", "ARRAY_TASK_ID", put_task(out, j)),
    BAI_FIELD('l', "timelimit", "TIME_LIMIT", out += format_duration(j.row->time_limit)),
    BAI_FIELD('L', "timeleft", "TIME_LEFT", out += format_duration(time_left(j))),
    BAI_FIELD('m', "minmemory", "MIN_MEMORY", put_memory(out, j)),
    BAI_FIELD('M', "timeused", "TIME", out += format_duration(run_time(j))),
    BAI_FIELD('n', "reqnodes", "REQ_NODES", out += j.text(j.row->nodes_wanted)),
    BAI_FIELD('N', "nodelist", "NODELIST", out += j.text(j.row->node_list)),
    BAI_FIELD('o', "command", "COMMAND", put_or_null(out, command_line(j))),
    BAI_FIELD('O', "contiguous", "CONTIGUOUS", out += j.row->contiguous ? '1' : '0'),
    BAI_FIELD('p', "priority", "PRIORITY", put_float_priority(out, j)),
    BAI_FIELD('P', "partition", "PARTITION", out += j.partition.empty() ? j.text(j.row->partition) : j.partition),
    BAI_FIELD('q', "qos", "QOS", put_or_null(out, j.text(j.row->qos))),
    BAI_FIELD('Q', "prioritylong", "PRIORITY", put(out, shown_priority(j))),
    BAI_FIELD('r', "reason", "REASON", out += reason_text(j)),
    BAI_FIELD('R', "reasonlist", "NODELIST(REASON)", put_nodes_or_reason(out, j)),
    BAI_FIELD('s', "", "", (void)j; (void)out),
    BAI_FIELD('S', "starttime", "START_TIME", put_time(out, start_time(j))),
    BAI_FIELD('t', "statecompact", "ST", out += compact(j.row->state)),
    BAI_FIELD('T', "state", "STATE", out += name(j.row->state)),
    BAI_FIELD('u', "username", "USER", out += j.text(j.row->user)),
    BAI_FIELD('U', "userid", "UID", put(out, j.row->uid)),
    BAI_FIELD('v', "reservation", "RESERVATION", out += "(null)"; (void)j),
    BAI_FIELD('V', "submittime", "SUBMIT_TIME", put_time(out, j.row->submitted)),
    BAI_FIELD('w', "wckey", "WCKEY", out += "(null)"; (void)j),
    BAI_FIELD('W', "licenses", "LICENSES", put_or_null(out, j.text(j.row->licenses))),
    BAI_FIELD('x', "", "EXC_NODES", out += j.text(j.row->nodes_excluded)),
    BAI_FIELD('X', "corespec", "CORE_SPEC", out += "N/A"; (void)j),
    BAI_FIELD('y', "nice", "NICE", out += std::to_string(j.row->nice)),
    BAI_FIELD('Y', "schednodes", "SCHEDNODES", out += "(null)"; (void)j),
    BAI_FIELD('z', "sct", "S:C:T", out += "*:*:*"; (void)j),
    BAI_FIELD('Z', "workdir", "WORK_DIR", out += j.text(j.row->workdir)),
    BAI_FIELD(0, "admin_comment", "ADMIN_COMMENT", put_or_null(out, j.text(j.row->admin_comment))),
    BAI_FIELD(0, "deadline", "DEADLINE", put_time(out, j.row->deadline)),
    BAI_FIELD(0, "eligibletime", "ELIGIBLE_TIME", put_time(out, eligible_time(j))),
    BAI_FIELD(0, "accruetime", "ACCRUE_TIME", put_time(out, eligible_time(j))),
    BAI_FIELD(0, "lastschedeval", "LAST_SCHED_EVAL", put_time(out, j.row->started.is_set() ? j.row->started : j.row->eligible)),
    BAI_FIELD(0, "derivedec", "DERIVED_EC", out += '0'; (void)j),
    BAI_FIELD(0, "tres-alloc", "TRES_ALLOC", out += tres_text(j)),
    BAI_FIELD(0, "cpus-per-task", "CPUS_PER_TASK", put(out, j.row->cpus_per_task)),
    BAI_FIELD(0, "exit_code", "EXIT_CODE", put(out, exit_status(j))),
    BAI_FIELD(0, "maxcpus", "MAX_CPUS", put(out, j.row->cpus)),
    BAI_FIELD(0, "maxnodes", "MAX_NODES", put(out, std::max(j.row->max_nodes, j.row->nodes))),
    BAI_FIELD(0, "nodes", "NODELIST", out += j.text(j.row->node_list)),
    BAI_FIELD(0, "ntpernode", "NTASKS_PER_NODE", put(out, j.row->tasks_per_node)),
    BAI_FIELD(0, "numtasks", "TASKS", put(out, j.row->tasks)),
    BAI_FIELD(0, "pendingtime", "PENDING_TIME", put(out, static_cast<std::uint64_t>(std::max<Seconds>(0, (j.row->started.is_set() ? j.row->started : j.now) - j.row->submitted)))),
    BAI_FIELD(0, "requeue", "REQUEUE", out += j.row->requeue == Requeue::kNo ? '0' : '1'),
    BAI_FIELD(0, "restartcnt", "RESTART_COUNT", put(out, j.row->restarts)),
    BAI_FIELD(0, "stderr", "STDERR", put_path(out, j, j.row->std_err ? j.row->std_err : j.row->std_out)),
    BAI_FIELD(0, "stdin", "STDIN", put_path(out, j, j.row->std_in)),
    BAI_FIELD(0, "stdout", "STDOUT", put_path(out, j, j.row->std_out)),
    // What other schedulers' sites read and bai has nothing to say of.
    BAI_FIELD(0, "allocnodes", "ALLOC_NODES", put_or_null(out, j.text(j.row->host))),
    BAI_FIELD(0, "allocsid", "ALLOC_SID", put(out, j.row->session)),
    BAI_FIELD(0, "associd", "ASSOC_ID", out += "0"; (void)j),
    BAI_FIELD(0, "batchflag", "BATCH_FLAG", out += "1"; (void)j),
    BAI_FIELD(0, "boardspernode", "BOARDS_PER_NODE", out += "0"; (void)j),
    BAI_FIELD(0, "burstbuffer", "BURST_BUFFER", out += "(null)"; (void)j),
    BAI_FIELD(0, "burstbufferstate", "BURST_BUFFER_STATE", out += "(null)"; (void)j),
    BAI_FIELD(0, "clusterfeature", "CLUSTER_FEATURES", out += "(null)"; (void)j),
    BAI_FIELD(0, "container", "CONTAINER", out += "(null)"; (void)j),
    BAI_FIELD(0, "cpus-per-tres", "CPUS_PER_TRES", out += "N/A"; (void)j),
    BAI_FIELD(0, "delayboot", "DELAY_BOOT", out += "0:00"; (void)j),
    BAI_FIELD(0, "mcslabel", "MCSLABEL", out += "(null)"; (void)j),
    BAI_FIELD(0, "mem-per-tres", "MEM_PER_TRES", out += "N/A"; (void)j),
    BAI_FIELD(0, "mintime", "TIME_MIN", out += "0:00"; (void)j),
    BAI_FIELD(0, "network", "NETWORK", out += "(null)"; (void)j),
    BAI_FIELD(0, "ntperboard", "NTASKS_PER_BOARD", out += "0"; (void)j),
    BAI_FIELD(0, "ntpercore", "NTASKS_PER_CORE", out += "N/A"; (void)j),
    BAI_FIELD(0, "ntpersocket", "NTASKS_PER_SOCKET", out += "N/A"; (void)j),
    BAI_FIELD(0, "origin", "ORIGIN", out += "NA"; (void)j),
    BAI_FIELD(0, "originraw", "ORIGIN_RAW", out += "NA"; (void)j),
    BAI_FIELD(0, "prefer", "PREFER", out += "(null)"; (void)j),
    BAI_FIELD(0, "profile", "PROFILE", out += "NotSet"; (void)j),
    BAI_FIELD(0, "reboot", "REBOOT", out += "0"; (void)j),
    BAI_FIELD(0, "reqswitch", "REQ_SWITCH", out += "0"; (void)j),
    BAI_FIELD(0, "resizetime", "RESIZE_TIME", out += "N/A"; (void)j),
    BAI_FIELD(0, "siblingsactive", "ACTIVE_SIBLINGS", out += "NA"; (void)j),
    BAI_FIELD(0, "siblingsactiveraw", "ACTIVE_SIBLINGS_RAW", out += "NA"; (void)j),
    BAI_FIELD(0, "siblingsviable", "VIABLE_SIBLINGS", out += "NA"; (void)j),
    BAI_FIELD(0, "siblingsviableraw", "VIALBLE_SIBLINGS_RAW", out += "NA"; (void)j),
    BAI_FIELD(0, "sperboard", "SOCKETS_PER_BOARD", out += "0"; (void)j),
    BAI_FIELD(0, "system_comment", "SYSTEM_COMMENT", out += "(null)"; (void)j),
    BAI_FIELD(0, "tres-bind", "TRES_BIND", out += "N/A"; (void)j),
    BAI_FIELD(0, "tres-freq", "TRES_FREQ", out += "N/A"; (void)j),
    BAI_FIELD(0, "tres-per-job", "TRES_PER_JOB", out += j.row->tres_per_job ? j.text(j.row->tres_per_job) : std::string_view("N/A")),
    BAI_FIELD(0, "tres-per-node", "TRES_PER_NODE", out += j.row->tres_per_node ? j.text(j.row->tres_per_node) : std::string_view("N/A")),
    BAI_FIELD(0, "tres-per-socket", "TRES_PER_SOCKET", out += j.row->tres_per_socket ? j.text(j.row->tres_per_socket) : std::string_view("N/A")),
    BAI_FIELD(0, "tres-per-task", "TRES_PER_TASK", out += j.row->tres_per_task ? j.text(j.row->tres_per_task) : std::string_view("N/A")),
    BAI_FIELD(0, "wait4switch", "WAIT4SWITCH", out += "0:00"; (void)j),
};
#undef BAI_FIELD
// clang-format on

}  // namespace

std::span<const Field<JobView>> job_fields() { return kFields; }

void put_path(std::string& out, const JobView& job, wire::TextId id) {
  FilenameContext context;
  context.job = job.row->id;
  context.array_job = job.row->array_id;
  context.array_task = job.task != kNoTask ? job.task : job.row->array_task;
  context.job_name = job.text(job.row->name);
  context.user = job.text(job.row->user);
  context.node = job.text(job.row->batch_host);
  out += expand_path(job.text(id), job.text(job.row->workdir), context);
}

void put_job_id(std::string& out, const JobView& job) {
  const JobRow& row = *job.row;
  if (row.array_id == 0) return put(out, row.id);
  put(out, row.array_id);
  if (job.is_head()) {
    out += "_[";
    put_tasks(out, job);
    out += ']';
  } else if (job.task != kNoTask || row.array_task != kNoTask) {
    out += '_';
    put(out, job.task != kNoTask ? job.task : row.array_task);
  }
}

Seconds run_time(const JobView& job) {
  const JobRow& row = *job.row;
  if (row.state == JobState::kPending || !row.started.is_set()) return 0;
  const Time end = row.ended.is_set()                  ? row.ended
                   : row.state == JobState::kSuspended ? row.suspend_changed
                                                       : job.now;
  return std::max<Seconds>(0, end.seconds() - row.started.seconds() - row.suspended_us / 1'000'000);
}

Seconds suspended_time(const JobView& job) {
  const JobRow& row = *job.row;
  const std::int64_t now_us = row.state == JobState::kSuspended ? job.now.us - row.suspend_changed.us : 0;
  return (row.suspended_us + std::max<std::int64_t>(0, now_us)) / 1'000'000;
}

Time end_time(const JobView& job) {
  const JobRow& row = *job.row;
  if (row.ended.is_set()) return row.ended;
  const Time start = start_time(job);
  if (!start.is_set() || (job.row->state == JobState::kPending && start == job.row->begin)) return Time{};
  if (row.grace_until.is_set()) return row.grace_until;
  return start + ((row.time_limit == kUnlimited || row.time_limit == 0 ? kYear : row.time_limit) +
                  suspended_time(job));
}

std::string_view reason_text(const JobView& job) {
  const bool told = job.row->reason == Reason::kJobLaunchFailure || job.row->reason == Reason::kSystemFailure;
  if (told && job.row->detail) return job.text(job.row->detail);
  return name(job.row->reason);
}

Time start_time(const JobView& job) {
  const JobRow& row = *job.row;
  if (row.state == JobState::kPending) return row.expected_start.is_set() ? row.expected_start : row.begin;
  return row.started.is_set() ? row.started : row.ended;
}

Time eligible_time(const JobView& job) {
  const JobRow& row = *job.row;
  if (row.state != JobState::kPending || row.begin.is_set()) return row.eligible;
  const bool waits = row.hold != Hold::kNone || row.reason == Reason::kDependency ||
                     row.reason == Reason::kDependencyNeverSatisfied;
  return waits ? Time{} : row.eligible;
}

bool ends_never(const JobView& job) {
  return !is_finished(job.row->state) && job.row->time_limit == kUnlimited && start_time(job).is_set();
}

std::uint64_t asked_memory(const JobView& job) {
  const std::uint64_t mib = job.row->mem_per_cpu_mib ? job.row->mem_per_cpu_mib : job.row->mem_per_node_mib;
  return mib == kAllMemory ? 0 : mib;
}

std::uint32_t least_cpus(const JobView& job) {
  return std::max(1u, job.row->tasks_per_node) * job.row->cpus_per_task;
}

std::string tres_text(const JobView& job) {
  const JobRow& row = *job.row;
  std::string out = "cpu=" + std::to_string(row.cpus);
  std::uint64_t mem = row.mem_mib;
  // All of a node's memory is known only once there is a node.
  if (mem == 0 && row.mem_per_node_mib != kAllMemory)
    mem = row.mem_per_cpu_mib ? row.mem_per_cpu_mib * row.cpus : row.mem_per_node_mib * row.nodes;
  if (mem != 0) out += ",mem=" + format_memory(mem);
  out += ",node=" + std::to_string(row.nodes) + ",billing=" + std::to_string(row.cpus);
  if (row.tres_held) out += "," + std::string(job.text(row.tres_held));
  return out;
}

std::string command_line(const JobView& job) {
  std::string out(job.text(job.row->command));
  if (job.row->arguments) out += " " + std::string(job.text(job.row->arguments));
  return out;
}

std::string_view oversubscribe(const JobView& job) {
  return job.row->exclusive ? "NO" : job.row->exclusive_user ? "USER" : "OK";
}

std::uint32_t shown_priority(const JobView& job) {
  return job.row->hold == Hold::kNone ? job.row->priority : 0;
}

void put_job_json(JsonWriter& json, const JobView& job, const std::function<void()>& more) {
  const JobRow& row = *job.row;
  auto number = [&](std::string_view key, std::uint64_t value) {
    json.field(key, static_cast<std::int64_t>(value));
  };
  auto text = [&](std::string_view key, wire::TextId id) {
    if (id) json.field(key, job.text(id));
  };
  json.begin_object();
  number("job_id", row.id);
  std::string id;
  put_job_id(id, job);
  json.field("display_id", id);
  if (row.array_id) {
    number("array_job_id", row.array_id);
    const std::uint32_t task = job.task != kNoTask ? job.task : row.array_task;
    if (task != kNoTask) number("array_task_id", task);
    if (job.is_head()) {
      text("array_tasks", row.array_tasks);
      number("array_waiting", row.array_waiting);
      number("array_max_running", row.array_max_running);
    }
  }
  json.field("name", job.text(row.name)).field("user", job.text(row.user));
  number("uid", row.uid);
  json.field("group", job.text(row.group));
  number("gid", row.gid);
  text("account", row.account);
  text("qos", row.qos);
  json.field("partition", job.text(row.partition))
      .field("state", name(row.state))
      .field("reason", name(row.reason));
  text("detail", row.detail);
  json.field("hold", row.hold == Hold::kNone ? "none" : row.hold == Hold::kUser ? "user" : "admin");
  number("priority", shown_priority(job));
  json.field("nice", std::int64_t{row.nice});
  number("restarts", row.restarts);
  number("attempt", row.attempt);
  number("exit_code", row.exit.code);
  number("signal", row.exit.signal);
  json.time("submitted_at", row.submitted).time("eligible_at", row.eligible).time("started_at", row.started);
  json.time("ended_at", row.ended).time("expected_start_at", row.expected_start);
  if (row.begin.is_set()) json.time("begin_at", row.begin);
  if (row.deadline.is_set()) json.time("deadline_at", row.deadline);
  json.duration("time_limit_s", row.time_limit).field("run_time_s", run_time(job));
  if (row.suspend_changed.is_set()) {
    json.time("suspend_changed_at", row.suspend_changed);
    number("suspended_s", static_cast<std::uint64_t>(suspended_time(job)));
  }
  if (row.grace_until.is_set()) json.time("grace_until_at", row.grace_until);
  text("dependency", row.dependency);
  number("nodes", row.nodes);
  number("min_nodes", row.min_nodes);
  if (row.max_nodes) number("max_nodes", row.max_nodes);
  number("tasks", row.tasks);
  number("cpus_per_task", row.cpus_per_task);
  number("cpus", row.cpus);
  if (row.tasks_per_node) number("tasks_per_node", row.tasks_per_node);
  number("mem_mib", row.mem_mib);
  if (row.mem_per_node_mib == kAllMemory)
    json.flag("mem_all", true);
  else if (row.mem_per_node_mib)
    number("mem_per_node_mib", row.mem_per_node_mib);
  if (row.mem_per_cpu_mib) number("mem_per_cpu_mib", row.mem_per_cpu_mib);
  json.flag("exclusive", row.exclusive);
  if (row.exclusive_user) json.flag("exclusive_user", true);
  json.key("asked").begin_array();
  for (auto [bit, word] : {std::pair{kAskedNodes, "nodes"}, std::pair{kAskedTasks, "tasks"},
                           std::pair{kAskedCpusPerTask, "cpus_per_task"}})
    if (row.asked & bit) json.string(word);
  json.end_array();
  text("nodes_wanted", row.nodes_wanted);
  text("nodes_excluded", row.nodes_excluded);
  text("constraint", row.constraint);
  text("licenses", row.licenses);
  text("tres_per_job", row.tres_per_job);
  text("tres_per_node", row.tres_per_node);
  text("tres_per_socket", row.tres_per_socket);
  text("tres_per_task", row.tres_per_task);
  text("devices", row.tres_held);
  text("node_list", row.node_list);
  text("batch_host", row.batch_host);
  text("command", row.command);
  text("arguments", row.arguments);
  text("submit_host", row.host);
  if (row.session) number("session_id", row.session);
  json.field("work_dir", job.text(row.workdir));
  std::string path;
  for (auto [key, file] : {std::pair{"std_in", row.std_in}, std::pair{"std_out", row.std_out},
                           std::pair{"std_err", row.std_err ? row.std_err : row.std_out}}) {
    path.clear();
    put_path(path, job, file);
    json.field(key, path);
  }
  text("comment", row.comment);
  text("admin_comment", row.admin_comment);
  if (row.mail_events) json.field("mail_type", format_mail_events(row.mail_events));
  text("mail_user", row.mail_user);
  json.flag("requeue", row.requeue != Requeue::kNo);
  if (is_finished(row.state)) {
    if (row.state == JobState::kCancelled) number("ended_by_uid", row.ended_by_uid);
    json.field("user_cpu_us", static_cast<std::int64_t>(row.usage.user_us));
    json.field("system_cpu_us", static_cast<std::int64_t>(row.usage.system_us));
    json.field("max_rss_kib", static_cast<std::int64_t>(row.usage.max_rss_kib));
    json.field("read_bytes", static_cast<std::int64_t>(row.usage.read_bytes));
    json.field("write_bytes", static_cast<std::int64_t>(row.usage.write_bytes));
  }
  if (row.no_batch) json.flag("allocation", true);
  if (more) more();
  json.end_object();
}

}  // namespace bai::cli
