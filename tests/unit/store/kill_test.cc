// A process that commits is killed at random moments: what it said was committed is there, and nothing half.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "base/fd.h"
#include "pg_server.h"
#include "sample.h"

namespace bai::store {
namespace {

constexpr JobId kJobsPerBatch = 3;

// Commits until it is killed, and says each LSN once it is durable.
[[noreturn]] void commit_for_ever(const char* driver, const OpenOptions& options, int out) {
  auto opened = open(driver, options);
  if (!opened) _exit(1);
  JobId id = (*opened)->lineage().last_job_id;
  for (;;) {
    Batch batch = batch_after((*opened)->lineage());
    for (JobId i = 0; i < kJobsPerBatch; ++i) submit(batch, ++id);
    if (!(*opened)->commit(batch)) _exit(2);
    const std::uint64_t lsn = batch.last;
    if (write(out, &lsn, sizeof lsn) != sizeof lsn) _exit(3);
    if (batch.last % 15 == 0) (void)(*opened)->checkpoint();
  }
}

void kill_and_look(const char* driver, const OpenOptions& options, int rounds) {
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    auto pipe = make_pipe();
    ASSERT_TRUE(ok(pipe));
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) commit_for_ever(driver, options, pipe->write.get());
    pipe->write.reset();
    Lsn acknowledged = 0;
    std::uint64_t lsn = 0;
    for (auto left = 1 + random() % 20; left > 0; --left) {
      ASSERT_EQ(read(pipe->read.get(), &lsn, sizeof lsn), static_cast<ssize_t>(sizeof lsn));
      acknowledged = lsn;
    }
    usleep(random() % 3000);  // somewhere within a commit
    kill(child, SIGKILL);
    while (read(pipe->read.get(), &lsn, sizeof lsn) == static_cast<ssize_t>(sizeof lsn)) acknowledged = lsn;
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    auto opened = open(driver, options);
    ASSERT_TRUE(ok(opened));
    const Lsn durable = (*opened)->lineage().lsn;
    EXPECT_GE(durable, acknowledged);
    EXPECT_LE(durable, acknowledged + kJobsPerBatch);
    auto loaded = (*opened)->load();
    ASSERT_TRUE(ok(loaded));
    EXPECT_EQ(loaded->jobs.size(), durable);  // one LSN a job
    auto reader = (*opened)->open_reader();
    ASSERT_TRUE(ok(reader));
    for (const auto& job : loaded->jobs) ASSERT_TRUE(ok((*reader)->launch(job->id)));
    EXPECT_EQ((*opened)->lineage().epoch, 2u * static_cast<unsigned>(round) + 2);
  }
}

TEST(StoreKill, sqlite_keeps_what_it_acknowledged) {
  TempDir dir;
  OpenOptions options;
  options.path = dir.path() + "/state.db";
  kill_and_look("sqlite", options, 6);
}

TEST(StoreKill, postgresql_keeps_what_it_acknowledged) {
  auto server = PgServer::shared();
  if (!server) GTEST_SKIP() << server.error().text();
  auto conninfo = (*server)->new_database();
  ASSERT_TRUE(ok(conninfo));
  OpenOptions options;
  options.path = *conninfo;
  kill_and_look("postgresql", options, 4);
}

}  // namespace
}  // namespace bai::store
