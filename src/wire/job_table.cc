#include "wire/job_table.h"

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

TextId JobTableBuilder::text(std::string_view text) {
  if (text.empty()) return 0;
  std::string key(text.substr(0, kMaxText));
  if (text.size() > kMaxText) key.replace(kMaxText - 3, 3, "...");
  const auto next = static_cast<TextId>(table_.texts.size());
  const auto [it, fresh] = by_text_.try_emplace(std::move(key), next);
  if (fresh) table_.texts.push_back(it->first);
  return it->second;
}

TextId JobTableBuilder::text(const Istr& text) {
  if (text.empty()) return 0;
  if (const auto it = by_identity_.find(text.identity()); it != by_identity_.end()) return it->second;
  const TextId id = this->text(text.view());
  by_identity_.emplace(text.identity(), id);
  held_.push_back(text);
  return id;
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
  row.name = text(spec.name);
  row.user = text(spec.user);
  row.group = text(spec.group);
  row.account = text(spec.account);
  row.qos = text(extras.qos);
  row.partition =
      text(job.allocation && !job.allocation->partition.empty() ? job.allocation->partition : spec.partition);
  row.workdir = text(spec.workdir);
  row.std_in = text(extras.std_in);
  row.std_out = text(spec.std_out);
  row.std_err = text(spec.std_err);
  row.command = text(spec.command);
  row.comment = text(extras.comment);
  row.admin_comment = text(extras.admin_comment);
  row.detail = text(job.detail);
  row.nodes_wanted = text(request.nodes_wanted);
  row.nodes_excluded = text(request.nodes_excluded);
  row.constraint = text(request.constraint);
  row.licenses = text(request.licenses);
  if (!extras.dependencies.list.empty())
    row.dependency = text(std::string_view(format_dependencies(extras.dependencies)));
  row.mail_user = text(extras.mail_user);
  row.mail_events = extras.mail_events;
  if (job.array) {
    row.array_tasks = text(std::string_view(format_array_spec(job.array->waiting, 0)));
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
  if (job.allocation) {
    const auto& nodes = job.allocation->nodes;
    if (nodes.size() == 1)
      row.node_list = text(nodes[0].node);
    else if (!nodes.empty())
      row.node_list = text(std::string_view(job.allocation->hostlist()));
    if (!batch_host.empty())
      row.batch_host = text(batch_host);
    else if (!nodes.empty())
      row.batch_host = text(nodes[0].node);
    row.nodes = static_cast<std::uint32_t>(nodes.size());
    row.cpus = job.allocation->cpus();
    row.mem_mib = job.allocation->mem_mib();
  } else {
    row.nodes = request.min_nodes;
    row.cpus = request.tasks * request.cpus_per_task;
  }
  row.time_limit = time_limit_in_force;
  row.nice = spec.nice;
  row.open_mode = spec.open_mode;
  row.requeue = spec.requeue;
  row.signal = extras.signal;
  if (job.usage) row.usage = *job.usage;
}

JobTable JobTableBuilder::take() {
  by_text_.clear();
  by_identity_.clear();
  held_.clear();
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
