// What only the SQLite driver does: files, refusals, another's epoch.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/fd.h"
#include "sample.h"
#include "store/sqlite_files.h"

namespace bai::store {
namespace {

class Sqlite : public testing::Test {
 protected:
  Sqlite() { options_.path = dir_.path() + "/state.db"; }

  std::unique_ptr<Store> start() {
    auto opened = open_sqlite(options_);
    EXPECT_TRUE(ok(opened));
    return opened ? std::move(*opened) : nullptr;
  }

  void sql(const char* text) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(options_.path.c_str(), &db), SQLITE_OK);
    char* why = nullptr;
    EXPECT_EQ(sqlite3_exec(db, text, nullptr, nullptr, &why), SQLITE_OK) << why;
    sqlite3_close(db);
  }

  off_t size(const std::string& name) {
    struct stat info {};
    return stat((dir_.path() + "/" + name).c_str(), &info) == 0 ? info.st_size : -1;
  }

  TempDir dir_;
  OpenOptions options_;
};

TEST_F(Sqlite, files_are_the_owner_s_alone) {
  auto store = start();
  ASSERT_TRUE(store);
  ASSERT_TRUE(ok(store->probe()));
  for (const char* name : {"state.db", "state.db-wal", "state.db-shm", "state.db.lock", "state.db.ballast"}) {
    struct stat info {};
    ASSERT_EQ(stat((dir_.path() + "/" + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(Sqlite, ballast_goes_and_comes_back) {
  options_.ballast_bytes = 100'000;
  auto store = start();
  ASSERT_TRUE(store);
  EXPECT_EQ(size("state.db.ballast"), 100'000);
  store->release_ballast(true);
  EXPECT_EQ(size("state.db.ballast"), -1);
  store->release_ballast(false);
  EXPECT_EQ(size("state.db.ballast"), 100'000);
}

TEST_F(Sqlite, a_raised_epoch_refuses_commit_probe_and_reopen) {
  auto store = start();
  ASSERT_TRUE(store);
  sql("UPDATE meta SET epoch = epoch + 1");
  Batch batch = batch_after(store->lineage());
  submit(batch, 1);
  EXPECT_EQ(store->commit(batch).error().code, "superseded");
  EXPECT_EQ(store->reopen().error().code, "superseded");
  EXPECT_EQ(store->probe().error().code, "store_closed");
  store.reset();
  store = start();
  EXPECT_TRUE(store->load()->jobs.empty());
  sql("UPDATE meta SET epoch = epoch + 1");
  EXPECT_EQ(store->confirm().error().code, "superseded");
}

TEST_F(Sqlite, refuses_what_it_cannot_use) {
  ASSERT_TRUE(start());
  sql("UPDATE meta SET schema_version = 99");
  EXPECT_EQ(open_sqlite(options_).error().code, "too_new");
  sql("DROP TABLE meta");
  EXPECT_EQ(open_sqlite(options_).error().code, "not_ours");
  options_.path = dir_.path() + "/garbage.db";
  std::ofstream(options_.path) << std::string(8192, 'x');
  EXPECT_EQ(open_sqlite(options_).error().code, "corrupt");
  options_.path = dir_.path() + "/missing/state.db";
  const auto missing = open_sqlite(options_);
  EXPECT_EQ(missing.error().code, "not_found");
  EXPECT_FALSE(missing.error().remedy.empty());
  options_.path = dir_.path() + "/other.db";
  options_.create = false;
  EXPECT_EQ(open_sqlite(options_).error().code, "not_found");
  EXPECT_EQ(open("oracle", options_).error().code, "bad_store");
}

TEST_F(Sqlite, network_file_systems_are_refused) {
  EXPECT_STREQ(refused_file_system(0x6969), "NFS");
  EXPECT_STREQ(refused_file_system(0xff534d42), "CIFS");
  EXPECT_STREQ(refused_file_system(0x65735546), "FUSE");
  EXPECT_STREQ(refused_file_system(0x0bd00bd0), "Lustre");
  EXPECT_EQ(refused_file_system(0xef53), nullptr);      // ext4
  EXPECT_EQ(refused_file_system(0x01021994), nullptr);  // tmpfs
  EXPECT_EQ(refused_file_system(0x794c7630), nullptr);  // overlayfs
}

TEST_F(Sqlite, checkpoint_moves_the_wal_while_another_thread_commits) {
  auto store = start();
  ASSERT_TRUE(store);
  std::atomic<bool> done = false;
  std::thread other([&] {
    while (!done) EXPECT_TRUE(ok(store->checkpoint()));
  });
  JobId id = 1;
  for (int i = 0; i < 50; ++i) {
    Batch batch = batch_after(store->lineage());
    for (int j = 0; j < 20; ++j) submit(batch, id++);
    ASSERT_TRUE(ok(store->commit(batch)));
  }
  done = true;
  other.join();
  EXPECT_EQ(store->load()->jobs.size(), 1000u);
  store.reset();
  EXPECT_EQ(size("state.db-wal"), -1);
  EXPECT_EQ(start()->load()->jobs.size(), 1000u);
}

TEST_F(Sqlite, the_view_reads_like_sacct) {
  auto store = start();
  ASSERT_TRUE(store);
  auto job = ended_job(7);
  ASSERT_TRUE(ok(store->commit(one(store->lineage(), JobEnded{job, "n1"}))));
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(options_.path.c_str(), &db), SQLITE_OK);
  sqlite3_stmt* row = nullptr;
  ASSERT_EQ(sqlite3_prepare_v2(
                db,
                "SELECT \"user\" || ' ' || state || ' ' || exit_code || ' ' || submitted || ' ' || cpus"
                " || ' ' || node_list || ' ' || user_cpu_s FROM job_history WHERE job_id = 7",
                -1, &row, nullptr),
            SQLITE_OK);
  ASSERT_EQ(sqlite3_step(row), SQLITE_ROW);
  EXPECT_STREQ(reinterpret_cast<const char*>(sqlite3_column_text(row, 0)),
               "alice COMPLETED 0:0 2023-11-14 22:13:27 4 n[1-2] 1.5");
  sqlite3_finalize(row);
  sqlite3_close(db);
}

}  // namespace
}  // namespace bai::store
