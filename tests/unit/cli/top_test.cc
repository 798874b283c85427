#include "cli/top.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace bai::cli {
namespace {

struct Fixture {
  wire::JobTable table;
  TopData data;

  void job(JobId id, JobState state, Time expected = {}) {
    Job job;
    job.id = id;
    job.state = state;
    job.expected_start = expected;
    job.priority = 100 + id;
    JobSpec spec;
    spec.name = "job" + std::to_string(id);
    spec.user = "ada";
    spec.partition = "main";
    job.spec = std::make_shared<const JobSpec>(spec);
    builder.add(job, 3600, "");
  }
  void done() {
    table = builder.take();
    data.now = Time::from_seconds(1'700'000'000);
    data.cluster = "blue";
    for (const auto& row : table.rows) data.jobs.push_back({&table, &row, data.now, kNoTask});
    Node node;
    node.name = "n1";
    node.condition = NodeCondition::kUp;
    node.responding = true;
    node.declared.cpus = 8;
    node.cpus_used = 4;
    data.nodes = {node};
  }
  wire::JobTableBuilder builder;
};

std::string all(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += line + "\n";
  return out;
}

TEST(Top, draws_exactly_the_screen) {
  Fixture f;
  for (JobId id = 1; id <= 50; ++id) f.job(id, JobState::kPending);
  f.done();
  for (std::size_t height : {2, 6, 24, 60})
    for (std::size_t width : {10, 80, 200}) {
      const auto lines = draw_top({}, f.data, {height, width});
      EXPECT_EQ(lines.size(), height);
      for (const auto& line : lines) EXPECT_LE(display_width(line), width);
    }
}

TEST(Top, running_jobs_come_first_and_what_is_selected_is_seen) {
  Fixture f;
  f.job(1, JobState::kPending);
  f.job(2, JobState::kRunning);
  f.job(3, JobState::kPending);
  f.done();
  TopState state;
  auto lines = draw_top(state, f.data, {24, 100});
  EXPECT_NE(lines[0].find("1 running, 2 waiting"), std::string::npos);
  EXPECT_EQ(lines[4].substr(0, 2), ">2");
  EXPECT_EQ(lines[5].substr(0, 2), " 3") << "the higher priority";
  top_key(state, "j", f.data, 10);
  top_key(state, "\x1b[B", f.data, 10);
  top_key(state, "j", f.data, 10);
  EXPECT_EQ(state.selected, 2u) << "not beyond the last";
  lines = draw_top(state, f.data, {7, 100});
  EXPECT_NE(all(lines).find(">1"), std::string::npos);
}

TEST(Top, next_starts_are_in_their_order) {
  Fixture f;
  f.job(1, JobState::kPending);
  f.job(2, JobState::kPending, Time::from_seconds(1'700'000'600));
  f.job(3, JobState::kPending, Time::from_seconds(1'700'000'060));
  f.job(4, JobState::kRunning);
  f.done();
  TopState state;
  top_key(state, "3", f.data, 10);
  const auto lines = draw_top(state, f.data, {24, 100});
  EXPECT_EQ(lines[4].substr(0, 2), ">3");
  EXPECT_NE(lines[4].find("in 1:00"), std::string::npos) << lines[4];
  EXPECT_EQ(lines[5].substr(0, 2), " 2");
  EXPECT_EQ(lines[6].substr(0, 2), " 1");
  EXPECT_EQ(lines[7], "");
}

TEST(Top, a_job_has_a_page_with_its_output) {
  Fixture f;
  f.job(7, JobState::kRunning);
  f.done();
  f.data.output = {"epoch 1\x1b[2J", "epoch 2"};
  wire::StepUse use;
  use.job = 7;
  use.step = 3;
  use.cpus = 2;
  use.started = f.data.now - 10;
  use.nodes = {{"n1", "", {}}, {"n2", "not responding", {}}};
  use.nodes[0].use.tasks = 2;
  use.nodes[0].use.cpu_us.total = 15'000'000;
  use.nodes[0].use.rss_kib = {2048, 1500, 500, 1, 0};
  f.data.use = {use};
  TopState state;
  top_key(state, "\r", f.data, 10);
  EXPECT_EQ(state.page, TopPage::kJob);
  EXPECT_EQ(state.job, 7u);
  const std::string text = all(draw_top(state, f.data, {24, 100}));
  EXPECT_NE(text.find("epoch 2"), std::string::npos);
  EXPECT_NE(text.find("  7.3          2     00:00:15   75%   2048K    1500K    0B       0B       1 of 2"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << "a job's output draws nothing by itself";
  top_key(state, "\x1b", f.data, 10);
  EXPECT_EQ(state.page, TopPage::kQueue);
  top_key(state, "q", f.data, 10);
  EXPECT_TRUE(state.quit);
}

}  // namespace
}  // namespace bai::cli
