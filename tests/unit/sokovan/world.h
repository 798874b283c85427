// Random clusters and workloads of every kind of request, around a Toy. A seed makes one.
#pragma once

#include "base/rand.h"
#include "cluster.h"

namespace bai::sokovan {

struct World {
  Toy toy;
  Rng rng;
  SchedulingSettings settings;
  std::map<std::string, std::uint32_t> licenses;
  std::vector<Switch> switches;
  std::vector<std::shared_ptr<JobSpec>> shapes;  // jobs repeat each other
  std::vector<RunEnded> history;
  bool keep_to_limits = false;  // jobs run for exactly their limits, nodes stay up, nobody is cancelled

  PlacementSource plugins;

  // With `source`, all partitions are placed by what it has.
  explicit World(std::uint64_t seed, Prediction prediction = Prediction::kOff, PlacementSource source = {})
      : rng(seed), plugins(std::move(source)) {
    toy.scheduler = Scheduler(plugins);
    settings.planned_starts = static_cast<std::uint32_t>(rng.range(1, 8));
    // Half of them decide change by change, with full passes at the interval.
    settings.backfill_interval = rng.chance(1, 2) ? 30 : 0;
    settings.cheap_pass_steps = 0;
    toy.scheduler.apply(SettingsSet{settings});
    const auto n = rng.range(1, 8);
    for (std::int64_t i = 1; i <= n; ++i) add_node("n" + std::to_string(i));
    if (rng.chance(1, 2)) {
      for (int leaf = 0; leaf < 3; ++leaf) {
        Switch s;
        s.name = "s" + std::to_string(leaf);
        for (std::int64_t i = 1 + leaf; i <= n; i += 3) s.nodes.emplace_back("n" + std::to_string(i));
        switches.push_back(s);
      }
      Switch root;
      root.name = "root";
      for (const auto& s : switches) root.switches.push_back(s.name);
      switches.push_back(root);
      toy.scheduler.apply(TopologySet{switches});
    }
    if (rng.chance(1, 2)) licenses = {{"x", static_cast<std::uint32_t>(rng.range(1, 4))}};
    toy.scheduler.apply(LicensesSet{licenses});
    for (const auto* name : {"p", "q"}) {
      Partition p;
      p.name = name;
      p.is_default = name[0] == 'p';
      p.priority_tier = static_cast<std::uint32_t>(rng.range(1, 2));
      for (const auto& [node, set] : toy.nodes)
        if (p.is_default || rng.chance(2, 3)) p.nodes.emplace_back(node);
      if (rng.chance(1, 3)) p.default_mem_per_cpu_mib = 50;
      p.exclusive_user = rng.chance(1, 8);
      const SchedulingPolicy policies[] = {SchedulingPolicy::kDefault,  SchedulingPolicy::kDefault,
                                           SchedulingPolicy::kFcfs,     SchedulingPolicy::kEasy,
                                           SchedulingPolicy::kEasySjbf, SchedulingPolicy::kConservative};
      p.scheduling.policy = policies[rng.below(6)];
      if (rng.chance(1, 6)) p.scheduling.planned_starts_per_user = 1;
      const bool is_default = p.scheduling.policy == SchedulingPolicy::kDefault;
      p.scheduling.prediction = is_default ? prediction : Prediction::kOff;
      const char* placements[] = {"", "dispersed", "topology", "concentrated"};
      p.scheduling.placement = placements[rng.below(4)];
      if (plugins) p.scheduling.placement = "plugin:odd";
      toy.partition(std::move(p));
    }
    for (int i = 0; i < 8; ++i) shapes.push_back(shape());
  }

  void add_node(const std::string& name) {
    NodeSet set;
    set.name = name;
    set.cpus = static_cast<std::uint32_t>(rng.range(1, 8));
    set.mem_mib = static_cast<std::uint64_t>(rng.range(1, 8)) * 100;
    if (rng.chance(1, 2)) set.features.emplace_back("f");
    if (rng.chance(1, 2)) set.features.emplace_back("g");
    set.weight = static_cast<std::uint32_t>(rng.range(1, 2));
    set.sockets = static_cast<std::uint32_t>(rng.range(1, 2));
    set.usable = true;
    if (rng.chance(1, 2)) {
      DeviceGroup gpus;
      gpus.kind = "gpu";
      gpus.type = rng.chance(1, 2) ? "a" : "b";
      gpus.count = static_cast<std::uint32_t>(rng.range(1, 4));
      if (set.sockets == 2)
        for (std::uint32_t i = 0; i < gpus.count; ++i)
          gpus.sockets.push_back(static_cast<std::uint16_t>(i % 2));
      set.devices.push_back(gpus);
    }
    if (rng.chance(1, 4)) {
      DeviceGroup net;
      net.kind = "net", net.count = 10, net.counted = true;
      set.devices.push_back(net);
    }
    toy.nodes[name] = set;
    toy.scheduler.apply(set);
  }

