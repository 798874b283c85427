// The scheduler alone, in CPU time of its thread: full passes, one change, and its memory, on a large cluster.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>

#include "sokovan_state.h"

namespace bai::sokovan {
namespace {

void report(benchmark::State& state, std::vector<double>& seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double part) {
    return 1e3 * seconds[static_cast<std::size_t>(part * double(seconds.size() - 1))];
  };
  state.counters["p50_ms"] = at(0.5);
  state.counters["p99_ms"] = at(0.99);
  state.counters["max_ms"] = at(1);
}

// 10,000 nodes, 60,000 running, 2,000 shapes: as the policy has it (predicted run times, one planned start of each partition), or in order
// with 100 planned starts.
enum Policy : std::int64_t { kPredicted, kInOrder };

BigCluster& busy(const benchmark::State& state) {
  using Made = std::pair<std::int64_t, std::int64_t>;
  static std::unique_ptr<BigCluster> cluster;
  static Made made;
  const Made wanted{state.range(0), state.range(1)};
  if (cluster && made == wanted) return *cluster;
  cluster.reset();
  const bool in_order = wanted.second == kInOrder;
  cluster =
      std::make_unique<BigCluster>(10'000, 60'000, 2'000, static_cast<int>(wanted.first), in_order ? 100 : 0,
                                   in_order ? Prediction::kOff : Prediction::kPolicy);
  made = wanted;
  cluster->decide();
  return *cluster;
}

void full_pass(benchmark::State& state) {
  auto& cluster = busy(state);
  std::vector<double> seconds;
  for (auto _ : state) {
    cluster.now = cluster.now + 60;  // past the interval
    for (int i = 0; i < 5; ++i) cluster.end_one(), cluster.submit();
    seconds.push_back(cluster.decide());
    state.SetIterationTime(seconds.back());
  }
  report(state, seconds);
  state.counters["running"] = double(cluster.running.size());
  state.counters["pending"] = double(cluster.pending.size());
}

// Each a second after the last. The interval's full passes are not in it, those that the change itself asks for are.
template <class Change>
void one_change(benchmark::State& state, Change&& change) {
  auto& cluster = busy(state);
  std::vector<double> seconds;
  const auto started = cluster.started;
  for (auto _ : state) {
    cluster.now = cluster.now + 1;
    cluster.decide();
    const double begun = cpu_seconds();
    change(cluster);
    const double applied = cpu_seconds() - begun;
    seconds.push_back(applied + cluster.decide());
    state.SetIterationTime(seconds.back());
  }
  state.counters["started"] = double(cluster.started - started);
  report(state, seconds);
}
void one_submission(benchmark::State& state) {
  one_change(state, [](BigCluster& cluster) { cluster.submit(); });
}
void one_end(benchmark::State& state) {
  one_change(state, [](BigCluster& cluster) { cluster.end_one(); });
}

void of_each(benchmark::internal::Benchmark* b, std::vector<std::int64_t> pending) {
  for (auto policy : {kPredicted, kInOrder})
    for (auto n : pending) b->Args({n, policy});
  b->UseManualTime();
}
BENCHMARK(full_pass)->Apply([](auto* b) {
                      of_each(b, {100'000, 1'000'000});
                    }) -> Iterations(100) -> Unit(benchmark::kMillisecond);
BENCHMARK(one_submission)
    ->Apply([](auto* b) { of_each(b, {100'000}); }) -> Iterations(1000) -> Unit(benchmark::kMicrosecond);
BENCHMARK(one_end)->Apply([](auto* b) { of_each(b, {100'000}); }) -> Iterations(1000)
    -> Unit(benchmark::kMicrosecond);

// Slurm's shape (tests/bench/run schedule): 1,000 nodes, 388 jobs hold them whole, 5,000 of 1 to 128 whole nodes wait, all are planned.
void every_job_planned(benchmark::State& state) {
  std::vector<double> seconds;
  for (auto _ : state) {
    Rng rng(7);
    Scheduler scheduler;
    Time now = Time::from_seconds(1'000'000'000);
    auto partition = std::make_shared<Partition>();
    partition->name = "all";
    partition->scheduling.policy = SchedulingPolicy::kConservative;
    for (int i = 0; i < 1000; ++i) {
      NodeSet node;
      node.name = "n" + std::to_string(i);
      node.cpus = 4, node.mem_mib = 1000, node.usable = true;
      partition->nodes.push_back(node.name);
      scheduler.apply(node);
    }
    scheduler.apply(PartitionSet{partition});
    JobId id = 0;
    auto submit = [&](std::uint32_t nodes, Seconds limit) {
      auto spec = std::make_shared<JobSpec>();
      spec->partition = "all";
      spec->request.min_nodes = spec->request.max_nodes = spec->request.tasks = nodes;
      spec->request.exclusive = true;
      spec->time_limit = limit;
      auto job = std::make_shared<Job>();
      job->id = ++id, job->priority = 1, job->submitted = now, job->spec = spec;
      scheduler.apply(JobSet{job});
      return job;
    };
    const std::pair<std::uint32_t, int> fill[] = {{1, 200}, {2, 100}, {4, 50}, {8, 25}, {16, 12}, {8, 1}};
    std::map<JobId, JobPtr> jobs;
    for (auto [nodes, count] : fill)
      for (int i = 0; i < count; ++i) {
        auto job = submit(nodes, 60 * rng.range(20, 1000));
        jobs[job->id] = job;
      }
    for (const auto& start : scheduler.decide(now, {}).starts) {
      Job job = *jobs.at(start.job);
      job.state = JobState::kRunning, job.started = now, job.allocation = start.allocation;
      scheduler.apply(JobSet{std::make_shared<const Job>(job)});
    }
    const std::uint32_t sizes[] = {1, 1, 1, 2, 2, 4, 8, 16, 32, 64, 128};
    for (int i = 0; i < 5000; ++i) submit(sizes[rng.below(11)], 60 * rng.range(10, 720));
    const double begun = cpu_seconds();
    auto decisions = scheduler.decide(now, {});
    seconds.push_back(cpu_seconds() - begun);
    state.SetIterationTime(seconds.back());
    std::size_t planned = 0;
    for (const auto& waiting : decisions.waiting) planned += waiting.expected_start.is_set();
    state.counters["running"] = double(scheduler.running());
    state.counters["started"] = double(decisions.starts.size());
    state.counters["planned"] = double(planned);
  }
  report(state, seconds);
}
BENCHMARK(every_job_planned)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);

// What a pending job costs beside its record, which the controller has anyway.
void memory(benchmark::State& state) {
  for (auto _ : state) {
    BigCluster cluster(1000, 6000, 2000, 0, 0, Prediction::kPolicy);
    cluster.decide();
    std::vector<JobPtr> jobs;
    for (int i = 0; i < 200'000; ++i)
      jobs.push_back(
          std::make_shared<const Job>(cluster.job_of(cluster.shapes[static_cast<std::size_t>(i) % 2000])));
    const auto before = mallinfo2().uordblks;
    for (const auto& job : jobs) cluster.scheduler.apply(JobSet{job});
    cluster.scheduler.decide(cluster.now, {});
    state.counters["bytes_per_job"] = double(mallinfo2().uordblks - before) / double(jobs.size());
  }
}
BENCHMARK(memory)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bai::sokovan

BENCHMARK_MAIN();
