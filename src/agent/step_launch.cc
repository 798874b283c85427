#include "agent/step_launch.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "model/filename.h"
#include "model/multi_prog.h"

namespace bai::agent {
namespace {

step::MpiKind mpi_of(std::string_view name) {
  if (name == "pmi1") return step::MpiKind::kPmi1;
  if (name == "pmix") return step::MpiKind::kPmix;
  return step::MpiKind::kNone;
}

// Numeric addresses of a host; a shepherd has no name service.
Result<std::vector<std::string>> addresses_of(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int err = getaddrinfo(host.c_str(), nullptr, &hints, &found))
    return Error{err == EAI_AGAIN ? "io_error" : "no_address",
                 "the address of node " + quote(host) + " cannot be found: " + gai_strerror(err), "",
                 "give NodeAddr in bai.conf"};
  std::vector<std::string> out;
  for (const addrinfo* a = found; a && out.size() < step::kMaxEndpoints; a = a->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (getnameinfo(a->ai_addr, a->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
      out.emplace_back(text.data());
  }
  freeaddrinfo(found);
  return out;
}

step::StreamPlan plan_of(const wire::LaunchOrder& order, std::uint32_t node_index) {
  const Step& its = *order.step;
  const StepRun& run = order.run;
  step::StreamPlan plan;
  plan.clients = run.client.endpoints;
  plan.key = run.client.key;
  plan.node_index = node_index;
  plan.node_count = static_cast<std::uint32_t>(its.nodes.size());
  plan.task_count = its.tasks();
  plan.pty = run.pty;
  plan.pty_rows = run.rows;
  plan.pty_columns = run.columns;
  plan.unbuffered = run.unbuffered;
  plan.mpi = mpi_of(run.mpi.view());
  plan.kill_on_bad_exit = run.kill_on_bad_exit;
  plan.wait_s = run.wait_s;
  plan.detach = run.detach;
  if (!run.speaker.empty()) plan.speaker = run.speaker.str();
  if (plan.mpi != step::MpiKind::kNone) {
    plan.rank_nodes.resize(plan.task_count);
    for (std::uint32_t i = 0; i < its.nodes.size(); ++i) {
      plan.node_names.push_back(its.nodes[i].node.str());
      for (const auto rank : its.nodes[i].ranks)
        if (rank < plan.task_count) plan.rank_nodes[rank] = i;
    }
  }
  return plan;
}

}  // namespace

Status add_tasks(const wire::LaunchOrder& order, const User& user, const std::string& node,
                 step::StepLaunch& launch) {
  const Step& its = *order.step;
  const StepRun& run = order.run;
  const auto at = std::find_if(its.nodes.begin(), its.nodes.end(),
                               [&](const StepShare& share) { return share.node == node; });
  if (at == its.nodes.end()) return Error{"bad_order", node + " was given a step that is not here"};
  if (at->ranks.empty() || at->ranks.size() > step::kMaxTasks)
    return Error{"bad_order",
                 node + " was given " + std::to_string(at->ranks.size()) +
                     " tasks of a step, it runs at most " + std::to_string(step::kMaxTasks),
                 "", "spread them over more nodes"};
  if (order.launch.args.empty()) return Error{"bad_order", node + " was given a step without a program"};
  const auto index = static_cast<std::uint32_t>(at - its.nodes.begin());
  launch.step = step_name(its.id);
  launch.script.clear();
  launch.argv = order.launch.args;
  launch.umask = run.umask;
  launch.open_mode = run.open_mode == OpenMode::kAppend ? step::OpenMode::kAppend : step::OpenMode::kTruncate;
  launch.streams = plan_of(order, index);
  if (!order.parent_address.empty()) {
    auto addresses = addresses_of(order.parent_address);
    if (!addresses.ok()) return addresses.error();
    launch.streams.parent_addresses = std::move(*addresses);
  }
  // Its own warning; else that of its job, unless that is for the script alone or the step is over before.
  WarningSignal warning = run.signal;
  const WarningSignal& of_job = order.job->spec->extras().signal;
  const bool own_end = its.spec.time_limit > 0 && its.spec.time_limit == order.time_limit;
  if (warning.number == 0 && !of_job.batch_only && !own_end) warning = of_job;
  launch.warning_signal = warning.number;
  launch.warning_before_s = warning.before_end_s;
  launch.warning_to_batch_only = false;
  // A step's tasks end by themselves; what they leave is ended at once.
  launch.leftover_grace_ms = 0;

  std::optional<MultiProg> programs;
  if (run.multi_prog) {
    auto parsed = MultiProg::parse(order.script, its.tasks());
    if (!parsed) return parsed.error();
    programs = std::move(*parsed);
  }
  const Job& job = *order.job;
  FilenameContext names;
  names.job = job.id;
  names.array_job = job.array_id;
  names.array_task = job.array_task;
  names.job_name = job.spec->name;
  names.user = user.name;
  names.node = node;
  names.node_index = index;
  names.step = launch.step;
  const auto file = [&](const Istr& pattern) {
    return pattern.empty() ? std::string() : expand_path(pattern, run.workdir.view(), names);
  };
  std::string gtids;
  for (const auto rank : at->ranks) gtids += (gtids.empty() ? "" : ",") + std::to_string(rank);
  launch.env.push_back("SLURM_GTIDS=" + gtids);
  std::uint32_t local = 0;
  for (const auto rank : at->ranks) {
    step::TaskLaunch task;
    task.rank = rank;
    task.local_id = local++;
    names.task = rank;
    for (const char* prefix : {"BAI_", "SLURM_"}) {
      task.env.push_back(std::string(prefix) + "PROCID=" + std::to_string(rank));
      task.env.push_back(std::string(prefix) + "LOCALID=" + std::to_string(task.local_id));
    }
    if (programs) task.argv = programs->words(rank);
    task.stdin_path = file(run.std_in);
    task.stdout_path = file(run.std_out);
    task.stderr_path = run.std_err.empty() ? std::string() : file(run.std_err);
    launch.tasks.push_back(std::move(task));
  }
  return {};
}

}  // namespace bai::agent
