#include "agent/launcher.h"

#include <unistd.h>

#include "agent/environment.h"
#include "agent/step_launch.h"
#include "base/text.h"
#include "model/filename.h"

namespace bai::agent {

bool is_passing(const Error& error) {
  return error.code == "munge_unavailable" || error.code == "munge_failed" || error.code == "user_lookup" ||
         error.code == "no_space" || error.code == "io_error" || error.code == "too_many_files";
}

namespace {

constexpr std::uint32_t kMaxCpu = 1 << 20;

IdSet cpu_ids(const Istr& text) {
  auto parsed = IdSet::parse(text.view(), kMaxCpu);
  return parsed.ok() ? std::move(*parsed) : IdSet();
}

}  // namespace

Status Launcher::bind(const wire::LaunchOrder& order, const IdSet& cpus, step::StepLaunch& launch) const {
  auto how = parse_cpu_bind(order.run.cpu_bind.view());
  if (!how.ok()) return how.error();
  using Kind = CpuBind::Kind;
  if (how->kind == Kind::kNone) launch.confinement.cpu_mask.clear();
  if (how->verbose)
    launch.confinement.say_binding = how->kind == Kind::kNone   ? "NONE"
                                     : how->kind == Kind::kMap  ? "MAP "
                                     : how->kind == Kind::kRank ? "RANK"
                                                                : "MASK";
  const auto sets =
      bind_tasks(topology, cpus, *how, launch.tasks.size(), std::max(1u, order.step->spec.cpus_per_task));
  for (std::size_t i = 0; i < sets.size(); ++i) launch.tasks[i].cpu_mask = cpu_mask(sets[i]);
  return {};
}

Result<step::StepLaunch> Launcher::prepare(const wire::LaunchOrder& order, const Uuid& cluster,
                                           const std::string& mark, Time now, std::int64_t mono_ms) {
  const auto bad = [&](const std::string& what) {
    return Error{"bad_order", node_.name + " was given a launch " + what};
  };
  if (!order.job || !order.job->spec || !order.job->allocation || order.job->id != order.key.job)
    return bad("without its job");
  const Job& job = *order.job;
  const JobSpec& spec = *job.spec;
  std::uint32_t index = 0;
  const auto& nodes = job.allocation->nodes;
  while (index < nodes.size() && !(nodes[index].node == node_.name)) ++index;
  if (index == nodes.size()) return bad("of a job that is not here");
  if (auto checked = signatures_.check(order, cluster, policy, now); !checked.ok()) return checked.error();
  auto user = users_.find(spec.uid, spec.gid, mono_ms);
  if (!user.ok()) {
    Error error = user.error();
    error.message =
        "node " + node_.name + " " + error.message + (spec.user.empty() ? "" : " (" + spec.user.str() + ")");
    if (error.code == "unknown_user") error.remedy = "make the user known there";
    return error;
  }

  step::StepLaunch launch;
  launch.cluster = cluster.hex();
  launch.job_id = job.id;
  launch.attempt = order.key.attempt;
  launch.node = node_.name;
  launch.boot_id = node_.boot_id;
  launch.mark = mark;
  launch.uid = spec.uid;
  launch.gid = spec.gid;
  if (policy.own_uid == 0) launch.groups = user->groups;
  launch.user = user->name;
  launch.home = user->home;
  launch.shell = user->shell;
  launch.as_root = spec.uid == 0;
  launch.script = order.script;
  launch.argv.push_back(spec.command.empty() ? (spec.name.empty() ? std::string("script") : spec.name.str())
                                             : spec.command.str());
  launch.argv.insert(launch.argv.end(), order.launch.args.begin(), order.launch.args.end());
  launch.env = job_environment({order, *user, cluster_name, node_.name, index});
  launch.workdir = order.step ? order.run.workdir.str() : spec.workdir.str();

  FilenameContext names;
  names.job = job.id;
  names.array_job = job.array_id;
  names.array_task = job.array_task;
  names.job_name = spec.name;
  names.user = user->name;
  names.node = node_.name;
  names.node_index = index;
  const auto& extras = spec.extras();
  launch.stdin_path = expand_path(extras.std_in, spec.workdir, names);
  launch.stdout_path = expand_path(spec.std_out, spec.workdir, names);
  launch.stderr_path =
      spec.std_err.empty() ? launch.stdout_path : expand_path(spec.std_err, spec.workdir, names);
  launch.open_mode =
      spec.open_mode == OpenMode::kAppend ? step::OpenMode::kAppend : step::OpenMode::kTruncate;

  launch.time_limit_s = order.time_limit > 0 ? static_cast<std::uint64_t>(order.time_limit) : 0;
  launch.kill_wait_s = static_cast<std::uint64_t>(kill_wait);
  launch.deadline_us = extras.deadline.us;
  launch.warning_signal = extras.signal.number;
  launch.warning_before_s = extras.signal.before_end_s;
  launch.warning_to_batch_only = extras.signal.batch_only;
  JobLimits limits;
  limits.cpus = nodes[index].cpus;
  limits.mem_mib = nodes[index].mem_mib;
  if (!topology.empty()) limits.cpu_list = os_cpus(topology, cpu_ids(nodes[index].cpu_ids)).format();
  confiner.confine(limits, launch);
  launch.confinement.sample_s = static_cast<std::uint32_t>(sample);
  launch.confinement.no_new_privileges = confinement.no_new_privileges;
  if (policy.own_uid == 0) launch.confinement.private_dirs = confinement.private_dirs;
  if (order.step)
    if (auto added = add_tasks(order, *user, node_.name, launch); !added.ok()) return added.error();
  if (!topology.empty() && confinement.bind) {
    const StepShare* share = nullptr;
    if (order.step)
      for (const auto& one : order.step->nodes)
        if (one.node == node_.name) share = &one;
    const IdSet cpus = cpu_ids(share ? share->cpu_ids : nodes[index].cpu_ids);
    launch.confinement.cpu_mask = cpu_mask(os_cpus(topology, cpus));
    if (share)
      if (auto bound = bind(order, cpus, launch); !bound.ok()) return bound.error();
  }

  // What the shepherd could not read back, or the kernel would not take, is said here.
  for (const auto* words : {&launch.argv, &launch.env})
    for (const auto& word : *words)
      if (word.size() >= step::kMaxWord || word.find('\0') != std::string::npos)
        return Error{"bad_order", "the argument or variable " + quote(word, 40) + " is longer than the " +
                                      std::to_string(step::kMaxWord) + " bytes that a program can be given"};
  for (const auto* path : {&launch.workdir, &launch.stdin_path, &launch.stdout_path, &launch.stderr_path})
    if (path->size() > step::kMaxPath)
      return Error{"bad_order", "the path " + quote(*path, 80) + " is too long"};
  return launch;
}

}  // namespace bai::agent
