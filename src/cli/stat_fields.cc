// sstat's fields, with its widths (Slurm 22.05).
#include <algorithm>

#include "base/hostlist.h"
#include "base/time.h"
#include "cli/stat.h"
#include "model/step.h"

namespace bai::cli {
namespace {

using Row = StatRow;
using Figure = StatFigure;

void put(std::string& out, std::uint64_t number) { out += std::to_string(number); }
void put_amount(std::string& out, const Row& r, std::uint64_t amount) {
  if (r.convert)
    put_units(out, amount);
  else
    put(out, amount);
}
void put_cpu(std::string& out, std::uint64_t us) {
  out += format_duration_full(static_cast<Seconds>(us / 1'000'000));
}
std::uint64_t each(const Row& r, std::uint64_t total) { return total / std::max(1u, r.tasks); }
void put_asked_frequency(std::string& out, const Row& r) {
  out += r.step->step == kBatchStep ? "0" : "Unknown";
}

// What of a figure a TRES list shows.
enum class Of { kEach, kMost, kLeast, kTotal };
std::uint64_t pick(const Row& r, const Figure& f, Of of) {
  return of == Of::kEach ? each(r, f.total) : of == Of::kMost ? f.most : of == Of::kLeast ? f.least : f.total;
}

void put_tres_in(std::string& out, const Row& r, Of of) {
  out += "cpu=";
  put_cpu(out, pick(r, r.cpu_us, of));
  out += ",energy=0,fs/disk=";
  put_amount(out, r, pick(r, r.read_bytes, of));
  out += ",mem=";
  put_amount(out, r, pick(r, r.rss_kib, of) * 1024);
  out += ",pages=";
  put_amount(out, r, pick(r, r.pages, of));
  out += ",vmem=";
  put_amount(out, r, pick(r, r.vm_kib, of) * 1024);
}

void put_tres_out(std::string& out, const Row& r, Of of) {
  out += "energy=0,fs/disk=";
  put_amount(out, r, pick(r, r.write_bytes, of));
}

void put_tres_nodes(std::string& out, const Row& r, std::string_view Figure::*node) {
  const std::pair<std::string_view, std::string_view> list[] = {
      {"cpu=", r.cpu_us.*node},          {",energy=", r.step->nodes[0].node.view()},
      {",fs/disk=", r.read_bytes.*node}, {",mem=", r.rss_kib.*node},
      {",pages=", r.pages.*node},        {",vmem=", r.vm_kib.*node}};
  for (const auto& [key, value] : list) (out += key) += value;
}

void put_tres_out_nodes(std::string& out, const Row& r, std::string_view Figure::*node) {
  ((out += "energy=") += r.step->nodes[0].node.view()) += ",fs/disk=";
  out += r.write_bytes.*node;
}

// Slurm writes the task of "cpu" as a time, and so do we.
void put_tres_tasks(std::string& out, const Row& r, std::uint32_t Figure::*task) {
  out += "cpu=";
  put_cpu(out, std::uint64_t{r.cpu_us.*task} * 1'000'000);
  const std::pair<std::string_view, std::uint32_t> list[] = {{",fs/disk=", r.read_bytes.*task},
                                                             {",mem=", r.rss_kib.*task},
                                                             {",pages=", r.pages.*task},
                                                             {",vmem=", r.vm_kib.*task}};
  for (const auto& [key, value] : list) put(out += key, value);
}

void put_node_list(std::string& out, const Row& r) {
  std::vector<std::string> names;
  for (const auto& part : r.step->nodes) names.push_back(part.node.str());
  out += compress_hostlist(names);
}

void put_pids(std::string& out, const Row& r) {
  bool first = true;
  for (const auto& part : r.step->nodes)
    for (const auto pid : part.use.pids) {
      if (!first) out += ',';
      first = false;
      put(out, pid);
    }
}

void add(StatFigure& sum, const UseFigure& part, std::string_view node, bool first) {
  sum.total += part.total;
  if (first || part.most > sum.most)
    sum.most = part.most, sum.most_task = part.most_task, sum.most_node = node;
  if (first || part.least < sum.least)
    sum.least = part.least, sum.least_task = part.least_task, sum.least_node = node;
}

// clang-format off
#define BAI_FIELD(name, width, ...) StatField{name, width, [](std::string& out, const Row& r) { __VA_ARGS__; }}
const StatField kFields[] = {
    BAI_FIELD("AveCPU", 10, put_cpu(out, each(r, r.cpu_us.total))),
    BAI_FIELD("AveCPUFreq", 10, out += "0"; (void)r),
    BAI_FIELD("AveDiskRead", 12, put_amount(out, r, each(r, r.read_bytes.total))),
    BAI_FIELD("AveDiskWrite", 12, put_amount(out, r, each(r, r.write_bytes.total))),
    BAI_FIELD("AvePages", 10, put_amount(out, r, each(r, r.pages.total))),
    BAI_FIELD("AveRSS", 10, put_amount(out, r, each(r, r.rss_kib.total) * 1024)),
    BAI_FIELD("AveVMSize", 10, put_amount(out, r, each(r, r.vm_kib.total) * 1024)),
    BAI_FIELD("ConsumedEnergy", 14, out += "0"; (void)r),
    BAI_FIELD("ConsumedEnergyRaw", 17, out += "0"; (void)r),
    BAI_FIELD("JobID", -12, out += stat_step_name(*r.step)),
    BAI_FIELD("MaxDiskRead", 12, put_amount(out, r, r.read_bytes.most)),
    BAI_FIELD("MaxDiskReadNode", 15, out += r.read_bytes.most_node),
    BAI_FIELD("MaxDiskReadTask", 15, put(out, r.read_bytes.most_task)),
    BAI_FIELD("MaxDiskWrite", 12, put_amount(out, r, r.write_bytes.most)),
    BAI_FIELD("MaxDiskWriteNode", 16, out += r.write_bytes.most_node),
    BAI_FIELD("MaxDiskWriteTask", 16, put(out, r.write_bytes.most_task)),
    BAI_FIELD("MaxPages", 8, put_amount(out, r, r.pages.most)),
    BAI_FIELD("MaxPagesNode", 12, out += r.pages.most_node),
    BAI_FIELD("MaxPagesTask", 14, put(out, r.pages.most_task)),
    BAI_FIELD("MaxRSS", 10, put_amount(out, r, r.rss_kib.most * 1024)),
    BAI_FIELD("MaxRSSNode", 10, out += r.rss_kib.most_node),
    BAI_FIELD("MaxRSSTask", 10, put(out, r.rss_kib.most_task)),
    BAI_FIELD("MaxVMSize", 10, put_amount(out, r, r.vm_kib.most * 1024)),
    BAI_FIELD("MaxVMSizeNode", 14, out += r.vm_kib.most_node),
    BAI_FIELD("MaxVMSizeTask", 14, put(out, r.vm_kib.most_task)),
    BAI_FIELD("MinCPU", 10, put_cpu(out, r.cpu_us.least)),
    BAI_FIELD("MinCPUNode", 10, out += r.cpu_us.least_node),
    BAI_FIELD("MinCPUTask", 10, put(out, r.cpu_us.least_task)),
    BAI_FIELD("Nodelist", 20, put_node_list(out, r)),
    BAI_FIELD("NTasks", 8, put(out, r.tasks)),
    BAI_FIELD("Pids", 20, put_pids(out, r)),
    BAI_FIELD("ReqCPUFreq", 10, put_asked_frequency(out, r)),
    BAI_FIELD("ReqCPUFreqMin", 13, put_asked_frequency(out, r)),
    BAI_FIELD("ReqCPUFreqMax", 13, put_asked_frequency(out, r)),
    BAI_FIELD("ReqCPUFreqGov", 13, put_asked_frequency(out, r)),
    BAI_FIELD("TRESUsageInAve", 14, put_tres_in(out, r, Of::kEach)),
    BAI_FIELD("TRESUsageInMax", 14, put_tres_in(out, r, Of::kMost)),
    BAI_FIELD("TRESUsageInMaxNode", 18, put_tres_nodes(out, r, &Figure::most_node)),
    BAI_FIELD("TRESUsageInMaxTask", 18, put_tres_tasks(out, r, &Figure::most_task)),
    BAI_FIELD("TRESUsageInMin", 14, put_tres_in(out, r, Of::kLeast)),
    BAI_FIELD("TRESUsageInMinNode", 18, put_tres_nodes(out, r, &Figure::least_node)),
    BAI_FIELD("TRESUsageInMinTask", 18, put_tres_tasks(out, r, &Figure::least_task)),
    BAI_FIELD("TRESUsageInTot", 14, put_tres_in(out, r, Of::kTotal)),
    BAI_FIELD("TRESUsageOutAve", 15, put_tres_out(out, r, Of::kEach)),
    BAI_FIELD("TRESUsageOutMax", 15, put_tres_out(out, r, Of::kMost)),
    BAI_FIELD("TRESUsageOutMaxNode", 19, put_tres_out_nodes(out, r, &Figure::most_node)),
    BAI_FIELD("TRESUsageOutMaxTask", 19, put(out += "fs/disk=", r.write_bytes.most_task)),
    BAI_FIELD("TRESUsageOutMin", 15, put_tres_out(out, r, Of::kLeast)),
    BAI_FIELD("TRESUsageOutMinNode", 19, put_tres_out_nodes(out, r, &Figure::least_node)),
    BAI_FIELD("TRESUsageOutMinTask", 19, put(out += "fs/disk=", r.write_bytes.least_task)),
    BAI_FIELD("TRESUsageOutTot", 15, put_tres_out(out, r, Of::kTotal)),
};
#undef BAI_FIELD
// clang-format on

}  // namespace

std::span<const StatField> stat_fields() { return kFields; }

std::string stat_step_name(const wire::StepUse& step) {
  if (step.array_task == kNoTask) return step_name(step.job, step.step);
  return std::to_string(step.array_job) + "_" + std::to_string(step.array_task) + "." + step_name(step.step);
}

StatRow stat_row(const wire::StepUse& step, bool convert) {
  StatRow row;
  row.step = &step;
  row.convert = convert;
  bool first = true;
  for (const auto& part : step.nodes) {
    if (!part.missing.empty()) continue;
    row.tasks += part.use.tasks;
    row.processes += part.use.processes;
    const std::string_view node = part.node.view();
    add(row.cpu_us, part.use.cpu_us, node, first);
    add(row.rss_kib, part.use.rss_kib, node, first);
    add(row.vm_kib, part.use.vm_kib, node, first);
    add(row.pages, part.use.pages, node, first);
    add(row.read_bytes, part.use.read_bytes, node, first);
    add(row.write_bytes, part.use.write_bytes, node, first);
    first = false;
  }
  return row;
}

}  // namespace bai::cli
