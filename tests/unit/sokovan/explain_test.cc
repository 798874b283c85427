#include <gtest/gtest.h>

#include "cluster.h"

namespace bai::sokovan {
namespace {

struct Explaining : ::testing::Test {
  Toy toy;
  void SetUp() override {
    for (int i = 1; i <= 4; ++i) toy.node("n" + std::to_string(i), 4);
    toy.partition("p");
  }
  Explanation why(JobId id) {
    auto out = toy.scheduler.explain(id, toy.now);
    EXPECT_TRUE(out.ok());
    return out.ok() ? *out : Explanation{};
  }
  static const WhatIf* change(const Explanation& e, const std::string& what) {
    for (const auto& w : e.what_if)
      if (w.change == what) return &w;
    return nullptr;
  }
  static std::string all(const Explanation& e) {
    std::string out;
    for (const auto& w : e.what_if) out += w.change + (w.now ? ":now " : ":later ");
    return out;
  }
};

TEST_F(Explaining, a_job_that_runs_or_is_unknown_does_not_wait) {
  const auto id = toy.submit(Toy::spec(1, 600));
  toy.run();
  EXPECT_FALSE(toy.scheduler.explain(id, toy.now).ok());
  EXPECT_EQ(toy.scheduler.explain(99, toy.now).error().code, "not_pending");
}

TEST_F(Explaining, the_head_of_the_queue_waits_for_running_jobs) {
  for (int i = 0; i < 3; ++i) toy.submit(Toy::spec(4, 600 * (i + 1)));
  toy.run();
  const auto big = toy.submit(Toy::spec(16, 3600, 4));
  const auto later = toy.submit(Toy::spec(4, 7200));
  toy.run();
  const auto e = why(big);
  EXPECT_EQ(e.reason, Reason::kResources);
  EXPECT_TRUE(e.startable);
  EXPECT_TRUE(e.planned);
  EXPECT_EQ(e.start, toy.now + 1800);
  EXPECT_EQ(e.nodes, "n[1-4]");
  EXPECT_EQ(e.ahead, 0u);
  ASSERT_EQ(e.blocking, 3u);
  EXPECT_EQ(e.blockers[0].job, 3u) << "the last to end first";
  EXPECT_EQ(e.blockers[0].end, toy.now + 1800);
  ASSERT_EQ(e.places.size(), 1u);
  EXPECT_EQ(e.places[0].nodes, 4u);
  EXPECT_EQ(e.places[0].busy, 3u);
  ASSERT_EQ(e.places[0].busy_for.size(), 1u);
  EXPECT_EQ(e.places[0].busy_for[0], (Shortage{"CPUs", 3}));
  EXPECT_EQ(e.places[0].free, 1u);
  // The one behind it: a node is free, but only until the planned start.
  const auto other = why(later);
  EXPECT_EQ(other.ahead, 1u);
  EXPECT_EQ(other.first_ahead, std::vector<JobId>{big});
  EXPECT_EQ(other.places[0].reserved, 1u);
  const auto* shorter = change(other, "--time=30:00");
  ASSERT_NE(shorter, nullptr) << all(other);
  EXPECT_TRUE(shorter->now);
}

TEST_F(Explaining, changes_that_it_names_do_start_the_job) {
  for (int i = 0; i < 2; ++i) toy.submit(Toy::spec(4, 600));
  toy.run();
  const auto id = toy.submit(Toy::spec(3, 600, 3));
  toy.run();
  const auto e = why(id);
  const auto* fewer = change(e, "--nodes=2");
  ASSERT_NE(fewer, nullptr) << all(e);
  EXPECT_TRUE(fewer->now);
  EXPECT_EQ(change(e, "--nodes=1"), nullptr) << "the smallest change only";
  // And so it is.
  Job less = *toy.jobs.at(id);
  auto spec = std::make_shared<JobSpec>(*less.spec);
  spec->request.min_nodes = spec->request.tasks = 2;
  less.spec = spec;
  toy.feed(less);
  toy.run();
  EXPECT_EQ(toy.jobs.at(id)->state, JobState::kRunning);
}

TEST_F(Explaining, other_partitions_are_tried) {
  toy.node("m1", 4);
  toy.partition("q", {"m1"});
  for (int i = 0; i < 4; ++i) toy.submit(Toy::spec(4, 6000));
  toy.run();
  const auto id = toy.submit(Toy::spec(2, 600));
  toy.run();
  const auto e = why(id);
  ASSERT_NE(change(e, "--partition=q"), nullptr) << all(e);
  EXPECT_TRUE(change(e, "--partition=q")->now);
}

TEST_F(Explaining, asking_changes_no_decision) {
  for (int i = 0; i < 6; ++i) toy.submit(Toy::spec(4, 600 * (i + 1), i % 3 + 1));
  toy.run();
  const auto before = toy.scheduler.planned();
  for (const auto& [id, job] : toy.jobs) static_cast<void>(toy.scheduler.explain(id, toy.now));
  EXPECT_EQ(toy.scheduler.check(toy.now), "");
  const auto after = toy.scheduler.planned();
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].job, after[i].job);
    EXPECT_EQ(before[i].at, after[i].at);
  }
}

TEST_F(Explaining, a_held_job_says_so_and_tries_nothing) {
  for (int i = 0; i < 4; ++i) toy.submit(Toy::spec(4, 600));
  toy.run();
  Job held = toy.pending(Toy::spec(4, 600));
  held.hold = Hold::kUser;
  toy.feed(held);
  toy.run();
  const auto e = why(held.id);
  EXPECT_EQ(e.reason, Reason::kJobHeldUser);
  EXPECT_FALSE(e.startable);
  EXPECT_EQ(e.start, toy.now + 600) << "once it may start";
  EXPECT_TRUE(e.what_if.empty());
}

TEST_F(Explaining, tells_how_estimates_turned_out) {
  for (int i = 0; i < 4; ++i) toy.submit(Toy::spec(4, 600));
  toy.run();
  const auto id = toy.submit(Toy::spec(4, 600));
  toy.run();
  EXPECT_EQ(why(id).estimates.count, 0u);
  toy.now = toy.now + 100;
  toy.end(1);
  toy.run();
  ASSERT_EQ(toy.jobs.at(id)->state, JobState::kRunning);
  const auto next = toy.submit(Toy::spec(4, 600));
  toy.run();
  const auto e = why(next);
  EXPECT_EQ(e.estimates.count, 1u);
  EXPECT_EQ(e.estimates.median_s, -500);
}

TEST_F(Explaining, nodes_that_leave_delay_planned_starts) {
  for (int i = 0; i < 4; ++i) toy.submit(Toy::spec(4, 600 * (i + 1)));
  toy.run();
  const auto id = toy.submit(Toy::spec(4, 600));
  toy.run();
  ASSERT_EQ(why(id).start, toy.now + 600);
  const auto node = toy.jobs.at(1)->allocation->nodes[0].node;
  const auto delays = toy.scheduler.without({node}, toy.now);
  ASSERT_EQ(delays.size(), 1u);
  EXPECT_EQ(delays[0], (Delay{id, toy.now + 600, toy.now + 1200}));
  const auto last = toy.jobs.at(4)->allocation->nodes[0].node;
  EXPECT_TRUE(toy.scheduler.without({last}, toy.now).empty());
  const auto everywhere = toy.scheduler.without({"n1", "n2", "n3", "n4"}, toy.now);
  ASSERT_EQ(everywhere.size(), 1u);
  EXPECT_FALSE(everywhere[0].after.is_set());
}

}  // namespace
}  // namespace bai::sokovan
