#include "agent/launcher.h"

#include <unistd.h>

#include <algorithm>

#include "agent/environment.h"
#include "agent/step_launch.h"
#include "base/text.h"
#include "model/filename.h"
#include "model/gpu_bind.h"
#include "model/hooks.h"

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

// The variables of its devices. A share of a GPU that is to be held to its size has CUDA MPS started.
Result<std::vector<std::string>> Launcher::device_environment(const std::vector<DeviceShare>& shares) const {
  auto env = grant_devices(devices, shares, confiner.keeps_devices()).environment;
  if (mps.program.empty()) return env;
  for (const auto& share : shares) {
    const NodeDevice* device = share.amount < kWholeDevice ? find_device(devices, share) : nullptr;
    if (!device || !device->found.mps) continue;
    const std::string& id = device->found.id;
    if (auto started = start_mps(mps, id); !started.ok()) return started.error();
    for (auto& entry : mps_environment(mps_dir(mps, id), id, share.amount, device->found.mem_mib)) {
      const std::string name = entry.substr(0, entry.find('=') + 1);
      std::erase_if(env, [&](const std::string& other) { return other.starts_with(name); });
      env.push_back(std::move(entry));
    }
  }
  return env;
}

// --gpu-bind: each task sees its part of the step's GPUs, by the variables; the step's cgroup has them all.
Status Launcher::bind_to_gpus(const wire::LaunchOrder& order, const std::vector<DeviceShare>& shares,
                              step::StepLaunch& launch) const {
  auto how = parse_gpu_bind(order.run.gpu_bind.view());
  if (!how.ok()) return how.error();
  // --gpus-per-task means it so, unless told otherwise: srun(1).
  const auto& asked = order.step->spec.devices.empty() ? request_in_force(*order.job).extras().devices
                                                       : order.step->spec.devices;
  for (const auto& wanted : asked)
    if (how->kind == GpuBind::Kind::kAuto && wanted.kind == "gpu" && wanted.per == DevicePer::kTask &&
        wanted.amount >= kWholeDevice) {
      how->kind = GpuBind::Kind::kPerTask;
      how->count = static_cast<std::uint32_t>(wanted.amount / kWholeDevice);
    }
  std::vector<DeviceShare> gpus;
  for (const auto& share : shares)
    if (share.kind == "gpu" && share.index != kCountedDevice &&
        std::none_of(gpus.begin(), gpus.end(),
                     [&](const DeviceShare& other) { return other.index == share.index; }))
      gpus.push_back(share);
  std::sort(gpus.begin(), gpus.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  const bool apart = confiner.keeps_devices() && !devices.empty();
  std::vector<GpuPlace> places;
  for (const auto& gpu : gpus) {
    const NodeDevice* device = find_device(devices, gpu);
    places.push_back(
        {apart ? static_cast<std::uint32_t>(places.size()) : gpu.index, device ? device->socket : kNoSocket});
  }
  std::vector<IdSet> sockets;
  for (const auto& task : launch.tasks)
    sockets.push_back(
        sockets_of(topology, task.cpu_mask.empty() ? launch.confinement.cpu_mask : task.cpu_mask));
  const auto bound = bind_gpus(*how, places, sockets);
  for (std::size_t i = 0; i < launch.tasks.size(); ++i) {
    auto& task = launch.tasks[i];
    if (how->verbose) task.notice += gpu_bind_line(bound[i], places);
    // A share is of one GPU, which MPS may have given another number.
    if (bound[i].empty() || (gpus.size() == 1 && gpus[0].amount < kWholeDevice)) continue;
    std::vector<DeviceShare> mine;
    for (const auto at : bound[i]) mine.push_back(gpus[at]);
    for (auto& entry : visible_gpus(devices, gpus, mine, apart)) task.env.push_back(std::move(entry));
  }
  return {};
}

step::StepLaunch Launcher::begun(const wire::LaunchOrder& order, const Uuid& cluster,
                                 const std::string& mark) const {
  step::StepLaunch launch;
  launch.cluster = cluster.hex();
  launch.job_id = order.job->id;
  launch.attempt = order.key.attempt;
  launch.node = node_.name;
  launch.boot_id = node_.boot_id;
  launch.mark = mark;
  return launch;
}

step::StepLaunch Launcher::hook(const wire::LaunchOrder& order, const Uuid& cluster, const std::string& mark,
                                std::uint32_t node_index) const {
  step::StepLaunch launch = begun(order, cluster, mark);
  make_hook(order, hooks, {cluster_name, node_.name, node_index}, policy.own_uid, launch);
  launch.kill_wait_s = static_cast<std::uint64_t>(kill_wait);
  confiner.track(launch);
  return launch;
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
  if (order.key.step == kEpilogStep) return hook(order, cluster, mark, index);
  if (auto checked = signatures_.check(order, cluster, policy, now); !checked.ok()) return checked.error();
  auto user = users_.find(spec.uid, spec.gid, mono_ms);
  if (!user.ok()) {
    Error error = user.error();
    error.message =
        "node " + node_.name + " " + error.message + (spec.user.empty() ? "" : " (" + spec.user.str() + ")");
    if (error.code == "unknown_user") error.remedy = "make the user known there";
    return error;
  }

  if (order.key.step == kPrologStep) return hook(order, cluster, mark, index);

  step::StepLaunch launch = begun(order, cluster, mark);
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
  const StepShare* share = nullptr;
  if (order.step)
    for (const auto& one : order.step->nodes)
      if (one.node == node_.name) share = &one;
  // A node of its own comes with its devices.
  const bool whole = request_in_force(job).exclusive && nodes[index].devices.empty();
  const auto job_devices = whole ? all_devices(devices) : nodes[index].devices;
  const auto own_devices = share && !whole ? share->devices : job_devices;
  auto devices_env = device_environment(own_devices);
  if (!devices_env.ok()) return devices_env.error();
  launch.env = job_environment(
      {order, *user, cluster_name, node_.name, index, devices.empty() ? nullptr : &*devices_env});
  const auto passed = take_passed_limits(launch.env);
  const UserLimits limits_here = hooks.security_limits ? limits_.of(*user, mono_ms) : UserLimits{};
  launch.rlimits = job_limits(limits_here, passed);
  launch.priority = limits_here.priority;
  add_task_hooks(order, hooks, launch);
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
  if (!devices.empty()) {
    limits.denied_devices = grant_devices(devices, job_devices, false).denied;
    if (own_devices != job_devices)
      for (const auto& rule : grant_devices(devices, own_devices, false).denied)
        if (std::find(limits.denied_devices.begin(), limits.denied_devices.end(), rule) ==
            limits.denied_devices.end())
          limits.step_denied_devices.push_back(rule);
  }
  confiner.confine(limits, launch);
  launch.confinement.sample_s = static_cast<std::uint32_t>(sample);
  launch.confinement.no_new_privileges = confinement.no_new_privileges;
  if (policy.own_uid == 0) launch.confinement.private_dirs = confinement.private_dirs;
  if (order.step)
    if (auto added = add_tasks(order, *user, node_.name, launch); !added.ok()) return added.error();
  if (!topology.empty() && confinement.bind) {
    const IdSet cpus = cpu_ids(share ? share->cpu_ids : nodes[index].cpu_ids);
    launch.confinement.cpu_mask = cpu_mask(os_cpus(topology, cpus));
    if (share)
      if (auto bound = bind(order, cpus, launch); !bound.ok()) return bound.error();
  }

  if (share)
    if (auto bound = bind_to_gpus(order, own_devices, launch); !bound.ok()) return bound.error();

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
