#include "wire/job_table.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace bai::wire {
namespace {

// Longer texts would not pass the decoder's cap.
constexpr std::size_t kMaxText = kDefaultStringBytes;

std::string_view kind_name(DependencyKind kind) {
  constexpr std::string_view kNames[] = {"after",      "afterany",  "afterok",
                                         "afternotok", "aftercorr", "singleton"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace

TextId JobTableBuilder::text(Column column, std::string_view text) {
  if (text.empty()) return 0;
  std::string cut;
  if (text.size() > kMaxText) {
    cut = std::string(text.substr(0, kMaxText - 3)) + "...";
    text = cut;
  }
  TextId& last = last_[column];
  if (last == 0 || table_.texts[last] != text) last = find_or_add(text);
  return last;
}

TextId JobTableBuilder::find_or_add(std::string_view text) {
  if (2 * table_.texts.size() >= slots_.size()) grow();
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>()(text) & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask)
    if (table_.texts[slots_[slot]] == text) return slots_[slot];
  slots_[slot] = static_cast<TextId>(table_.texts.size());
  table_.texts.emplace_back(text);
  return slots_[slot];
}

void JobTableBuilder::grow() {
  slots_.assign(std::max<std::size_t>(64, slots_.size() * 4), 0);
  const std::size_t mask = slots_.size() - 1;
  for (TextId id = 1; id < table_.texts.size(); ++id) {
    std::size_t slot = std::hash<std::string_view>()(table_.texts[id]) & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = id;
  }
}

void JobTableBuilder::add(const Job& job, Seconds time_limit_in_force, std::string_view batch_host) {
  const JobSpec& spec = *job.spec;
  const ResourceRequest& request = spec.request;
  const JobExtras& extras = spec.extras();
  JobRow& row = table_.rows.emplace_back();
  row.id = job.id;
  row.array_id = job.array_id;
  row.array_task = job.array_task;
  row.state = job.state;
  row.reason = job.reason;
  row.hold = job.hold;
  row.exit = job.exit;
  row.restarts = job.restarts;
  row.priority = job.priority;
  row.attempt = job.attempt;
  row.ended_by_uid = job.ended_by_uid;
  row.submitted = job.submitted;
  row.eligible = job.eligible;
  row.started = job.started;
  row.ended = job.ended;
  row.expected_start = job.expected_start;
  row.begin = extras.begin;
  row.deadline = extras.deadline;
  row.uid = spec.uid;
  row.gid = spec.gid;
  row.name = text(kName, spec.name);
  row.user = text(kUser, spec.user);
  row.group = text(kGroup, spec.group);
  row.account = text(kAccount, spec.account);
  row.qos = text(kQos, extras.qos);
  row.partition =
      text(kPartition,
           job.allocation && !job.allocation->partition.empty() ? job.allocation->partition : spec.partition);
  row.workdir = text(kWorkdir, spec.workdir);
  row.std_in = text(kStdIn, extras.std_in);
  row.std_out = text(kStdOut, spec.std_out);
  row.std_err = text(kStdErr, spec.std_err);
  row.command = text(kCommand, spec.command);
  row.arguments = text(kArguments, extras.arguments);
  row.host = text(kHost, spec.host);
  row.session = spec.session;
  row.comment = text(kComment, extras.comment);
  row.admin_comment = text(kAdminComment, extras.admin_comment);
  row.detail = text(kDetail, job.detail);
  row.nodes_wanted = text(kNodesWanted, request.nodes_wanted);
  row.nodes_excluded = text(kNodesExcluded, request.nodes_excluded);
  row.constraint = text(kConstraint, request.constraint);
  row.licenses = text(kLicenses, request.licenses);
  if (const auto& devices = request.extras().devices; !devices.empty()) {
    auto asked = [&](Column column, DevicePer per) {
      return text(column, std::string_view(format_device_requests(devices, per)));
    };
    row.tres_per_node = asked(kTresPerNode, DevicePer::kNode);
    row.tres_per_job = asked(kTresPerJob, DevicePer::kJob);
    row.tres_per_task = asked(kTresPerTask, DevicePer::kTask);
    row.tres_per_socket = asked(kTresPerSocket, DevicePer::kSocket);
  }
  row.no_batch = extras.no_batch;
  row.contiguous = request.extras().contiguous;
  if (!extras.dependencies.list.empty())
    row.dependency = text(kDependency, std::string_view(format_dependencies(extras.dependencies)));
  row.mail_user = text(kMailUser, extras.mail_user);
  row.mail_events = extras.mail_events;
  if (job.array) {
    row.array_tasks =
        text(kArrayTasks, std::string_view(format_array_spec(job.array->waiting, 0, kMaxText + 1)));
    row.array_waiting = static_cast<std::uint32_t>(job.array->waiting.count());
    row.array_max_running = job.array->max_running;
  }
  row.min_nodes = request.min_nodes;
  row.max_nodes = request.max_nodes;
  row.tasks = request.tasks;
  row.cpus_per_task = request.cpus_per_task;
  row.tasks_per_node = request.tasks_per_node;
  row.mem_per_node_mib = request.mem_per_node_mib;
  row.mem_per_cpu_mib = request.mem_per_cpu_mib;
  row.exclusive = request.exclusive;
  row.exclusive_user = request.exclusive_user;
  row.asked = request.asked;
  if (job.allocation) {
    const auto& nodes = job.allocation->nodes;
    if (nodes.size() == 1)
      row.node_list = text(kNodeList, nodes[0].node);
    else if (!nodes.empty())
      row.node_list = text(kNodeList, std::string_view(job.allocation->hostlist()));
    if (!batch_host.empty())
      row.batch_host = text(kBatchHost, batch_host);
    else if (!nodes.empty())
      row.batch_host = text(kBatchHost, nodes[0].node);
    row.nodes = static_cast<std::uint32_t>(nodes.size());
    row.cpus = job.allocation->cpus();
    row.mem_mib = job.allocation->mem_mib();
    row.tres_held = text(kTresHeld, std::string_view(format_device_totals(job.allocation->nodes)));
  } else {
    row.nodes = request.least_nodes();
    row.cpus = request.tasks * request.cpus_per_task;
  }
  row.time_limit = time_limit_in_force;
  row.nice = spec.nice;
  row.open_mode = spec.open_mode;
  row.requeue = spec.requeue;
  row.signal = extras.signal;
  if (job.usage) row.usage = *job.usage;
  if (job.interruptions) {
    row.suspend_changed = job.interruptions->changed;
    row.suspended_us = job.interruptions->suspended_us;
    row.grace_until = job.interruptions->grace_until;
  }
}

JobTable JobTableBuilder::take() {
  slots_.clear();
  std::fill(std::begin(last_), std::end(last_), 0);
  return std::exchange(table_, {});
}

std::string format_dependencies(const Dependencies& dependencies) {
  std::string out;
  for (const auto& one : dependencies.list) {
    if (one.state == DependencyState::kSatisfied) continue;
    if (!out.empty()) out += dependencies.any ? '?' : ',';
    out += kind_name(one.kind);
    if (one.kind != DependencyKind::kSingleton) {
      out += ':';
      out += std::to_string(one.job);
      if (one.task != kNoTask) {
        out += '_';
        out += std::to_string(one.task);
      }
      if (one.delay_min != 0) {
        out += '+';
        out += std::to_string(one.delay_min);
      }
    }
    out += one.state == DependencyState::kFailed ? "(failed)" : "(unfulfilled)";
  }
  return out;
}

}  // namespace bai::wire
