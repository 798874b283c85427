#include "agent/spool.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/hooks.h"
#include "step/process.h"
#include "step/status.h"

namespace bai::agent {
namespace {

class AgentSpool : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bai-spool-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    auto spool = Spool::open(env_, dir_ + "/n1");
    ASSERT_TRUE(spool.ok()) << spool.error().text();
    spool_.emplace(std::move(*spool));
  }
  void TearDown() override { EXPECT_TRUE(env_.remove_tree(dir_).ok()); }

  // An attempt as far as its launch file.
  std::string prepare(JobId job) {
    step::StepLaunch launch;
    launch.job_id = job;
    launch.attempt = 1;
    launch.boot_id = boot_;
    launch.mark = "spool-test-" + std::to_string(getpid()) + "-" + std::to_string(job);
    launch.argv = {"true"};
    auto made = spool_->prepare({job, 1}, launch);
    EXPECT_TRUE(made.ok()) << made.error().text();
    return spool_->attempt_dir({job, 1});
  }
  void claim(JobId job, std::string boot) {
    auto& record = journal_.attempts[{job, 1}];
    record.key = {job, 1};
    record.boot_id = std::move(boot);
    record.mark = "mark";
  }
  std::map<JobId, FoundAttempt> scan() {
    std::map<JobId, FoundAttempt> out;
    auto found = spool_->scan(journal_, boot_);
    EXPECT_TRUE(found.ok());
    for (auto& f : *found) out[f.record.key.job] = f;
    return out;
  }
  static step::StepStarted self() {
    step::StepStarted started;
    started.boot_id = step::boot_id();
    started.pid = getpid();
    started.start_ticks = step::process_stat(getpid())->start_ticks;
    return started;
  }

  const Env env_ = Env::real();
  const std::string boot_ = step::boot_id();
  std::string dir_;
  std::optional<Spool> spool_;
  JournalContents journal_;
};

TEST_F(AgentSpool, HasOneAgent) {
  auto second = Spool::open(env_, dir_ + "/n1");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, "spool_in_use");
  EXPECT_TRUE(Spool::open(env_, dir_ + "/n2").ok());
}

TEST_F(AgentSpool, UsersPassThroughAndReadNothing) {
  const std::string dir = prepare(1);
  struct stat st {};
  ASSERT_EQ(stat(dir.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0711u);
  ASSERT_EQ(stat((dir + "/launch").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(AgentSpool, WhatASitesProgramsPrintIsTheAgentsAlone) {
  for (const StepId hook : {kPrologStep, kEpilogStep}) {
    const wire::AttemptKey key{1, 1, hook};
    ASSERT_TRUE(spool_->prepare(key, {}).ok());
    struct stat st {};
    ASSERT_EQ(stat(spool_->attempt_dir(key).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0700u);
  }
}

TEST_F(AgentSpool, TellsHowFarEachAttemptCame) {
  prepare(1), claim(1, boot_);
  const std::string ended = prepare(2);
  claim(2, boot_);
  ASSERT_TRUE(step::claim_start(ended, self()).ok());
  step::StepStatus status;
  status.exit_code = 5;
  ASSERT_TRUE(step::leave_status(ended, status).ok());
  ASSERT_TRUE(step::claim_start(prepare(3), self()).ok());
  claim(3, boot_);
  auto dead = self();
  dead.start_ticks += 1;  // the number is another process's now
  ASSERT_TRUE(step::claim_start(prepare(4), dead).ok());
  claim(4, boot_);
  claim(5, boot_);  // its directory was taken away
  prepare(6), claim(6, "an earlier boot");
  const std::string unclaimed = prepare(7);

  auto found = scan();
  ASSERT_EQ(found.size(), 6u);
  EXPECT_EQ(found[1].shepherd, FoundAttempt::Shepherd::kNone);
  EXPECT_FALSE(found[1].status);
  ASSERT_TRUE(found[2].status);
  EXPECT_EQ(found[2].status->exit_code, 5u);
  EXPECT_EQ(found[3].shepherd, FoundAttempt::Shepherd::kAlive);
  EXPECT_EQ(found[4].shepherd, FoundAttempt::Shepherd::kDead);
  EXPECT_FALSE(found[5].has_directory);
  EXPECT_EQ(found[6].record.boot_id, "an earlier boot");
  EXPECT_NE(access(unclaimed.c_str(), F_OK), 0);
}

TEST_F(AgentSpool, EndsOfAnEarlierBootAreFoundWhereShepherdsSavedThem) {
  const auto saved = [&](JobId job) { return step::read_launch(prepare(job))->end_file; };
  step::StepStatus status;
  status.exit_code = 5;
  for (JobId job : {1, 2, 3}) ASSERT_TRUE(step::save_status(env_, saved(job), status).ok());
  claim(1, "an earlier boot");
  claim(2, boot_);
  const std::string nobodys = saved(3);
  // Of an earlier boot only that counts.
  ASSERT_TRUE(step::leave_status(prepare(4), status).ok());
  claim(4, "an earlier boot");

  auto found = scan();
  ASSERT_TRUE(found[1].status);
  EXPECT_EQ(found[1].status->exit_code, 5u);
  EXPECT_TRUE(found[2].status);
  EXPECT_FALSE(found[4].status);
  EXPECT_NE(access(nobodys.c_str(), F_OK), 0);
  spool_->discard({1, 1}, 0);
  journal_.attempts.erase({2, 1});
  scan();
  EXPECT_TRUE(env_.list_dir(dir_ + "/n1/ends")->empty());
}

TEST_F(AgentSpool, NobodyStartsAfterTheScan) {
  const std::string dir = prepare(1);
  claim(1, boot_);
  EXPECT_EQ(scan()[1].shepherd, FoundAttempt::Shepherd::kNone);
  auto late = step::claim_start(dir, self());
  ASSERT_TRUE(late.ok());
  EXPECT_FALSE(*late);
  EXPECT_EQ(scan()[1].shepherd, FoundAttempt::Shepherd::kNone);  // and the next agent sees the same
}

TEST_F(AgentSpool, RunningStepsSurviveALostJournal) {
  ASSERT_TRUE(step::claim_start(prepare(3), self()).ok());
  auto found = scan();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[3].shepherd, FoundAttempt::Shepherd::kAlive);
  EXPECT_EQ(found[3].record.boot_id, boot_);
}

TEST_F(AgentSpool, TrashGoesWhenItsTimeHasCome) {
  const std::string dir = prepare(1);
  spool_->discard({1, 1}, 1000);
  EXPECT_NE(access(dir.c_str(), F_OK), 0);
  spool_->empty_trash(999, 1000);
  EXPECT_EQ(spool_->trash_size(), 1u);
  prepare(1);  // the same key again
  spool_->discard({1, 1}, 1000);
  spool_->empty_trash(1000, 1000);
  EXPECT_EQ(spool_->trash_size(), 0u);
  EXPECT_TRUE(env_.list_dir(dir_ + "/n1/attempts")->empty());
}

TEST_F(AgentSpool, ALaterAgentEmptiesTheTrash) {
  prepare(1);
  spool_->discard({1, 1}, 1000);
  spool_.reset();
  auto again = Spool::open(env_, dir_ + "/n1");
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->scan({}, boot_)->empty());
  EXPECT_EQ(again->trash_size(), 1u);
  again->empty_trash(0, 1000);
  EXPECT_TRUE(env_.list_dir(dir_ + "/n1/attempts")->empty());
}

}  // namespace
}  // namespace bai::agent