  // Mostly such as could run.
  std::shared_ptr<JobSpec> shape() {
    for (int i = 0; i < 8; ++i) {
      Job job;
      job.spec = any_shape();
      if (toy.scheduler.feasible(job).ok()) return std::make_shared<JobSpec>(*job.spec);
    }
    return any_shape();
  }
  std::shared_ptr<JobSpec> any_shape() {
    auto spec = Toy::spec(static_cast<std::uint32_t>(rng.range(1, 8)), rng.range(1, 20) * 10,
                          static_cast<std::uint32_t>(rng.chance(1, 3) ? rng.range(1, 4) : 1));
    auto& r = spec->request;
    spec->uid = static_cast<std::uint32_t>(rng.range(1, 3));
    spec->partition = rng.chance(1, 3) ? "p,q" : rng.chance(1, 2) ? "p" : "q";
    if (rng.chance(1, 4)) r.cpus_per_task = static_cast<std::uint32_t>(rng.range(1, 4));
    if (rng.chance(1, 4))
      r.mem_per_node_mib = rng.chance(1, 6) ? kAllMemory : static_cast<std::uint64_t>(rng.range(1, 900));
    else if (rng.chance(1, 4))
      r.mem_per_cpu_mib = static_cast<std::uint64_t>(rng.range(1, 300));
    if (rng.chance(1, 8)) r.exclusive = true;
    if (rng.chance(1, 8)) r.exclusive_user = true;
    const char* constraints[] = {"f", "f|g", "[f|g]", "f&g", "f*1", "[f*1&g*1]"};
    if (rng.chance(1, 6)) r.constraint = constraints[rng.below(6)];
    if (rng.chance(1, 10)) r.nodes_wanted = "n1";
    if (rng.chance(1, 10)) r.nodes_excluded = "n2";
    if (rng.chance(1, 8)) r.tasks_per_node = static_cast<std::uint32_t>(rng.range(1, 3));
    if (rng.chance(1, 6)) r.max_nodes = r.min_nodes + static_cast<std::uint32_t>(rng.range(0, 2));
    if (rng.chance(1, 8) && !licenses.empty()) r.licenses = rng.chance(1, 2) ? "x" : "x:2";
    if (rng.chance(1, 12)) spec->time_limit = kUnlimited;
    RequestExtras extras;
    if (rng.chance(1, 3)) {
      DeviceRequest gpus;
      gpus.kind = "gpu";
      if (rng.chance(1, 4)) gpus.type = rng.chance(1, 2) ? "a" : "a|b";
      gpus.per = static_cast<DevicePer>(rng.range(0, 3));
      gpus.amount = rng.chance(1, 2) ? 100 * static_cast<DeviceAmount>(rng.range(1, 9))
                                     : kWholeDevice * static_cast<DeviceAmount>(rng.range(1, 3));
      extras.devices.push_back(gpus);
      if (rng.chance(1, 4)) extras.cpus_per_gpu = static_cast<std::uint32_t>(rng.range(1, 3));
      if (rng.chance(1, 4)) extras.mem_per_gpu_mib = 100;
    }
    if (rng.chance(1, 12)) extras.devices.push_back({"net", "", kWholeDevice * 4, DevicePer::kNode});
    if (rng.chance(1, 12)) extras.min_cpus_per_node = 3;
    if (rng.chance(1, 12)) extras.contiguous = true;
    if (rng.chance(1, 12)) extras.spread = true;
    if (rng.chance(1, 12)) {
      extras.switches = 1;
      extras.switches_wait = rng.chance(1, 2) ? 40 : kUnlimited;
    }
    if (rng.chance(1, 12)) {
      ResourceRequest other;
      other.tasks = static_cast<std::uint32_t>(rng.range(1, 3));
      extras.alternatives.push_back(other);
    }
    r.set_extras(extras);
    return spec;
  }

