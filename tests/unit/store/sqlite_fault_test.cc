// Every write and sync of a small history fails in turn, the controller's recovery runs, the power goes at several
// moments, and what is there afterwards is compared with what was promised.
#include <gtest/gtest.h>

#include <set>

#include "lossy_vfs.h"
#include "sample.h"

namespace bai::store {
namespace {

constexpr int kBatches = 6;
constexpr JobId kJobsPerBatch = 2;

struct Promise {
  std::set<JobId> kept;  // acknowledged
  std::set<JobId> open;  // the batch whose outcome nobody was told
  Lsn lsn = 0;
};

// Only for the lock file: the database is in memory.
const std::string& lock_dir() {
  static const TempDir dir;
  return dir.path();
}

struct World {
  LossyDisk disk{"bai-lossy"};
  std::unique_ptr<Store> store;
  Promise promise;
  JobId next_job = 1;

  OpenOptions options() const {
    OpenOptions options;
    options.path = lock_dir() + "/state.db";
    options.vfs = "bai-lossy";
    options.wal_reserve_bytes = 0;  // a full disk is to be met, and each of its writes counted
    options.ballast_bytes = 0;
    return options;
  }

  bool open() {
    auto opened = open_sqlite(options());
    if (!opened) return false;
    store = std::move(*opened);
    return true;
  }

  // One batch, and what a controller does when it fails. False: it could not go on.
  bool write() {
    Batch batch = batch_after(store->lineage());
    promise.open.clear();
    for (JobId i = 0; i < kJobsPerBatch; ++i) {
      promise.open.insert(next_job);
      submit(batch, next_job++);
    }
    if (store->commit(batch)) return keep(batch.last);
    for (int tries = 0; tries < 4; ++tries) {
      if (!store->reopen()) continue;
      const Lsn lsn = store->lineage().lsn;
      EXPECT_TRUE(lsn == batch.last || lsn == batch.first - 1);
      if (lsn == batch.last) return keep(lsn);
      promise.open.clear();  // refused
      return true;
    }
    return false;
  }

  bool keep(Lsn lsn) {
    promise.kept.merge(promise.open);
    promise.open.clear();
    promise.lsn = lsn;
    return true;
  }

  void run(int batches) {
    if (!store && !open()) return;
    for (int i = 0; i < batches; ++i) {
      if (!write()) return;
      if (i % 2 == 1) (void)store->checkpoint();
    }
  }

  void power_cut(std::uint64_t seed) {
    disk.die_at(1);
    store.reset();
    disk.power_cut(seed);
  }

  void check() {
    ASSERT_TRUE(open());
    auto loaded = store->load();
    ASSERT_TRUE(ok(loaded));
    std::set<JobId> there;
    for (const auto& job : loaded->jobs) there.insert(job->id);
    std::set<JobId> with_open = promise.kept;
    with_open.insert(promise.open.begin(), promise.open.end());
    if (there != with_open) {
      ASSERT_EQ(there, promise.kept);
      ASSERT_EQ(store->lineage().lsn, promise.lsn);
    }
    auto reader = store->open_reader();
    ASSERT_TRUE(ok(reader));
    for (const JobId id : there) {
      auto launch = (*reader)->launch(id);
      ASSERT_TRUE(ok(launch));
      ASSERT_TRUE(ok((*reader)->content(launch->script)));
      auto answer = (*reader)->request(sample_request(id));
      ASSERT_TRUE(ok(answer));
      ASSERT_TRUE(answer->has_value());
    }
    for (const JobId id : {next_job, next_job + 1})
      ASSERT_EQ((*reader)->launch(id).error().code, "not_found");
  }
};

std::uint64_t calls_of_a_quiet_run() {
  World world;
  world.run(kBatches);
  EXPECT_EQ(world.promise.kept.size(), kBatches * kJobsPerBatch);
  return world.disk.calls();
}

void fail_each(LossyDisk::Fault fault, int later_batches) {
  const auto calls = calls_of_a_quiet_run();
  ASSERT_GT(calls, 20u);
  for (std::uint64_t n = 1; n <= calls; ++n)
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, LossyDisk::kKeepAll}) {
      SCOPED_TRACE("call " + std::to_string(n) + " of " + std::to_string(calls) + ", seed " +
                   std::to_string(seed));
      World world;
      world.disk.fail(n, fault);
      for (int i = 0; i < kBatches && world.disk.calls() < n; ++i) world.run(1);
      world.run(later_batches);
      world.power_cut(seed == 1 ? n : seed);
      world.check();
      if (testing::Test::HasFatalFailure() || testing::Test::HasFailure()) return;
    }
}

