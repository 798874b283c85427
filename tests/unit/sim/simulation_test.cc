// Playing traces: against histories worked out by hand.
#include "sim/simulation.h"

#include <gtest/gtest.h>

#include "sim/figures.h"
#include "sim/fill.h"
#include "sim/metrics.h"
#include "sim/plot.h"

namespace bai::sim {
namespace {

Workload workload(std::vector<TraceJob> jobs, Shape shape = {}) {
  Workload out;
  out.jobs = std::move(jobs);
  out.shapes.push_back(std::move(shape));
  return out;
}

Played play_on(std::uint32_t procs, const Workload& w, std::string_view policy) {
  const auto rules = parse_rules(policy);
  EXPECT_TRUE(rules.ok());
  return play(w, machine(procs, *rules), rules->exact, true);
}

using Waits = std::vector<Seconds>;

// On four processors: the second is in the way, the third fits beside it, the fourth only if its run time were known.
const Workload& easy_example() {
  static const Workload w =
      workload({{1, 0, 100, 100, 3}, {2, 1, 10, 10, 4}, {3, 2, 50, 50, 1}, {4, 3, 30, 200, 1}});
  return w;
}

TEST(Simulation, fcfs_lets_nobody_pass) {
  EXPECT_EQ(play_on(4, easy_example(), "fcfs").wait, (Waits{0, 99, 108, 107}));
}
TEST(Simulation, easy_passes_where_the_first_is_not_delayed) {
  EXPECT_EQ(play_on(4, easy_example(), "easy").wait, (Waits{0, 99, 0, 107}));
}
TEST(Simulation, exact_estimates_are_the_run_times) {
  EXPECT_EQ(play_on(4, easy_example(), "easy-exact").wait, (Waits{0, 99, 0, 49}));
}
TEST(Simulation, sjbf_passes_the_shortest_first) {
  const auto w = workload(
      {{1, 0, 100, 100, 3}, {2, 1, 10, 10, 4}, {3, 2, 1, 1, 1}, {4, 2, 60, 60, 1}, {5, 2, 20, 20, 1}});
  // The third takes the free processor at once; when it ends, the fifth is shorter than the fourth.
  EXPECT_EQ(play_on(4, w, "easy").wait[3], 1);
  EXPECT_EQ(play_on(4, w, "easy-sjbf").wait, (Waits{0, 99, 0, 21, 1}));
}

// The first (two processors) ends before its limit at 10, the second at its limit. What is submitted at 10 comes before ends, but the
// end of the second was known: its processors are free for the fourth, which fits before the first's limit. Had it ended after the
// first, the third's start would have been planned for 10, and the fourth in its way.
TEST(Simulation, an_end_at_the_limit_is_known_at_that_instant) {
  const auto w = workload({{1, 0, 10, 100, 2}, {2, 0, 10, 10, 2}, {3, 10, 20, 20, 4}, {4, 10, 50, 50, 2}});
  EXPECT_EQ(play_on(4, w, "easy").wait, (Waits{0, 0, 50, 0}));
}

TEST(Simulation, figures_are_those_of_the_history) {
  const auto& w = easy_example();
  const auto played = play_on(4, w, "easy");
  const auto m = measure(w, machine(4, {}), played);
  EXPECT_EQ(m.jobs, 4u);
  EXPECT_DOUBLE_EQ(m.avebsld, (1 + 10.9 + 1 + 137.0 / 30) / 4);
  EXPECT_DOUBLE_EQ(m.mean_wait_s, 206.0 / 4);
  EXPECT_EQ(m.median_wait_s, 0);
  EXPECT_EQ(m.p95_wait_s, 107);
  EXPECT_EQ(m.max_wait_s, 107);
  EXPECT_EQ(m.max_wait_job, 4u);
  EXPECT_EQ(m.makespan_s, 140);
  EXPECT_DOUBLE_EQ(m.utilization, (300 + 40 + 50 + 30) / (4.0 * 140));
  // One processor from 1 to 2 and from 52 to 100, while at least one job waited.
  EXPECT_DOUBLE_EQ(m.fragmentation, 49 / (4.0 * 140));
  EXPECT_EQ(played.passes, 8u);
  EXPECT_EQ(played.history.front().at, 0);
  EXPECT_EQ(played.history.front().cpus_busy, 3u);
  EXPECT_EQ(played.history.back().cpus_busy, 0u);
}

TEST(Simulation, short_jobs_are_bounded) {
  const auto w = workload({{1, 0, 100, 100, 1}, {2, 0, 0, 1, 1}});
  const auto played = play_on(1, w, "easy");
  EXPECT_EQ(played.wait, (Waits{0, 100}));
  EXPECT_DOUBLE_EQ(measure(w, machine(1, {}), played).avebsld, (1 + 10) / 2.0);
}

TEST(Simulation, what_can_never_run_is_left_out) {
  const auto w = workload({{1, 0, 5, 5, 9}, {2, 0, 5, 5, 8}});
  const auto played = play_on(8, w, "easy");
  EXPECT_EQ(played.wait, (Waits{Played::kNever, 0}));
  EXPECT_EQ(played.too_large, 1u);
  EXPECT_EQ(played.too_large_why.substr(0, 6), "job 1:");
  const auto m = measure(w, machine(8, {}), played);
  EXPECT_EQ(m.jobs, 1u);
  EXPECT_EQ(m.never_started, 0u);
}

TEST(Simulation, comparing_counts_who_gains) {
  const auto easy = play_on(4, easy_example(), "easy"), exact = play_on(4, easy_example(), "easy-exact");
  const auto change = compare_waits(easy, exact);
  EXPECT_EQ(change.sooner, 1u);
  EXPECT_EQ(change.later, 0u);
  EXPECT_EQ(change.same, 3u);
}

Result<Site> site_of_text(const std::string& text, const Rules& rules = {}) {
  auto config = parse_config_bundle("ClusterName=c\nCtldHost=h\nBaiUser=0\n" + text, "test");
  if (!config.ok()) return config.error();
  return site_of(*config, rules);
}

TEST(Site, a_configuration_gives_nodes_and_partitions) {
  auto site = site_of_text(
      "NodeName=n[1-3] CPUs=2 RealMemory=1000\nNodeName=n4 CPUs=64 State=DOWN Reason=x\n"
      "PartitionName=day Nodes=n[1-2] Default=YES\nPartitionName=night Nodes=n[1-3]\n");
  ASSERT_TRUE(site.ok()) << site.error().text();
  EXPECT_EQ(site->cpus, 6u);
  EXPECT_TRUE(site->memory);
  const auto on = [&](Shape shape, std::uint32_t tasks) {
    return play(workload({{1, 0, 5, 5, tasks}}, std::move(shape)), *site, false, false).too_large == 0;
  };
  EXPECT_TRUE(on({}, 4));
  EXPECT_FALSE(on({}, 5));
  Shape night;
  night.partition = "night";
  EXPECT_TRUE(on(night, 6));
  Shape large;
  large.mem_mib = 501;  // two of them are more than a node has
  EXPECT_TRUE(on(large, 2));
  EXPECT_FALSE(on(large, 3));
}

TEST(Site, a_node_must_say_how_large_it_is) {
  EXPECT_FALSE(site_of_text("NodeName=n1\nPartitionName=p Nodes=n1 Default=YES\n").ok());
  EXPECT_FALSE(site_of_text("").ok());
}

TEST(Site, unknown_policies_and_placements_are_refused) {
  EXPECT_FALSE(parse_rules("easier").ok());
  EXPECT_FALSE(read_placement("somewhere").ok());
  EXPECT_TRUE(parse_rules("EASY-SJBF").ok());
}

// ---- fill

Workload pods(std::size_t count, Shape shape) {
  std::vector<TraceJob> jobs(count);
  for (std::size_t i = 0; i < count; ++i) jobs[i].id = i;
  return workload(std::move(jobs), std::move(shape));
}
Shape gpu(std::uint32_t milli, std::uint64_t cpu_milli = 100, std::uint32_t gpus = 1,
          std::string_view models = {}) {
  return {cpu_milli, 1, gpus, milli, models, {}};
}
Site gpu_site(std::vector<OpenbNode> nodes) {
  Rules rules;
  rules.policy = SchedulingPolicy::kFcfs;
  return site_of(nodes, rules);
}

TEST(Fill, the_order_follows_from_the_seed) {
  const auto w = pods(6, gpu(1000));
  EXPECT_EQ(fill_order(w, 8000, 42), (std::vector<std::uint32_t>{2, 5, 3, 1, 0, 4, 5, 1, 4, 2, 3}));
  EXPECT_EQ(fill_order(w, 8000, 43), (std::vector<std::uint32_t>{5, 0, 2, 1, 3, 4, 0, 1, 5, 3, 1}));
}

TEST(Fill, what_does_not_fit_is_dropped) {
  const auto site = gpu_site({{"a", 64000, 1000, 2, "T4"}});
  const auto all = fill_once(site, pods(1, gpu(1000)), 42);
  EXPECT_EQ(all.tasks, 3u);
  EXPECT_EQ(all.dropped, 1u);
  EXPECT_EQ(all.at_100, 2000u);
  EXPECT_EQ(all.at_130, 2000u);
  const auto cpu_bound = fill_once(site, pods(1, gpu(1000, 40000)), 42);
  EXPECT_EQ(cpu_bound.at_100, 1000u);
  const auto other_model = fill_once(site, pods(1, gpu(1000, 100, 1, "A100|V100")), 42);
  EXPECT_EQ(other_model.at_130, 0u);
  EXPECT_EQ(fill_once(site, pods(1, gpu(1000, 100, 1, "A100|T4")), 42).at_130, 2000u);
}

TEST(Fill, shares_of_a_gpu_are_of_one_gpu) {
  // Two GPUs hold one task of 0.6 each, whatever is left over.
  const auto filled = fill_once(gpu_site({{"a", 64000, 1000, 2, "T4"}}), pods(1, gpu(600)), 42);
  EXPECT_EQ(filled.at_130, 1200u);
  EXPECT_EQ(filled.tasks, 5u);
}

TEST(Fill, nothing_to_fill_is_an_error) {
  EXPECT_FALSE(check_fill(gpu_site({{"a", 64000, 1000, 0, ""}}), pods(1, gpu(1000))).ok());
  EXPECT_FALSE(check_fill(gpu_site({{"a", 64000, 1000, 1, ""}}), pods(1, {})).ok());
  EXPECT_TRUE(check_fill(gpu_site({{"a", 64000, 1000, 1, ""}}), pods(1, gpu(1000))).ok());
}

// ---- plot

TEST(Plot, names_cannot_break_the_picture) {
  const auto played = play_on(4, easy_example(), "easy");
  const auto svg = plot("a<b>&\x01", 0, {{"\"x\"<y>", &played, 4}});
  EXPECT_NE(svg.find("a&lt;b&gt;&amp;\\x01"), svg.npos);
  EXPECT_EQ(svg.find("<y>"), svg.npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(Plot, the_busier_one_is_higher) {
  // One processor of two, all the time: the curve of use is one line in the middle of its panel.
  const auto w = workload({{1, 0, 1000, 1000, 1}});
  const auto half = play_on(2, w, "easy"), whole = play_on(1, w, "easy");
  const auto path = [](const std::string& svg) { return svg.substr(svg.find("<path d=\"M") + 9, 30); };
  const auto a = path(plot("t", 0, {{"h", &half, 2}})), b = path(plot("t", 0, {{"w", &whole, 1}}));
  const auto height = [](const std::string& d) { return std::stod(d.substr(d.find(' ') + 1)); };
  EXPECT_NEAR(height(a) - height(b), 75, 0.1);
}

TEST(Plot, nothing_is_a_picture_too) { EXPECT_TRUE(plot("t", 0, {}).ends_with("</svg>\n")); }

}  // namespace
}  // namespace bai::sim
