// A toy cluster around a Scheduler for tests: what the controller does with decisions, in a few lines. One thread.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "sokovan/sokovan.h"

namespace bai::sokovan {

struct Toy {
  Scheduler scheduler;
  Time now = Time::from_seconds(1'000'000);
  std::map<std::string, NodeSet> nodes;
  std::map<std::string, PartitionPtr> partitions;
  std::map<JobId, JobPtr> jobs;
  std::map<JobId, Reason> reasons;
  std::map<JobId, Time> expected;
  JobId last_id = 0;
  std::string log;  // every decision, to compare runs

  void node(const std::string& name, std::uint32_t cpus, std::uint64_t mem = 1000,
            std::vector<std::string> features = {}, std::uint32_t weight = 1) {
    NodeSet set;
    set.name = name, set.cpus = cpus, set.mem_mib = mem, set.features = std::move(features),
    set.weight = weight, set.usable = true;
    nodes[name] = set;
    scheduler.apply(set);
  }
  void usable(const std::string& name, bool is) {
    nodes[name].usable = is;
    scheduler.apply(nodes[name]);
  }
  // First come, first served, if the test does not say otherwise.
  void partition(Partition p) {
    if (p.scheduling.prediction == Prediction::kPolicy) p.scheduling.prediction = Prediction::kOff;
    auto shared = std::make_shared<const Partition>(std::move(p));
    partitions[shared->name.str()] = shared;
    scheduler.apply(PartitionSet{shared});
  }
  void partition(const std::string& name, std::vector<std::string> members = {}) {
    Partition p;
    p.name = name;
    p.is_default = true;
    if (members.empty())
      for (const auto& [node, set] : nodes) members.push_back(node);
    for (const auto& member : members) p.nodes.emplace_back(member);
    partition(std::move(p));
  }
  void feed(Job job, bool dependencies_met = true) {
    auto shared = std::make_shared<const Job>(std::move(job));
    jobs[shared->id] = shared;
    scheduler.apply(JobSet{shared, dependencies_met});
  }
  static std::shared_ptr<JobSpec> spec(std::uint32_t tasks = 1, Seconds limit = 60, std::uint32_t nodes = 1) {
    auto out = std::make_shared<JobSpec>();
    out->partition = "p";
    out->request.tasks = tasks;
    out->request.min_nodes = nodes;
    out->time_limit = limit;
    return out;
  }
  Job pending(std::shared_ptr<const JobSpec> spec, std::uint32_t priority = 100) {
    Job job;
    job.id = ++last_id;
    job.priority = priority;
    job.submitted = now;
    job.spec = std::move(spec);
    return job;
  }
  JobId submit(std::shared_ptr<const JobSpec> spec, std::uint32_t priority = 100) {
    feed(pending(std::move(spec), priority));
    return last_id;
  }
  JobId submit_array(std::shared_ptr<const JobSpec> spec, std::uint32_t tasks, std::uint32_t max_running) {
    Job job = pending(std::move(spec));
    job.array_id = job.id;
    auto head = std::make_shared<ArrayHead>();
    head->waiting.insert(0, tasks - 1);
    head->max_running = max_running;
    job.array = head;
    feed(std::move(job));
    return last_id;
  }
  // Commits a start as the controller does; returns the id that now runs.
  JobId commit(const Start& start) {
    Job job = *jobs.at(start.job);
    if (start.task != kNoTask) {
      auto rest = std::make_shared<ArrayHead>(*job.array);
      rest->waiting.erase(start.task);
      Job task = job;
      task.array_task = start.task;
      task.array.reset();
      if (rest->waiting.empty()) {
        job = task;  // the last one takes the head's id
      } else {
        job.array = rest;
        feed(job);
        task.id = ++last_id;
        job = task;
      }
    }
    job.state = JobState::kRunning;
    job.started = now;
    job.attempt++;
    job.allocation = start.allocation;
    const auto id = job.id;
    feed(std::move(job));
    return id;
  }
  // One round: decide, commit, until nothing more comes. Returns what runs now because of it.
  std::vector<JobId> run(const Budget& budget = {}) {
    std::vector<JobId> started;
    for (int round = 0; round < 1000; ++round) {
      auto decisions = scheduler.decide(now, budget);
      for (const auto& start : decisions.starts) {
        log += std::to_string(now.seconds()) + " start " + std::to_string(start.job) + "_" +
               std::to_string(start.task) + " " + start.allocation->hostlist() + "\n";
        started.push_back(commit(start));
      }
      for (const auto& waiting : decisions.waiting) {
        reasons[waiting.job] = waiting.reason;
        expected[waiting.job] = waiting.expected_start;
        log += std::to_string(waiting.job) + " waits " + std::string(name(waiting.reason)) + "\n";
      }
      if (decisions.complete) break;
    }
    return started;
  }
  void end(JobId id) {
    Job job = *jobs.at(id);
    job.state = JobState::kCompleted;
    job.ended = now;
    feed(std::move(job));
    jobs.erase(id);
  }
  bool running(JobId id) const { return jobs.count(id) && is_active(jobs.at(id)->state); }
  bool overcommitted() const {
    std::map<std::string, NodeRoom> rooms;
    for (const auto& [name, set] : nodes)
      rooms[name] = {set.cpus, set.cpus, set.mem_mib, set.mem_mib, 0, false, {}, DeviceRoom(set.devices)};
    for (const auto& [id, job] : jobs) {
      if (!is_active(job->state)) continue;
      const Sharing sharing{job->spec->request.exclusive, job->spec->request.exclusive_user, job->spec->uid};
      for (const auto& share : job->allocation->nodes) {
        auto& room = rooms[share.node.str()];
        if (!fit(room, share, sharing)) return true;
        room.cpus_free -= share.cpus, room.mem_free_mib -= share.mem_mib, ++room.jobs,
            room.exclusive_use |= sharing.exclusive;
        room.tenancy.add(sharing.uid, sharing.exclusive_user);
        room.devices.take(share.devices);
      }
    }
    return false;
  }
};

}  // namespace bai::sokovan
