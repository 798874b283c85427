// Thousands of short random histories. A failure names its seed.
#include <gtest/gtest.h>

#include "base/rand.h"
#include "cluster.h"

namespace bai::sokovan {
namespace {

constexpr std::uint64_t kSeeds = 1500;

void make_cluster(Toy& toy, Rng& rng, int partitions) {
  const auto n = rng.range(1, 6);
  for (std::int64_t i = 1; i <= n; ++i)
    toy.node("n" + std::to_string(i), static_cast<std::uint32_t>(rng.range(1, 8)),
             static_cast<std::uint64_t>(rng.range(1, 8)) * 100,
             rng.chance(1, 2) ? std::vector<std::string>{"f"} : std::vector<std::string>{},
             static_cast<std::uint32_t>(rng.range(1, 2)));
  for (int i = 0; i < partitions; ++i) {
    Partition p;
    p.name = i == 0 ? "p" : "q";
    p.priority_tier = static_cast<std::uint32_t>(rng.range(1, 2));
    for (const auto& [name, set] : toy.nodes)
      if (i == 0 || rng.chance(2, 3)) p.nodes.emplace_back(name);
    if (rng.chance(1, 3)) p.default_mem_per_cpu_mib = 50;
    toy.partition(std::move(p));
  }
}

std::shared_ptr<JobSpec> make_spec(Rng& rng, int partitions) {
  auto spec = Toy::spec(static_cast<std::uint32_t>(rng.range(1, 10)), rng.range(1, 20) * 10,
                        static_cast<std::uint32_t>(rng.chance(1, 3) ? rng.range(1, 4) : 1));
  auto& r = spec->request;
  if (partitions > 1) spec->partition = rng.chance(1, 3) ? "p,q" : rng.chance(1, 2) ? "p" : "q";
  if (rng.chance(1, 4)) r.cpus_per_task = static_cast<std::uint32_t>(rng.range(1, 4));
  if (rng.chance(1, 4))
    r.mem_per_node_mib = static_cast<std::uint64_t>(rng.range(1, 900));
  else if (rng.chance(1, 4))
    r.mem_per_cpu_mib = static_cast<std::uint64_t>(rng.range(1, 300));
  if (rng.chance(1, 8)) r.exclusive = true;
  if (rng.chance(1, 8)) r.constraint = "f";
  if (rng.chance(1, 10)) r.nodes_wanted = "n1";
  if (rng.chance(1, 10)) r.nodes_excluded = "n2";
  if (rng.chance(1, 8)) r.tasks_per_node = static_cast<std::uint32_t>(rng.range(1, 3));
  if (rng.chance(1, 8)) r.max_nodes = r.min_nodes + static_cast<std::uint32_t>(rng.range(0, 2));
  if (rng.chance(1, 10)) spec->time_limit = kUnlimited;
  return spec;
}

void random_step(Toy& toy, Rng& rng, int partitions) {
  std::vector<JobId> running, waiting;
  for (const auto& [id, job] : toy.jobs) (is_active(job->state) ? running : waiting).push_back(id);
  switch (rng.below(8)) {
    case 0:
    case 1:
    case 2:
      toy.submit(make_spec(rng, partitions), static_cast<std::uint32_t>(rng.range(1, 3)));
      break;
    case 3:
      toy.submit_array(make_spec(rng, partitions), static_cast<std::uint32_t>(rng.range(1, 6)),
                       static_cast<std::uint32_t>(rng.range(0, 3)));
      break;
    case 4:
    case 5:
      if (!running.empty()) toy.end(running[rng.below(running.size())]);
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
          toy.feed(job, rng.chance(3, 4));
        }
      }
      break;
  }
  toy.now = toy.now + rng.range(0, 30);
}

TEST(SokovanProperties, never_over_committed_and_repeatable) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    std::string logs[2];
    for (auto& log : logs) {
      Rng rng(seed);
      Toy toy;
      Budget budget;
      if (rng.chance(1, 3)) budget.max_starts = 1, budget.max_jobs = 2;
      make_cluster(toy, rng, 2);
      for (int step = 0; step < 40; ++step) {
        random_step(toy, rng, 2);
        toy.run(budget);
        ASSERT_FALSE(toy.overcommitted()) << "seed " << seed << " step " << step << "\n" << toy.log;
        for (const auto& [id, job] : toy.jobs) {
          if (!job->array || !job->array->max_running) continue;
          std::uint32_t tasks = 0;
          for (const auto& [other, task] : toy.jobs)
            tasks += is_active(task->state) && task->array_id == job->array_id;
          ASSERT_LE(tasks, job->array->max_running) << "seed " << seed;
        }
      }
      log = toy.log;
    }
    ASSERT_EQ(logs[0], logs[1]) << "seed " << seed;
  }
}

