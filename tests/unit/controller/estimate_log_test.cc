// How estimates turned out is kept in few small rows, and found again.
#include "controller/estimate_log.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cluster.h"

namespace bai::controller {
namespace {

struct Kept {
  std::map<std::string, std::string> settings;
  std::size_t most = 0;  // bytes of one row
  void take(EstimateLog& log) {
    for (auto& put : log.take()) {
      most = std::max(most, put.text.size());
      settings[put.key] = put.text;
    }
  }
};

TEST(EstimateLog, the_newest_thousand_come_back_in_order) {
  EstimateLog log;
  Kept kept;
  for (Seconds i = 0; i < 5'000; ++i) {
    log.add(-i);
    kept.take(log);
    if (i % 37) continue;
    const EstimateLog again(kept.settings);
    const auto all = again.all();
    ASSERT_EQ(all, log.all()) << i;
    ASSERT_EQ(all.back(), -i);
    ASSERT_TRUE(std::is_sorted(all.rbegin(), all.rend()));
    ASSERT_GT(all.size(), static_cast<std::size_t>(std::min<Seconds>(i, 950)));
    log = again;  // and goes on where it was
  }
  EXPECT_EQ(kept.settings.size(), 20u);
  EXPECT_LT(kept.most, 400u);
  EXPECT_TRUE(log.take().empty()) << "nothing new";
}

TEST(EstimateLog, what_is_not_understood_is_passed_over) {
  const EstimateLog log({{"estimates/00", "0 5 7"},
                         {"estimates/01", "x 5 7"},
                         {"estimates/02", ""},
                         {"estimates/03", "-50 1"},
                         {"estimates/04", "50 1"},
                         {"estimates/05", "99999999999999999999 1"},
                         {"partition/main/state", "down"}});
  EXPECT_EQ(log.all(), (std::vector<Seconds>{5, 7}));
}

TEST(EstimateLog, a_restart_still_knows_how_estimates_turned_out) {
  Cluster c;
  c.up();
  const auto whole_node = [](Seconds limit) {
    return [limit](wire::Submission& s) {
      s.spec.request.cpus_per_task = 4;
      s.spec.time_limit = limit;
    };
  };
  const auto first = c.submit(whole_node(600));
  const auto other = c.submit(whole_node(1200));
  c.runs(first);
  c.runs(other);
  const auto second = c.submit(whole_node(600));
  const auto third = c.submit(whole_node(600));
  const auto record = [&] { return c.scheduler.explain(third, c.now)->estimates; };
  EXPECT_EQ(record().count, 0u);
  c.pass(100);
  c.ends(first);
  ASSERT_EQ(c.state_of(second), JobState::kConfiguring);
  EXPECT_EQ(record().count, 1u);
  const auto median = record().median_s;
  EXPECT_LT(median, 0);
  c.restart();
  EXPECT_EQ(record().count, 1u);
  EXPECT_EQ(record().median_s, median);
}

}  // namespace
}  // namespace bai::controller
