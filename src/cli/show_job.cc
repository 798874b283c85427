// One job as `scontrol show job` prints it (slurm_sprint_job_info of 22.05).
#include "base/units.h"
#include "cli/show.h"
#include "cli/values.h"

namespace bai::cli {
namespace {

std::string user(std::string_view name, std::uint32_t id) {
  const std::string number = std::to_string(id);
  return (name.empty() ? number : std::string(name)) + "(" + number + ")";
}

std::string path(const JobView& job, wire::TextId id) {
  std::string out;
  put_path(out, job, id);
  return out;
}

std::string alloc_node(const JobView& job) {
  const auto host = job.text(job.row->host);
  return std::string(host.empty() ? "N/A" : host) + ":" + std::to_string(job.row->session);
}

void identity(RecordWriter& w, const JobView& job) {
  const auto& row = *job.row;
  w.key("JobId", row.id);
  if (row.array_id) {
    w.key("ArrayJobId", row.array_id);
    if (job.is_head())
      w.key("ArrayTaskId", std::string(job.text(row.array_tasks)) +
                               (row.array_max_running ? "%" + std::to_string(row.array_max_running) : ""));
    else
      w.key("ArrayTaskId", job.task != kNoTask ? job.task : row.array_task);
    if (row.array_max_running) w.key("ArrayTaskThrottle", row.array_max_running);
  }
  w.key("JobName", job.text(row.name)).line();
  w.key("UserId", user(job.text(row.user), row.uid))
      .key("GroupId", user(job.text(row.group), row.gid))
      .key("MCS_label", "N/A")
      .line();
  w.key("Priority", shown_priority(job))
      .key("Nice", std::to_string(row.nice))
      .null_key("Account", job.text(row.account));
  w.null_key("QOS", job.text(row.qos)).line();
  std::string reason(reason_text(job));
  for (char& c : reason)
    if (c == ' ') c = '_';
  w.key("JobState", name(row.state))
      .key("Reason", reason)
      .null_key("Dependency", job.text(row.dependency))
      .line();
  w.key("Requeue", row.requeue == Requeue::kNo ? "0" : "1")
      .key("Restarts", row.restarts)
      .key("BatchFlag", row.no_batch ? "0" : "1")
      .key("Reboot", "0");
  w.key("ExitCode", row.exit.text()).line();
}

void times(RecordWriter& w, const JobView& job) {
  const auto& row = *job.row;
  w.key("RunTime", format_duration_full(run_time(job)))
      .key("TimeLimit", format_duration_full(row.time_limit))
      .key("TimeMin", "N/A")
      .line();
  w.time("SubmitTime", row.submitted).time("EligibleTime", eligible_time(job)).line();
  w.time("AccrueTime", eligible_time(job)).line();
  w.time("StartTime", start_time(job)).time("EndTime", ends_never(job) ? Time{} : end_time(job));
  w.time("Deadline", row.deadline, "N/A").line();
  if (row.grace_until.is_set())
    w.time("PreemptEligibleTime", row.started).time("PreemptTime", row.grace_until).line();
  // How long it had run when it was suspended or resumed last.
  const Seconds before =
      row.suspend_changed.is_set()
          ? row.suspend_changed.seconds() - row.started.seconds() - row.suspended_us / 1'000'000
          : 0;
  w.time("SuspendTime", row.suspend_changed, "None")
      .key("SecsPreSuspend", std::to_string(std::max<Seconds>(0, before)))
      .time("LastSchedEval", row.started.is_set() ? row.started : row.eligible);
  w.key("Scheduler", "Main").line();
}

void placement(RecordWriter& w, const JobView& job) {
  const auto& row = *job.row;
  w.key("Partition", job.text(row.partition)).key("AllocNode:Sid", alloc_node(job)).line();
  w.null_key("ReqNodeList", job.text(row.nodes_wanted))
      .null_key("ExcNodeList", job.text(row.nodes_excluded))
      .line();
  w.key("NodeList", job.text(row.node_list)).line();
  if (row.batch_host) w.key("BatchHost", job.text(row.batch_host)).line();
  std::string nodes = std::to_string(row.nodes);
  if (row.state == JobState::kPending && row.max_nodes != 0) nodes += "-" + std::to_string(row.max_nodes);
  w.key("NumNodes", nodes)
      .key("NumCPUs", row.cpus)
      .key("NumTasks", row.tasks)
      .key("CPUs/Task", row.cpus_per_task);
  w.key("ReqB:S:C:T", "0:0:*:*").line();
  w.key("TRES", tres_text(job)).line();
  w.key("Socks/Node", "*")
      .key("NtasksPerN:B:S:C", std::to_string(row.tasks_per_node) + ":0:*:*")
      .key("CoreSpec", "*")
      .line();
  const std::uint64_t mem = asked_memory(job);
  w.key("MinCPUsNode", least_cpus(job));
  w.key(row.mem_per_cpu_mib ? "MinMemoryCPU" : "MinMemoryNode", format_memory(mem))
      .key("MinTmpDiskNode", "0")
      .line();
  w.null_key("Features", job.text(row.constraint)).key("DelayBoot", "00:00:00").line();
  w.key("OverSubscribe", oversubscribe(job))
      .key("Contiguous", row.contiguous ? "1" : "0")
      .null_key("Licenses", job.text(row.licenses));
  w.key("Network", "(null)").line();
}

}  // namespace

void show_job(std::string& out, const JobView& job, bool one_line) {
  const auto& row = *job.row;
  RecordWriter w(out, one_line);
  identity(w, job);
  times(w, job);
  placement(w, job);
  w.null_key("Command", command_line(job)).line();
  w.key("WorkDir", job.text(row.workdir)).line();
  if (row.admin_comment) w.key("AdminComment", std::string(job.text(row.admin_comment)) + " ").line();
  if (row.comment) w.key("Comment", std::string(job.text(row.comment)) + " ").line();
  w.key("StdErr", path(job, row.std_err ? row.std_err : row.std_out)).line();
  w.key("StdIn", path(job, row.std_in)).line();
  w.key("StdOut", path(job, row.std_out)).line();
  w.key("Power", "");
  for (auto [name, text] :
       {std::pair{"TresPerJob", row.tres_per_job}, std::pair{"TresPerNode", row.tres_per_node},
        std::pair{"TresPerSocket", row.tres_per_socket}, std::pair{"TresPerTask", row.tres_per_task}})
    if (text) w.line().key(name, job.text(text));
  if (row.mail_events)
    w.line()
        .key("MailUser", row.mail_user ? job.text(row.mail_user) : job.text(row.user))
        .key("MailType", format_mail_events(row.mail_events));
  w.blank().end();
}

}  // namespace bai::cli