// What is first in the queue starts whenever what is free holds it, whatever was planned before.
TEST(SokovanProperties, the_head_of_the_queue_never_waits_on_free_resources) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Rng rng(seed);
    Toy toy;
    make_cluster(toy, rng, 1);
    for (int step = 0; step < 30; ++step) {
      if (rng.chance(2, 3)) {
        toy.submit(make_spec(rng, 1), static_cast<std::uint32_t>(rng.range(1, 3)));
      } else {
        random_step(toy, rng, 1);
      }
      toy.run();
      Scheduler fresh;
      for (const auto& [name, set] : toy.nodes) fresh.apply(set);
      for (const auto& [name, p] : toy.partitions) fresh.apply(PartitionSet{p});
      JobPtr head;
      for (const auto& [id, job] : toy.jobs) {
        if (is_active(job->state)) fresh.apply(JobSet{job, true});
        if (job->state != JobState::kPending || job->hold != Hold::kNone || !toy.reasons.count(id)) continue;
        const auto reason = toy.reasons.at(id);
        if (reason != Reason::kResources && reason != Reason::kPriority) continue;
        if (!head || job->priority > head->priority ||
            (job->priority == head->priority && job->submitted < head->submitted))
          head = job;
      }
      if (!head) continue;
      fresh.apply(JobSet{head, true});
      ASSERT_TRUE(fresh.decide(toy.now, {}).starts.empty())
          << "seed " << seed << " step " << step << " job " << head->id << "\n"
          << toy.log;
    }
  }
}

// Where every job runs for exactly its limit, a promised start is kept.
TEST(SokovanProperties, reservations_are_not_delayed) {
  std::uint64_t promises = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Rng rng(seed);
    Toy toy;
    make_cluster(toy, rng, 1);
    std::map<JobId, Time> promised;
    std::multimap<Time, JobId> ends;
    for (int step = 0; step < 60; ++step) {
      if (step < 25 && rng.chance(2, 3)) {
        auto spec = make_spec(rng, 1);
        if (spec->time_limit == kUnlimited) spec->time_limit = 50;
        toy.submit(spec);
      } else if (!ends.empty()) {
        toy.now = std::max(toy.now, ends.begin()->first);
        while (!ends.empty() && ends.begin()->first <= toy.now) {
          toy.end(ends.begin()->second);
          ends.erase(ends.begin());
        }
      }
      for (auto id : toy.run()) {
        ends.emplace(toy.now + toy.jobs.at(id)->spec->time_limit, id);
        if (auto it = promised.find(id); it != promised.end()) {
          ASSERT_LE(toy.now, it->second) << "seed " << seed << " job " << id << "\n" << toy.log;
          ++promises;
        }
      }
      for (const auto& [id, at] : toy.expected)
        if (at.is_set() && toy.reasons.at(id) == Reason::kResources) promised.try_emplace(id, at);
    }
  }
  EXPECT_GT(promises, kSeeds);  // or the test shows nothing
}

// The incremental state is what a scheduler fed with the end result would have.
TEST(SokovanProperties, a_new_scheduler_agrees) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Rng rng(seed);
    Toy toy;
    make_cluster(toy, rng, 2);
    for (int step = 0; step < 25; ++step) {
      random_step(toy, rng, 2);
      toy.run();
    }
    Scheduler fresh;
    for (const auto& [name, set] : toy.nodes) fresh.apply(set);
    for (const auto& [name, p] : toy.partitions) fresh.apply(PartitionSet{p});
    for (const auto& [id, job] : toy.jobs)
      fresh.apply(JobSet{job, !toy.reasons.count(id) || toy.reasons[id] != Reason::kDependency});
    EXPECT_EQ(fresh.running(), toy.scheduler.running());
    EXPECT_EQ(fresh.pending(), toy.scheduler.pending());
    const auto more = fresh.decide(toy.now, {}).starts;
    ASSERT_TRUE(more.empty()) << "seed " << seed << ": job " << more[0].job << " on "
                              << more[0].allocation->hostlist() << "\n"
                              << toy.log;
  }
}

}  // namespace
}  // namespace bai::sokovan