  void submit() {
    auto spec = rng.chance(3, 4) ? shapes[rng.below(shapes.size())] : shape();
    if (rng.chance(1, 6))
      toy.submit_array(spec, static_cast<std::uint32_t>(rng.range(1, 6)),
                       static_cast<std::uint32_t>(rng.range(0, 3)));
    else
      toy.submit(spec, static_cast<std::uint32_t>(rng.range(1, 3)));
  }

  void end(JobId id) {
    const auto& job = *toy.jobs.at(id);
    if (job.started.is_set()) history.push_back({job.spec->uid, job.spec->time_limit, toy.now - job.started});
    toy.end(id);
  }

  // Something happens, and some time goes by.
  void step() {
    std::vector<JobId> running, waiting;
    for (const auto& [id, job] : toy.jobs) (is_active(job->state) ? running : waiting).push_back(id);
    switch (rng.below(9)) {
      case 0:
      case 1:
      case 2:
      case 3:
        submit();
        break;
      case 4:
      case 5:
        if (!running.empty()) end(running[rng.below(running.size())]);
        break;
      case 6: {
        auto it = toy.nodes.begin();
        std::advance(it, rng.below(toy.nodes.size()));
        toy.usable(it->first, rng.chance(2, 3));
        break;
      }
      case 7:
        if (!waiting.empty()) {
          Job job = *toy.jobs.at(waiting[rng.below(waiting.size())]);
          if (rng.chance(1, 3)) {
            toy.end(job.id);
          } else {
            job.hold = rng.chance(1, 3) ? Hold::kUser : Hold::kNone;
            job.priority = static_cast<std::uint32_t>(rng.range(1, 4));
            if (rng.chance(1, 4)) job.failed_nodes = "n1";
            toy.feed(job, met[job.id] = rng.chance(3, 4));
          }
        }
        break;
      case 8:
        if (!running.empty()) {  // lost with its node, and back in the queue
          Job job = *toy.jobs.at(running[rng.below(running.size())]);
          job.failed_nodes = job.allocation->nodes[0].node;
          job.state = JobState::kPending;
          job.allocation.reset();
          job.started = Time{};
          toy.feed(job);
        }
        break;
    }
    if (rng.chance(2, 3)) toy.now = toy.now + rng.range(0, 30);
  }
  std::map<JobId, bool> met;

  // Larger comes first.
  std::tuple<std::uint32_t, std::uint32_t, std::int64_t, std::int64_t> rank(const Job& job) const {
    std::uint32_t tier = 0;
    for (const auto& [name, p] : toy.partitions)
      if (job.spec->partition.view().find(name) != std::string_view::npos)
        tier = std::max(tier, p->priority_tier);
    return {tier, job.priority, -job.submitted.us, -std::int64_t{job.id}};
  }
  bool is_met(JobId id) const { return !met.count(id) || met.at(id); }

  // A scheduler that is told how things are, in another order than they came. Of those that wait, `only` one, or some, or all.
  Scheduler fresh(JobId only = 0, const std::set<JobId>* some = nullptr) const {
    Scheduler out(plugins);
    out.apply(SettingsSet{settings});
    for (const auto& [name, set] : toy.nodes) out.apply(set);
    out.apply(TopologySet{switches});
    out.apply(LicensesSet{licenses});
    for (const auto& [name, p] : toy.partitions) out.apply(PartitionSet{p});
    for (const auto& run : history) out.apply(run);
    for (auto it = toy.jobs.rbegin(); it != toy.jobs.rend(); ++it)
      if (is_active(it->second->state)) out.apply(JobSet{it->second});
    for (auto it = toy.jobs.rbegin(); it != toy.jobs.rend(); ++it)
      if (!is_active(it->second->state) && (only == 0 || it->first == only) &&
          (!some || some->count(it->first)))
        out.apply(JobSet{it->second, is_met(it->first)});
    return out;
  }
};

inline std::string describe(const std::vector<PlannedStart>& plans) {
  std::string out;
  for (const auto& plan : plans)
    out += std::to_string(plan.job) + " at " + std::to_string(plan.at.us) + " on " +
           plan.allocation->hostlist() + "\n";
  return out;
}
inline std::string describe(const Decisions& decisions) {
  std::string out;
  for (const auto& start : decisions.starts)
    out += std::to_string(start.job) + "_" + std::to_string(start.task) + " on " +
           start.allocation->hostlist() + "\n";
  return out;
}

}  // namespace bai::sokovan
