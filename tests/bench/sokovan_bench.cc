// The scheduler alone: a pass over a full queue, one submission, one end.
#include <benchmark/benchmark.h>

#include "sokovan/sokovan.h"

namespace bai::sokovan {
namespace {

constexpr int kNodes = 1000;

std::shared_ptr<const JobSpec> spec_of(std::uint32_t cpus, Seconds limit) {
  auto spec = std::make_shared<JobSpec>();
  spec->name = "bench";
  spec->partition = "main";
  spec->request.cpus_per_task = cpus;
  spec->time_limit = limit;
  return spec;
}

Scheduler full_cluster(int pending) {
  Scheduler scheduler;
  auto partition = std::make_shared<Partition>();
  partition->name = "main";
  for (int i = 0; i < kNodes; ++i) {
    NodeSet node;
    node.name = "n" + std::to_string(i);
    node.cpus = 8;
    node.mem_mib = 1000;
    node.usable = true;
    partition->nodes.push_back(node.name);
    scheduler.apply(node);
  }
  scheduler.apply(PartitionSet{partition});
  std::vector<std::shared_ptr<const JobSpec>> specs;
  for (std::uint32_t i = 0; i < 200; ++i) specs.push_back(spec_of(1 + i % 8, 60 * (1 + i)));
  for (int i = 0; i < pending; ++i) {
    auto job = std::make_shared<Job>();
    job->id = static_cast<JobId>(i + 1);
    job->priority = 1'000'000;
    job->submitted = Time::from_seconds(1'000'000 + i);
    job->spec = specs[static_cast<std::size_t>(i) % specs.size()];
    scheduler.apply(JobSet{job, true});
  }
  return scheduler;
}

void first_pass(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    auto scheduler = full_cluster(static_cast<int>(state.range(0)));
    state.ResumeTiming();
    benchmark::DoNotOptimize(scheduler.decide(Time::from_seconds(2'000'000), Budget{}));
  }
}
BENCHMARK(first_pass)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

void one_submission_on_a_full_cluster(benchmark::State& state) {
  auto scheduler = full_cluster(20'000);
  Time now = Time::from_seconds(2'000'000);
  while (!scheduler.decide(now, Budget{}).complete) {
  }
  JobId id = 1'000'000;
  auto spec = spec_of(4, 3600);
  for (auto _ : state) {
    auto job = std::make_shared<Job>();
    job->id = id++;
    job->priority = 1'000'000;
    job->submitted = now;
    job->spec = spec;
    scheduler.apply(JobSet{job, true});
    benchmark::DoNotOptimize(scheduler.decide(now, Budget{}));
  }
}
BENCHMARK(one_submission_on_a_full_cluster);

}  // namespace
}  // namespace bai::sokovan

BENCHMARK_MAIN();
