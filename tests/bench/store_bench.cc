// The store: durable batches of submissions, and what a restart reads. SQLite in a temporary folder.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>

#include "store/store.h"

namespace bai::store {
namespace {

struct Folder {
  std::string path;
  Folder() {
    const char* tmp = getenv("TMPDIR");
    std::string pattern = std::string(tmp ? tmp : "/tmp") + "/bai-bench.XXXXXX";
    path = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

Batch submissions(const Store& store, JobId first, int count) {
  Batch batch;
  Lsn lsn = store.lineage().lsn;
  batch.first = lsn + 1;
  auto spec = std::make_shared<JobSpec>();
  spec->name = "bench";
  spec->user = "ada";
  spec->partition = "main";
  spec->workdir = "/home/ada/project";
  spec->std_out = "bai-%j.out";
  for (int i = 0; i < count; ++i) {
    auto job = std::make_shared<Job>();
    job->id = first + static_cast<JobId>(i);
    job->spec = spec;
    LaunchRecord launch;
    launch.credential = std::string(250, 'x');
    batch.changes.push_back(LaunchPut{job->id, launch});
    batch.changes.push_back(EventPut{
        {job->id, 0, ++lsn, Time::from_seconds(1), JobState::kPending, JobState::kPending, "submitted", 1}});
    batch.changes.push_back(JobPut{job});
    batch.changes.push_back(RequestPut{Uuid::random(), 1, Time::from_seconds(1), std::string(30, 'a')});
    lsn += 3;
  }
  batch.last = lsn;
  batch.last_job_id = first + static_cast<JobId>(count) - 1;
  return batch;
}

void commit(benchmark::State& state) {
  Folder folder;
  OpenOptions options;
  options.path = folder.path + "/bench.db";
  auto store = open_sqlite(options);
  if (!store) return state.SkipWithError(store.error().text().c_str());
  JobId next = 1;
  int count = static_cast<int>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    Batch batch = submissions(**store, next, count);
    next += static_cast<JobId>(count);
    state.ResumeTiming();
    if (auto done = (*store)->commit(batch); !done) return state.SkipWithError(done.error().text().c_str());
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(commit)->Arg(1)->Arg(32)->Arg(1000)->Unit(benchmark::kMicrosecond);

void load(benchmark::State& state) {
  Folder folder;
  OpenOptions options;
  options.path = folder.path + "/bench.db";
  auto store = open_sqlite(options);
  if (!store) return state.SkipWithError(store.error().text().c_str());
  for (JobId next = 1; next < 100'000; next += 5000)
    if (auto done = (*store)->commit(submissions(**store, next, 5000)); !done)
      return state.SkipWithError(done.error().text().c_str());
  for (auto _ : state) benchmark::DoNotOptimize((*store)->load());
}
BENCHMARK(load)->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace
}  // namespace bai::store

BENCHMARK_MAIN();
