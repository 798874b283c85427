// A large cluster in the middle of its work, for benchmarks of the scheduler: nodes, running jobs with their ends ahead, a long queue of users
// with a history.
#pragma once

#include <ctime>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/rand.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

// Of this thread: what else the machine does costs nothing.
inline double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct BigCluster {
  Scheduler scheduler;
  Rng rng{7};
  Time now = Time::from_seconds(1'000'000'000);
  JobId last_id = 0;
  std::vector<std::shared_ptr<const JobSpec>> shapes;
  std::vector<JobPtr> running;
  std::unordered_map<JobId, JobPtr> pending;

  // 64 CPUs and 256 GiB each, every eighth with four GPUs; 60,000 jobs on 10,000 of them leave little.
  // `planned` starts of each partition, of the one with GPUs a tenth; 0: as the policy has it.
  BigCluster(int nodes, int running_jobs, int shape_count, int pending_jobs, std::uint32_t planned,
             Prediction prediction) {
    SchedulingSettings settings;
    settings.planned_starts = planned;
    scheduler.apply(SettingsSet{settings});
    Partition all, gpu, half;
    all.name = "all", gpu.name = "gpu", half.name = "half";
    gpu.priority_tier = 2;
    gpu.scheduling.planned_starts = planned / 10;
    for (int i = 0; i < nodes; ++i) {
      NodeSet node;
      node.name = "n" + std::to_string(i);
      node.cpus = 64;
      node.mem_mib = 256 << 10;
      node.features = {"rack" + std::to_string(i / 40 % 16)};
      node.usable = true;
      if (i % 8 == 0) {
        DeviceGroup group;
        group.kind = "gpu", group.type = i % 16 ? "a100" : "h100", group.count = 4;
        node.devices.push_back(group);
        gpu.nodes.push_back(node.name);
      }
      all.nodes.push_back(node.name);
      if (i % 2) half.nodes.push_back(node.name);
      scheduler.apply(node);
    }
    for (auto* p : {&all, &gpu, &half}) {
      p->scheduling.prediction = prediction;
      scheduler.apply(PartitionSet{std::make_shared<const Partition>(*p)});
    }
    for (int i = 0; i < shape_count; ++i) shapes.push_back(shape());
    for (const auto& spec : shapes) {
      const auto run = static_cast<Seconds>(rng.below(static_cast<std::uint64_t>(spec->time_limit)));
      scheduler.apply(RunEnded{spec->uid, spec->time_limit, run, spec->request.cpus_per_task});
    }
    const int each = running_jobs / nodes;
    for (int i = 0; i < nodes; ++i) {
      std::uint32_t left = 64;
      for (int j = 0; j < each; ++j) {
        const auto most = left - static_cast<std::uint32_t>(each - 1 - j);
        const auto cpus = j + 1 == each
                              ? most - static_cast<std::uint32_t>(rng.below(std::min(most, 3u)))
                              : std::min<std::uint32_t>(most, 1 + static_cast<std::uint32_t>(rng.below(20)));
        left -= cpus;
        run_on("n" + std::to_string(i), cpus);
      }
    }
    for (int i = 0; i < pending_jobs; ++i) submit();
  }

  std::shared_ptr<const JobSpec> shape() {
    auto spec = std::make_shared<JobSpec>();
    spec->name = "bench";
    spec->uid = 1000 + static_cast<std::uint32_t>(rng.below(200));
    const auto kind = rng.below(10);
    spec->partition = kind == 0 ? "gpu" : kind < 3 ? "half" : "all";
    auto& r = spec->request;
    if (kind == 0) {
      RequestExtras extras;
      DeviceRequest gpus;
      gpus.kind = "gpu";
      gpus.amount = rng.chance(1, 4) ? 250 * (1 + rng.below(3)) : kWholeDevice * (1 + rng.below(4));
      extras.devices.push_back(gpus);
      r.set_extras(extras);
      r.cpus_per_task = 1 + static_cast<std::uint32_t>(rng.below(16));
    } else if (kind < 6) {
      r.cpus_per_task = 1 + static_cast<std::uint32_t>(rng.below(64));
    } else if (kind < 8) {
      r.tasks = 1u << rng.below(10);
    } else {
      r.min_nodes = r.max_nodes = r.tasks = 1u << rng.below(9);
      r.exclusive = true;
    }
    r.mem_per_cpu_mib = 512 * (1 + rng.below(8));
    if (rng.chance(1, 20)) r.constraint = "rack" + std::to_string(rng.below(16));
    spec->time_limit = static_cast<Seconds>(600 + rng.below(200) * 600);
    return spec;
  }

  Job job_of(std::shared_ptr<const JobSpec> spec) {
    Job job;
    job.id = ++last_id;
    job.priority = 1'000'000;
    job.submitted = now;
    job.spec = std::move(spec);
    return job;
  }

  void run_on(const std::string& node, std::uint32_t cpus) {
    auto spec = std::make_shared<JobSpec>();
    spec->partition = "all";
    spec->request.cpus_per_task = cpus;
    spec->time_limit = static_cast<Seconds>(3600 + rng.below(3 * 86400));
    Job job = job_of(spec);
    job.state = JobState::kRunning;
    job.started = now - static_cast<Seconds>(rng.below(3500));
    auto allocation = std::make_shared<Allocation>();
    allocation->partition = "all";
    NodeShare share;
    share.node = node, share.cpus = cpus, share.mem_mib = cpus * 2048;
    allocation->nodes.push_back(share);
    job.allocation = allocation;
    runs(std::move(job));
  }

  void runs(Job job) {
    running.push_back(std::make_shared<const Job>(std::move(job)));
    scheduler.apply(JobSet{running.back()});
  }

  void submit() {
    auto job = std::make_shared<const Job>(job_of(shapes[rng.below(shapes.size())]));
    pending[job->id] = job;
    scheduler.apply(JobSet{job});
  }

  void end_one() {
    std::swap(running[rng.below(running.size())], running.back());
    Job job = *running.back();
    running.pop_back();
    job.state = JobState::kCompleted;
    job.ended = now;
    scheduler.apply(JobSet{std::make_shared<const Job>(job)});
  }

  // Until nothing is left to decide, as the engine's thread does; the seconds that deciding took.
  double decide() {
    double spent = 0;
    for (;;) {
      const double begun = cpu_seconds();
      const auto decisions = scheduler.decide(now, {});
      spent += cpu_seconds() - begun;
      tried += decisions.jobs_tried;
      started += decisions.starts.size();
      for (const auto& start : decisions.starts) {
        Job job = *pending.at(start.job);
        pending.erase(start.job);
        job.state = JobState::kRunning;
        job.started = now;
        job.allocation = start.allocation;
        runs(std::move(job));
      }
      if (decisions.complete) return spent;
    }
  }
  std::uint64_t tried = 0, started = 0;
};

}  // namespace bai::sokovan
