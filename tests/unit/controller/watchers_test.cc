// Who watches sees the queue as it is, however slowly it reads; what waits for it is bounded.
#include "controller/watchers.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

namespace bai::controller {
namespace {

constexpr ConnId kConn = 5;
constexpr std::size_t kLots = std::size_t{1} << 40;

class WatchersTest : public testing::Test {
 protected:
  Watchers watchers{{
      .send =
          [this](ConnId conn, std::string bytes) {
            EXPECT_EQ(conn, kConn);
            queued_bytes += bytes.size();
            most_queued = std::max(most_queued, queued_bytes);
            queue.push_back(std::move(bytes));
            return !gone;
          },
      .unread = [this](ConnId) { return queued_bytes + extra_unread; },
      .now = [] { return Time::from_seconds(1'800'000'000); },
  }};

  void watch(wire::JobFilter filter = {}) {
    Caller caller;
    caller.uid = 1000;
    watchers.begin(kConn, RequestId::random(), Selector(filter, caller), *view);
  }

  // A batch of changes: published first, then told.
  void change(const std::vector<std::pair<JobId, std::optional<JobState>>>& jobs) {
    Effects effects;
    for (const auto& [id, state] : jobs) {
      JobPtr job;
      if (state) {
        auto fresh = std::make_shared<Job>();
        auto spec = std::make_shared<JobSpec>();
        JobExtras extras;
        extras.comment = std::string(comment_size, 'x');
        spec->set_extras(std::move(extras));
        fresh->id = id;
        fresh->state = *state;
        fresh->spec = spec;
        job = fresh;
      }
      effects.jobs.push_back({id, job, 60});
    }
    Lineage lineage = view->lineage;
    lineage.lsn++;
    view = advance(*view, effects, lineage);
    watchers.tell(effects, *view);
  }

  // The reader takes the next message; false when there is none.
  bool read() {
    if (queue.empty()) return false;
    auto reply = wire::decode_reply(queue.front());
    queued_bytes -= queue.front().size();
    queue.pop_front();
    if (!reply.ok()) {
      ADD_FAILURE() << reply.error().text();
      return true;
    }
    if (auto* jobs = std::get_if<wire::JobsReply>(&reply->body)) take(jobs->table);
    if (auto* batch = std::get_if<wire::WatchBatch>(&reply->body)) {
      if (batch->resync) {
        ++resyncs;
        picture.clear();
      }
      EXPECT_GE(batch->lsn, lsn);
      lsn = batch->lsn;
      take(batch->changed);
      for (JobId id : batch->gone) picture.erase(id);
    }
    return true;
  }
  void read_all() {
    while (read()) {
    }
  }
  void take(const wire::JobTable& table) {
    for (const auto& row : table.rows) {
      if (is_finished(row.state)) {
        ++ends[row.id];
        picture.erase(row.id);
      } else {
        picture[row.id] = row.state;
      }
    }
  }
  std::map<JobId, JobState> truth() const {
    std::map<JobId, JobState> out;
    view->for_each([&](const JobCell& cell) {
      if (!is_finished(cell.job->state)) out[cell.job->id] = cell.job->state;
      return true;
    });
    return out;
  }

  ViewPtr view = std::make_shared<View>();
  std::size_t comment_size = 0;
  std::deque<std::string> queue;
  std::size_t queued_bytes = 0, most_queued = 0, extra_unread = 0;
  bool gone = false;
  std::map<JobId, JobState> picture;
  std::map<JobId, int> ends;
  int resyncs = 0;
  Lsn lsn = 0;
};

TEST_F(WatchersTest, ASnapshotThenEachChangeAndTheEndOfWhatWasShown) {
  change({{1, JobState::kPending}, {2, JobState::kCompleted}});
  watch();
  read_all();
  EXPECT_EQ(picture, truth());
  EXPECT_TRUE(ends.empty()) << "what had ended before is not news";
  change({{1, JobState::kRunning}, {3, JobState::kPending}});
  change({{1, JobState::kCompleted}, {3, std::nullopt}});
  read_all();
  EXPECT_EQ(ends, (std::map<JobId, int>{{1, 1}}));
  EXPECT_TRUE(picture.empty());
  change({{1, std::nullopt}});
  EXPECT_TRUE(queue.empty()) << "nobody knows it any more";
}

TEST_F(WatchersTest, TheNewestWordInABatchCounts) {
  watch();
  read_all();
  change({{1, JobState::kPending}, {1, JobState::kConfiguring}, {1, JobState::kRunning}});
  ASSERT_EQ(queue.size(), 1u);
  read_all();
  EXPECT_EQ(picture[1], JobState::kRunning);
}

TEST_F(WatchersTest, WhatNoLongerMatchesIsGone) {
  change({{1, JobState::kPending}});
  wire::JobFilter filter;
  filter.states = {JobState::kPending};
  watch(filter);
  read_all();
  change({{1, JobState::kRunning}});
  read_all();
  EXPECT_TRUE(picture.empty());
}

TEST_F(WatchersTest, OneWhoStopsReadingIsToldSoAndGetsTheRightPictureAnew) {
  change({{1, JobState::kPending}, {2, JobState::kPending}, {3, JobState::kPending}});
  watch();
  read_all();
  extra_unread = kLots;
  for (int i = 0; i < 10'000; ++i) change({{1, i % 2 ? JobState::kPending : JobState::kRunning}});
  change({{2, JobState::kCompleted}, {3, std::nullopt}, {4, JobState::kPending}});
  EXPECT_TRUE(queue.empty()) << "nothing gathers";
  EXPECT_TRUE(watchers.behind());
  EXPECT_EQ(watchers.catch_up(*view), 0u) << "it has not read yet";
  extra_unread = 0;
  EXPECT_EQ(watchers.catch_up(*view), 1u);
  EXPECT_FALSE(watchers.behind());
  read_all();
  EXPECT_EQ(resyncs, 1);
  EXPECT_EQ(picture, truth());
  EXPECT_EQ(ends[2], 1) << "an end that it missed";
  change({{4, JobState::kRunning}});
  read_all();
  EXPECT_EQ(picture, truth());
  EXPECT_EQ(resyncs, 1);
}

TEST_F(WatchersTest, ALongSnapshotThatIsBeingReadIsNotFallingBehind) {
  extra_unread = 100 << 20;  // the snapshot
  watch();
  for (; extra_unread > 0; extra_unread -= 10 << 20) {
    change({{1, JobState::kRunning}});
    EXPECT_FALSE(watchers.behind());
  }
  read_all();
  change({{1, JobState::kPending}});
  read_all();
  extra_unread = Watchers::kSlack + 1;  // the room that the snapshot took is gone
  change({{1, JobState::kRunning}});
  EXPECT_TRUE(watchers.behind());
}

TEST_F(WatchersTest, OneWhoIsGoneIsForgotten) {
  watch();
  read_all();
  extra_unread = kLots;
  change({{1, JobState::kPending}});
  extra_unread = 0;
  gone = true;
  EXPECT_EQ(watchers.catch_up(*view), 0u);
  watchers.forget(kConn);
  EXPECT_FALSE(watchers.behind());
  queue.clear();
  change({{1, JobState::kRunning}});
  EXPECT_TRUE(queue.empty());
}

TEST_F(WatchersTest, HoweverItReadsThePictureIsRightInTheEndAndNoEndIsMissed) {
  comment_size = 4'000;
  int all_resyncs = 0;
  for (unsigned seed = 1; seed <= 10; ++seed) {
    std::mt19937 random(seed);
    std::map<JobId, int> ended;
    watch();
    read_all();
    ends.clear();
    most_queued = 0;
    JobId next = 1000 * seed;
    std::vector<JobId> live;
    for (int step = 0; step < 6000; ++step) {
      if (live.size() < 20 || random() % 8 == 0) {
        live.push_back(++next);
        change({{next, JobState::kPending}});
      } else {
        const std::size_t at = random() % live.size();
        if (random() % 8 == 0) {
          ended[live[at]] = 1;
          change({{live[at], JobState::kFailed}});
          live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
        } else {
          change({{live[at], random() % 2 ? JobState::kRunning : JobState::kPending}});
        }
      }
      const bool awake = step / 1500 % 2 == 0;
      for (unsigned n = awake ? random() % 4 : 0; n > 0; --n) read();
      watchers.catch_up(*view);
    }
    do read_all();
    while (watchers.catch_up(*view) > 0);
    EXPECT_EQ(picture, truth()) << "seed " << seed;
    // One that came and went while it was behind was never shown to it.
    for (const auto& [id, times] : ends) EXPECT_EQ(times, ended[id]) << id;
    EXPECT_LT(most_queued, Watchers::kSlack + (1 << 20));
    all_resyncs += resyncs;
    resyncs = 0;
    watchers.forget(kConn);
    for (JobId id : live) change({{id, std::nullopt}});
    picture.clear();
    lsn = 0;
  }
  EXPECT_GT(all_resyncs, 0);
}

}  // namespace
}  // namespace bai::controller
