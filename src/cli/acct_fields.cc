// sacct's fields, with its widths (sacct.c of 22.05).
#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "base/units.h"
#include "cli/acct.h"
#include "cli/step_list.h"

namespace bai::cli {
namespace {

void put(std::string& out, std::uint64_t number) { out += std::to_string(number); }
void put_time(std::string& out, Time at) {
  out += at.is_set() ? format_timestamp(at) : std::string("Unknown");
}
bool started(const AcctRow& r) { return r.job.row->started.is_set(); }
std::uint32_t cpus(const AcctRow& r) { return r.step ? r.step->cpus() : r.job.row->cpus; }
std::size_t nodes(const AcctRow& r) { return r.step ? r.step->nodes.size() : r.job.row->nodes; }
Seconds elapsed(const AcctRow& r) { return r.step ? run_time(StepView{r.job, r.step}) : run_time(r.job); }
const Usage& usage(const AcctRow& r) { return r.step ? r.step->usage : r.job.row->usage; }

void put_id(std::string& out, const AcctRow& r, bool raw) {
  if (r.step)
    put_step_id(out, {r.job, r.step}, raw);
  else if (raw)
    put(out, r.job.row->id);
  else
    put_job_id(out, r.job);
}

void put_state(std::string& out, const AcctRow& r) {
  const JobState state = r.step ? r.step->state : r.job.row->state;
  const std::uint32_t by = r.step ? r.step->ended_by_uid : r.job.row->ended_by_uid;
  out += name(state == JobState::kConfiguring ? JobState::kRunning : state);
  if (state == JobState::kCancelled && by != kNoUid) out += " by " + std::to_string(by);
}

void put_exit(std::string& out, const AcctRow& r) {
  const auto& row = *r.job.row;
  const bool ended_from_outside = row.state == JobState::kCancelled || row.state == JobState::kTimeout;
  out += r.step ? r.step->exit.text() : ended_from_outside ? "0:0" : row.exit.text();
}

// "Cyclic"; that of a batch script is nobody's choice.
void put_layout(std::string& out, const Step& step) {
  static constexpr std::string_view kNames[] = {"Block", "Cyclic", "Plane", "Arbitrary"};
  out += step.id == kBatchStep ? "Unknown" : kNames[static_cast<std::size_t>(step.spec.distribution)];
}

// "MM:SS.mmm" below an hour, then "[D-]HH:MM:SS".
void put_cpu(std::string& out, std::uint64_t us) {
  const std::uint64_t s = us / 1'000'000;
  if (s >= 3600) {
    out += format_duration_full(static_cast<Seconds>(s));
    return;
  }
  char buf[48];
  out.append(buf, static_cast<std::size_t>(
                      std::snprintf(buf, sizeof buf, "%02u:%02u.%03u", static_cast<unsigned>(s / 60),
                                    static_cast<unsigned>(s % 60), static_cast<unsigned>(us / 1000 % 1000))));
}

std::uint64_t each(const AcctRow& r) { return std::max<std::uint64_t>(1, r.step->tasks()); }

void put_bytes(std::string& out, const AcctRow& r, std::uint64_t bytes) {
  if (r.step->ended.is_set()) put_units(out, bytes);
}

void put_tres_in(std::string& out, const AcctRow& r, std::uint64_t rss_kib, std::uint64_t read,
                 std::uint64_t tasks) {
  if (!r.step->ended.is_set()) return;
  out += "cpu=" +
         format_duration_full(
             static_cast<Seconds>((usage(r).user_us + usage(r).system_us) / 1'000'000 / tasks)) +
         ",fs/disk=" + std::to_string(read) + ",mem=";
  put_units(out, rss_kib * 1024);
}

void put_tres_out(std::string& out, const AcctRow& r, std::uint64_t written) {
  if (r.step->ended.is_set()) out += "fs/disk=" + std::to_string(written);
}

Seconds waited(const AcctRow& r) {
  return std::max<Seconds>(
      0, (started(r) ? r.job.row->started : r.job.now).seconds() - r.job.row->eligible.seconds());
}

void put_tres(std::string& out, const AcctRow& r) {
  const auto& row = *r.job.row;
  if (r.step) {
    out += tres_text(*r.step);
    return;
  }
  out += "billing=" + std::to_string(row.cpus) + ",";
  out += "cpu=" + std::to_string(row.cpus);
  if (row.mem_mib) out += ",mem=" + format_memory(row.mem_mib);
  out += ",node=" + std::to_string(row.nodes);
}

void put_requested_memory(std::string& out, const AcctRow& r) {
  const auto& row = *r.job.row;
  const std::uint64_t mib =
      row.mem_per_cpu_mib ? row.mem_per_cpu_mib * row.cpus : row.mem_per_node_mib * std::max(1u, row.nodes);
  out += format_memory(mib);
}

// clang-format off
#define BAI_JOB(name, width, ...) AcctField{name, width, [](std::string& out, const AcctRow& r) { if (!r.step) { __VA_ARGS__; } }}
#define BAI_STEP(name, width, ...) AcctField{name, width, [](std::string& out, const AcctRow& r) { if (r.step) { __VA_ARGS__; } }}
#define BAI_ANY(name, width, ...) AcctField{name, width, [](std::string& out, const AcctRow& r) { __VA_ARGS__; }}
const AcctField kFields[] = {
    BAI_ANY("Account", 10, out += r.job.text(r.job.row->account)),
    BAI_JOB("AdminComment", 19, out += r.job.text(r.job.row->admin_comment)),
    BAI_ANY("AllocCPUS", 10, put(out, started(r) ? cpus(r) : 0)),
    BAI_ANY("AllocNodes", 10, put(out, started(r) ? nodes(r) : 0)),
    BAI_ANY("AllocTRES", 10, if (started(r)) put_tres(out, r)),
    BAI_ANY("AssocID", 7, out += "0"; (void)r),
    BAI_STEP("AveCPUFreq", 10, if (r.step->ended.is_set()) out += "0"),
    BAI_STEP("AvePages", 10, (void)out),
    BAI_STEP("AveVMSize", 10, (void)out),
    BAI_ANY("BlockID", 16, (void)out; (void)r),
    BAI_ANY("Cluster", 10, out += r.cluster),
    BAI_JOB("Comment", 14, out += r.job.text(r.job.row->comment)),
    BAI_JOB("Constraints", 19, out += r.job.text(r.job.row->constraint)),
    BAI_ANY("ConsumedEnergy", 14, if (r.step && r.step->ended.is_set()) out += "0"),
    BAI_ANY("ConsumedEnergyRaw", 17, if (r.step && r.step->ended.is_set()) out += "0"),
    BAI_ANY("Container", 19, (void)out; (void)r),
    BAI_ANY("CPUTime", 10, out += format_duration_full(elapsed(r) * cpus(r))),
    BAI_ANY("CPUTimeRAW", 10, put(out, static_cast<std::uint64_t>(elapsed(r) * cpus(r)))),
    BAI_ANY("DBIndex", 10, put(out, r.job.row->id)),
    BAI_JOB("DerivedExitCode", 15, out += "0:0"),
    BAI_ANY("Elapsed", 10, out += format_duration_full(elapsed(r))),
    BAI_ANY("ElapsedRaw", 10, put(out, static_cast<std::uint64_t>(elapsed(r)))),
    BAI_ANY("Eligible", 19, put_time(out, r.job.row->eligible)),
    BAI_ANY("End", 19, put_time(out, r.step ? r.step->ended : r.job.row->ended)),
    BAI_ANY("ExitCode", 8, put_exit(out, r)),
    BAI_JOB("Flags", 16, out += started(r) ? "SchedMain" : ""),
    BAI_JOB("GID", 6, put(out, r.job.row->gid)),
    BAI_JOB("Group", 9, out += r.job.text(r.job.row->group)),
    BAI_ANY("JobID", -12, put_id(out, r, false)),
    BAI_ANY("JobIDRaw", -12, put_id(out, r, true)),
    BAI_ANY("JobName", 10, out += r.step ? r.step->spec.name.view() : r.job.text(r.job.row->name)),
    BAI_STEP("Layout", 9, put_layout(out, *r.step)),
    BAI_STEP("AveCPU", 10, if (r.step->ended.is_set()) out += format_duration_full(static_cast<Seconds>((r.step->usage.user_us + r.step->usage.system_us) / 1'000'000 / std::max<std::uint64_t>(1, r.step->tasks())))),
    BAI_STEP("AveDiskRead", 14, put_bytes(out, r, usage(r).read_bytes / each(r))),
    BAI_STEP("AveDiskWrite", 14, put_bytes(out, r, usage(r).write_bytes / each(r))),
    BAI_STEP("AveRSS", 10, put_bytes(out, r, usage(r).sum_rss_kib * 1024 / each(r))),
    BAI_STEP("MaxDiskRead", 12, put_bytes(out, r, usage(r).max_read_bytes)),
    BAI_STEP("MaxDiskReadNode", 15, (void)out),
    BAI_STEP("MaxDiskReadTask", 15, (void)out),
    BAI_STEP("MaxDiskWrite", 12, put_bytes(out, r, usage(r).max_write_bytes)),
    BAI_STEP("MaxDiskWriteNode", 16, (void)out),
    BAI_STEP("MaxDiskWriteTask", 16, (void)out),
    BAI_STEP("MaxPages", 8, (void)out),
    BAI_STEP("MaxPagesNode", 12, (void)out),
    BAI_STEP("MaxPagesTask", 14, (void)out),
    BAI_STEP("MaxRSS", 10, put_bytes(out, r, usage(r).max_rss_kib * 1024)),
    BAI_STEP("MaxRSSNode", 10, (void)out),
    BAI_STEP("MaxRSSTask", 10, (void)out),
    BAI_STEP("MaxVMSize", 10, (void)out),
    BAI_STEP("MaxVMSizeNode", 14, (void)out),
    BAI_STEP("MaxVMSizeTask", 14, (void)out),
    BAI_ANY("McsLabel", 8, (void)out; (void)r),
    BAI_STEP("MinCPU", 10, (void)out),
    BAI_STEP("MinCPUNode", 10, (void)out),
    BAI_STEP("MinCPUTask", 10, (void)out),
    BAI_ANY("NCPUS", 10, put(out, cpus(r))),
    BAI_ANY("NNodes", 8, put(out, nodes(r))),
    BAI_ANY("NodeList", 15, out += r.step ? r.step->hostlist() : std::string(started(r) ? r.job.text(r.job.row->node_list) : "None assigned")),
    BAI_STEP("NTasks", 8, put(out, r.step->tasks())),
    BAI_JOB("Partition", 10, out += r.job.text(r.job.row->partition)),
    BAI_JOB("Priority", 10, put(out, shown_priority(r.job))),
    BAI_JOB("QOS", 10, out += r.job.text(r.job.row->qos)),
    BAI_JOB("QOSRAW", 10, (void)out),
    BAI_JOB("Reason", 22, out += reason_text(r.job)),
    BAI_ANY("ReqCPUS", 8, put(out, r.step ? cpus(r) : r.job.row->tasks * r.job.row->cpus_per_task)),
    BAI_STEP("ReqCPUFreq", 10, out += "Unknown"),
    BAI_STEP("ReqCPUFreqMin", 13, out += "Unknown"),
    BAI_STEP("ReqCPUFreqMax", 13, out += "Unknown"),
    BAI_STEP("ReqCPUFreqGov", 13, out += "Unknown"),
    BAI_JOB("ReqMem", 10, put_requested_memory(out, r)),
    BAI_ANY("ReqNodes", 8, put(out, r.step ? nodes(r) : r.job.row->min_nodes)),
    BAI_JOB("ReqTRES", 10, put_tres(out, r)),
    BAI_JOB("Reserved", 10, out += format_duration_full(waited(r))),
    BAI_JOB("Reservation", 20, (void)out),
    BAI_JOB("ReservationId", 8, (void)out),
    BAI_JOB("ResvCPU", 10, out += format_duration_full(waited(r) * cpus(r))),
    BAI_JOB("ResvCPURAW", 10, put(out, static_cast<std::uint64_t>(waited(r) * cpus(r)))),
    BAI_JOB("Restarts", 8, put(out, r.job.row->restarts)),
    BAI_ANY("Start", 19, put_time(out, r.step ? r.step->started : r.job.row->started)),
    BAI_ANY("State", 10, put_state(out, r)),
    BAI_ANY("Submit", 19, put_time(out, r.step ? r.step->created : r.job.row->submitted)),
    BAI_JOB("SubmitLine", 20, (void)out),
    BAI_ANY("Suspended", 10, out += format_duration_full(r.step ? suspended_time(StepView{r.job, r.step}) : suspended_time(r.job))),
    BAI_ANY("SystemCPU", 10, put_cpu(out, usage(r).system_us)),
    BAI_JOB("SystemComment", 19, (void)out),
    BAI_JOB("Timelimit", 10, out += format_duration_full(r.job.row->time_limit)),
    BAI_JOB("TimelimitRaw", 12, if (r.job.row->time_limit != kUnlimited) put(out, static_cast<std::uint64_t>(r.job.row->time_limit / 60)); else out += "UNLIMITED"),
    BAI_ANY("TotalCPU", 10, put_cpu(out, usage(r).user_us + usage(r).system_us)),
    BAI_STEP("TRESUsageInAve", 14, put_tres_in(out, r, usage(r).sum_rss_kib / each(r), usage(r).read_bytes / each(r), each(r))),
    BAI_STEP("TRESUsageInMax", 14, put_tres_in(out, r, usage(r).max_rss_kib, usage(r).max_read_bytes, 1)),
    BAI_STEP("TRESUsageInTot", 14, put_tres_in(out, r, usage(r).sum_rss_kib, usage(r).read_bytes, 1)),
    BAI_STEP("TRESUsageOutAve", 15, put_tres_out(out, r, usage(r).write_bytes / each(r))),
    BAI_STEP("TRESUsageOutMax", 15, put_tres_out(out, r, usage(r).max_write_bytes)),
    BAI_STEP("TRESUsageOutTot", 15, put_tres_out(out, r, usage(r).write_bytes)),
    BAI_JOB("UID", 6, put(out, r.job.row->uid)),
    BAI_JOB("User", 9, out += r.job.text(r.job.row->user)),
    BAI_ANY("UserCPU", 10, put_cpu(out, usage(r).user_us)),
    BAI_JOB("WCKey", 10, (void)out),
    BAI_JOB("WCKeyID", 8, out += "0"),
    BAI_JOB("WorkDir", 20, out += r.job.text(r.job.row->workdir)),
};
#undef BAI_JOB
#undef BAI_STEP
#undef BAI_ANY
// clang-format on

}  // namespace

std::span<const AcctField> acct_fields() { return kFields; }

}  // namespace bai::cli