TEST(SqliteFault, quiet_run_survives_a_power_cut) {
  World world;
  world.run(kBatches);
  world.power_cut(0);
  world.check();
  EXPECT_EQ(world.promise.kept.size(), kBatches * kJobsPerBatch);
}

TEST(SqliteFault, io_error_then_power_cut_at_once) { fail_each(LossyDisk::Fault::io_error, 0); }
TEST(SqliteFault, io_error_then_more_commits) { fail_each(LossyDisk::Fault::io_error, 2); }
TEST(SqliteFault, full_disk_then_power_cut_at_once) { fail_each(LossyDisk::Fault::full, 0); }
TEST(SqliteFault, full_disk_then_more_commits) { fail_each(LossyDisk::Fault::full, 2); }

TEST(SqliteFault, power_cut_at_each_call) {
  const auto calls = calls_of_a_quiet_run();
  for (std::uint64_t n = 1; n <= calls; ++n)
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, LossyDisk::kKeepAll}) {
      SCOPED_TRACE("call " + std::to_string(n) + ", seed " + std::to_string(seed));
      World world;
      world.disk.die_at(n);
      world.run(kBatches);
      world.power_cut(seed == 1 ? n : seed);
      world.check();
      if (testing::Test::HasFailure()) return;
    }
}

// A reader keeps the shared memory alive: the writer that opens anew runs no recovery, does not see the batch whose sync
// failed, and must see to it that it never comes back.
void fail_with_a_reader(int later_batches) {
  const auto calls = calls_of_a_quiet_run();
  for (std::uint64_t n = 1; n <= calls; ++n)
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, LossyDisk::kKeepAll}) {
      SCOPED_TRACE("call " + std::to_string(n) + ", seed " + std::to_string(seed));
      World world;
      ASSERT_TRUE(world.open());
      auto reader = world.store->open_reader();
      ASSERT_TRUE(ok(reader));
      ASSERT_TRUE((*reader)->request(sample_request(1)).ok());
      const auto at = world.disk.calls() + n;
      world.disk.fail(n, LossyDisk::Fault::io_error);
      for (int i = 0; i < kBatches && world.disk.calls() < at; ++i) world.run(1);
      world.run(later_batches);
      world.disk.die_at(1);
      reader->reset();
      world.power_cut(seed);
      world.check();
      if (testing::Test::HasFailure()) return;
    }
}

TEST(SqliteFault, failed_call_with_an_open_reader_then_power_cut) { fail_with_a_reader(0); }
TEST(SqliteFault, failed_call_with_an_open_reader_then_more_commits) { fail_with_a_reader(2); }

TEST(SqliteFault, full_disk_refuses_clearly_and_service_resumes) {
  World world;
  ASSERT_TRUE(world.open());
  world.run(1);
  world.disk.set_full(true);
  Batch batch = batch_after(world.store->lineage());
  for (JobId id = 1000; id < 1200; ++id) submit(batch, id);
  const auto refused = world.store->commit(batch);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, "no_space");
  EXPECT_EQ(refused.error().message, "the database disk is full");
  EXPECT_FALSE(refused.error().remedy.empty());
  EXPECT_EQ(world.store->probe().error().code, "store_closed");
  ASSERT_TRUE(ok(world.store->reopen()));
  EXPECT_EQ(world.store->lineage().lsn, batch.first - 1);
  EXPECT_TRUE(ok(world.store->load()));
  EXPECT_EQ(world.store->probe().error().code, "no_space");
  world.disk.set_full(false);
  ASSERT_TRUE(ok(world.store->reopen()));
  EXPECT_TRUE(ok(world.store->probe()));
  EXPECT_TRUE(ok(world.store->commit(batch)));
}

}  // namespace
}  // namespace bai::store
