// What --watch prints and draws.
#include "cli/watch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace bai::cli {
namespace {

constexpr Time kNow = Time::from_seconds(1'800'000'073);

class WatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
    auto columns = short_columns<JobView>("%i %T %M %j", job_fields());
    ASSERT_TRUE(columns.ok());
    view_.columns = *columns;
    view_.sort = "-t,i";
  }

  static JobPtr job(JobId id, JobState state, const std::string& name = "train") {
    auto spec = std::make_shared<JobSpec>();
    spec->name = name;
    auto out = std::make_shared<Job>();
    out->id = id;
    out->state = state;
    out->spec = spec;
    if (state != JobState::kPending) out->started = Time::from_seconds(1'800'000'010);
    if (is_finished(state)) out->ended = Time::from_seconds(1'800'000'070);
    return out;
  }
  static wire::JobTable table(const std::vector<JobPtr>& jobs) {
    wire::JobTableBuilder builder;
    for (const auto& one : jobs) builder.add(*one, 3600);
    return builder.take();
  }
  WatchedJobs jobs(bool keep_finished = false) {
    return WatchedJobs(
        [this](const JobView& job) {
          std::string out;
          put_row(out, view_.columns, job);
          return out;
        },
        keep_finished);
  }
  static std::vector<JobId> ids(WatchedJobs& jobs, Time now = kNow) {
    std::vector<JobId> out;
    for (const auto& job : jobs.jobs(now)) out.push_back(job.row->id);
    return out;
  }
  std::string draw(WatchedJobs& jobs, std::size_t height, std::size_t width) {
    return draw_queue(jobs.jobs(kNow), view_, {height, width}, kNow);
  }

  QueueView view_;
};

TEST_F(WatchTest, EveryChangeIsALineAndWhatEndedIsForgotten) {
  auto watched = jobs();
  watched.begin_anew();
  EXPECT_EQ(watched.take(table({job(1, JobState::kPending), job(2, JobState::kPending)}), kNow),
            "1 PENDING 0:00 train\n2 PENDING 0:00 train\n");
  watched.end_anew();
  EXPECT_EQ(watched.take(table({job(1, JobState::kRunning)}), kNow), "1 RUNNING 1:03 train\n");
  EXPECT_EQ(watched.take(table({job(1, JobState::kCompleted)}), kNow), "1 COMPLETED 1:00 train\n");
  EXPECT_EQ(ids(watched), std::vector<JobId>{2});
  watched.forget(2);
  EXPECT_TRUE(ids(watched).empty());
}

TEST_F(WatchTest, OfASnapshotAnewOnlyWhatIsNewsIsPrinted) {
  auto watched = jobs();
  watched.begin_anew();
  watched.take(table({job(1, JobState::kPending), job(2, JobState::kRunning), job(3, JobState::kRunning),
                      job(4, JobState::kPending)}),
               kNow);
  watched.end_anew();
  // Its time went on, which is no news; one came, one ended, one is gone without a word.
  watched.begin_anew();
  const Time later = kNow + 100;
  std::string news = watched.take(table({job(1, JobState::kRunning), job(2, JobState::kRunning)}), later);
  news += watched.take(table({job(3, JobState::kFailed), job(5, JobState::kPending)}), later);
  watched.end_anew();
  EXPECT_EQ(news, "1 RUNNING 2:43 train\n3 FAILED 1:00 train\n5 PENDING 0:00 train\n");
  EXPECT_EQ(ids(watched, later), (std::vector<JobId>{1, 2, 5}));
}

TEST_F(WatchTest, ASnapshotThatIsCutShortByTheNextLosesNothing) {
  auto watched = jobs();
  watched.begin_anew();
  watched.take(table({job(1, JobState::kPending), job(2, JobState::kPending)}), kNow);
  watched.end_anew();
  watched.begin_anew();
  watched.take(table({job(1, JobState::kRunning)}), kNow);
  watched.begin_anew();
  EXPECT_EQ(watched.take(table({job(1, JobState::kRunning), job(2, JobState::kPending)}), kNow), "");
  watched.end_anew();
  EXPECT_EQ(ids(watched), (std::vector<JobId>{1, 2}));
}

TEST_F(WatchTest, FinishedJobsThatWereAskedForStayForAWhile) {
  auto watched = jobs(true);
  watched.take(table({job(1, JobState::kCompleted), job(2, JobState::kRunning)}), kNow);
  EXPECT_EQ(ids(watched), (std::vector<JobId>{1, 2}));
  EXPECT_EQ(ids(watched, kNow + 1000), std::vector<JobId>{2});
}

TEST_F(WatchTest, ThePictureHasRunningJobsFirstAndSaysWhatThereIs) {
  auto watched = jobs();
  watched.take(table({job(1, JobState::kPending), job(2, JobState::kRunning)}), kNow);
  EXPECT_EQ(draw(watched, 10, 40),
            "\x1b[H"
            "JOBID STATE TIME NAME\x1b[K\r\n"
            "2 RUNNING 1:03 train\x1b[K\r\n"
            "1 PENDING 0:00 train\x1b[K\r\n"
            "\x1b[J\x1b[10;1H"
            "2 jobs: 1 pending, 1 running    08:01:13");
}

TEST_F(WatchTest, WhatDoesNotFitIsCutAndCounted) {
  auto watched = jobs();
  std::vector<JobPtr> many;
  for (JobId id = 1; id <= 9; ++id) many.push_back(job(id, JobState::kPending, "Grüße-an-alle"));
  watched.take(table(many), kNow);
  EXPECT_EQ(draw(watched, 4, 20),
            "\x1b[H"
            "JOBID STATE TIME NAM\r\n"
            "1 PENDING 0:00 Grüße\r\n"
            "2 PENDING 0:00 Grüße\r\n"
            "\x1b[J\x1b[4;1H"
            "9 jobs: 9 pending; 7");
  EXPECT_NE(draw(watched, 4, 50).find("9 jobs: 9 pending; 7 more lines"), std::string::npos);
  // However small it is.
  EXPECT_EQ(draw(watched, 1, 3), "\x1b[HJOB\r\n");
}

TEST_F(WatchTest, TasksOfAnArrayCountOneByOne) {
  auto head = std::make_shared<Job>(*job(7, JobState::kPending));
  head->array_id = 7;
  auto array = std::make_shared<ArrayHead>();
  array->waiting.insert(1, 500);
  head->array = array;
  auto watched = jobs();
  watched.take(table({head}), kNow);
  EXPECT_NE(draw(watched, 10, 60).find("500 jobs: 500 pending"), std::string::npos);
}

}  // namespace
}  // namespace bai::cli
