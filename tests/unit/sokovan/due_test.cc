// The default policy: predicted run times order the queue and let jobs pass.
#include <gtest/gtest.h>

#include "cluster.h"
#include "sokovan/policy.h"
#include "sokovan/predictor.h"

namespace bai::sokovan {
namespace {

constexpr Seconds kHour = 3600;

TEST(Due, short_ones_wide_ones_and_nobody_by_more_than_so_much) {
  const auto at = Time::from_seconds(1'000'000);
  EXPECT_EQ(due(at, 60, {}), at + 2400);
  EXPECT_EQ(due(at, 3240, {}), at + 36 * kHour);
  EXPECT_EQ(due(at, 100 * kHour, {}), at + 36 * kHour);
  EXPECT_EQ(due(at, kUnlimited, {}), at + 36 * kHour);
  EXPECT_EQ(due(at, 1, {100, 100}), at + 40 - 48 * kHour);
  EXPECT_EQ(due(at, 1, {10, 100}), at + 40 - 1728);
  EXPECT_EQ(due(at, 1, {INT64_MAX, 3}), at + 40 - 48 * kHour);  // more than there is
}

TEST(Predictor, the_nearest_class_that_has_run_anything) {
  Predictor p;
  EXPECT_EQ(p.predict(1, 4, 100), 100);
  EXPECT_EQ(p.predict(1, 4, kUnlimited), kUnlimited);
  p.learn(1, 4, 100, 10);
  EXPECT_EQ(p.predict(1, 4, 100), 10);
  EXPECT_EQ(p.predict(1, 8, 100), 10);   // the same limit
  EXPECT_EQ(p.predict(1, 8, 5), 5);      // any of the user's, never above the limit
  EXPECT_EQ(p.predict(2, 4, 100), 100);  // another user
  p.learn(1, 8, 100, 50);
  EXPECT_EQ(p.predict(1, 4, 100), 10);
  EXPECT_EQ(p.predict(1, 16, 100), 30);
  for (Seconds run : {20, 20, 20, 20}) p.learn(1, 4, 100, run);
  EXPECT_EQ(p.predict(1, 4, 100), 20);  // the last four
  p.learn(1, 4, 100, 0);
  p.learn(3, 1, 100, 0);
  EXPECT_EQ(p.predict(3, 1, 100), 1);
}

TEST(Predictor, the_last_two_runs_of_the_user) {
  Predictor p;
  p.learn(1, 4, 100, 10);
  EXPECT_EQ(p.predict_by_last_two(1, 100), 100);
  p.learn(1, 8, 200, 30);
  EXPECT_EQ(p.predict_by_last_two(1, 100), 20);
}

TEST(Predictor, forgets_what_is_long_ago_rather_than_grow) {
  Predictor p;
  p.learn(1, 1, 100, 7);
  for (Seconds limit = 1000; limit < 100'000; ++limit) p.learn(2, 1, limit, 5);
  EXPECT_EQ(p.predict(1, 1, 100), 100);
  EXPECT_EQ(p.predict(2, 1, 99'999), 5);
}

// Four CPUs in one partition; the default policy as it comes.
struct Site {
  Toy toy;
  Site() {
    toy.node("n1", 4);
    Partition p;
    p.name = "p";
    p.is_default = true;
    p.nodes = {"n1"};
    p.scheduling.prediction = Prediction::kOn;
    toy.partition(std::move(p));
  }
  static std::shared_ptr<JobSpec> spec(std::uint32_t cpus, Seconds limit, std::uint32_t uid = 1) {
    auto out = Toy::spec(cpus, limit);
    out->uid = uid;
    return out;
  }
  void history(std::uint32_t uid, Seconds limit, Seconds run, std::uint64_t cpus = 1) {
    for (int i = 0; i < 4; ++i) toy.scheduler.apply(RunEnded{uid, limit, run, cpus});
  }
};

TEST(DefaultPolicy, who_is_predicted_to_be_short_comes_first) {
  Site site;
  auto& toy = site.toy;
  site.history(2, 10 * kHour, 60);
  const auto first = toy.submit(Site::spec(4, kHour));
  toy.run();
  const auto longer = toy.submit(Site::spec(4, 10 * kHour, 1)),
             shorter = toy.submit(Site::spec(4, 10 * kHour, 2));
  toy.run();
  toy.end(first);
  EXPECT_EQ(toy.run(), std::vector<JobId>{shorter});
  EXPECT_FALSE(toy.running(longer));
}

TEST(DefaultPolicy, nobody_is_passed_by_what_came_much_later) {
  Site site;
  auto& toy = site.toy;
  site.history(2, 10 * kHour, 60);
  const auto first = toy.submit(Site::spec(4, 100 * kHour));
  toy.run();
  const auto longer = toy.submit(Site::spec(4, 10 * kHour, 1));
  toy.run();
  toy.now = toy.now + 36 * kHour;
  toy.submit(Site::spec(4, 10 * kHour, 2));
  toy.run();
  toy.end(first);
  EXPECT_EQ(toy.run(), std::vector<JobId>{longer});
}

// One CPU is free; the head waits for all four until the running job's limit in an hour. A job that may run for two hours passes where it
// is predicted to be gone by then, while the head has not waited for long.
TEST(DefaultPolicy, a_prediction_lets_jobs_pass_the_first_while_it_has_not_waited_for_long) {
  for (const Seconds waited : {Seconds{0}, 33 * kHour}) {
    for (const Seconds predicted : {Seconds{600}, 2 * kHour}) {
      Site site;
      auto& toy = site.toy;
      site.history(2, 2 * kHour, predicted);
      toy.submit(Site::spec(3, waited + kHour));
      toy.run();
      const auto head = toy.submit(Site::spec(4, kHour));
      toy.submit(Site::spec(4, 2 * kHour, 3));
      toy.run();
      toy.now = toy.now + waited;
      const auto passing = toy.submit(Site::spec(1, 2 * kHour, 2));
      toy.run();
      EXPECT_FALSE(toy.running(head));
      EXPECT_EQ(toy.running(passing), predicted == 600) << waited << " " << predicted;
      const auto plans = toy.scheduler.planned();
      ASSERT_EQ(plans.size(), 1u);  // around what has started
      EXPECT_EQ(plans[0].at, toy.now + (predicted == 600 ? 2 : 1) * kHour);
    }
  }
  Site site;
  auto& toy = site.toy;
  site.history(2, 2 * kHour, 600);
  toy.submit(Site::spec(3, 36 * kHour));
  toy.run();
  toy.submit(Site::spec(4, kHour));
  toy.submit(Site::spec(4, 2 * kHour, 3));
  toy.run();
  toy.now = toy.now + 34 * kHour + 3600 + 1800;  // at its limit it would be in the way after 36 hours
  const auto late = toy.submit(Site::spec(1, 2 * kHour, 2));
  toy.run();
  EXPECT_FALSE(toy.running(late));
}

TEST(DefaultPolicy, a_place_in_the_queue_is_kept) {
  Site site;
  auto& toy = site.toy;
  const auto first = toy.submit(Site::spec(4, kHour));
  toy.run();
  const auto a = toy.submit(Site::spec(4, 10 * kHour, 1)), b = toy.submit(Site::spec(4, 10 * kHour, 2));
  toy.run();
  site.history(2, 10 * kHour, 60);  // learned after they came
  for (auto id : {b, a}) {
    Job job = *toy.jobs.at(id);
    job.hold = Hold::kUser;
    toy.feed(job);
    toy.run();
    job.hold = Hold::kNone;
    toy.feed(job);
    toy.run();
  }
  toy.end(first);
  EXPECT_EQ(toy.run(), std::vector<JobId>{a});
}

}  // namespace
}  // namespace bai::sokovan
