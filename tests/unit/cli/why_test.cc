// What bai-why prints, and what --sweep takes.
#include "cli/why.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "cli/submit_options.h"
#include "cli/sweep.h"

namespace bai::cli {
namespace {

constexpr Time kNow = Time::from_seconds(1'800'000'000);

struct Why : ::testing::Test {
  wire::WhyReply reply;
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
    Job job;
    job.id = 7;
    auto spec = std::make_shared<JobSpec>();
    spec->name = "train";
    spec->user = "ada";
    job.spec = spec;
    set(job);
    Explanation e;
    e.asks = "--nodes=2";
    e.reason = Reason::kResources;
    e.startable = true;
    reply.explanation = e;
  }
  void set(const Job& job) {
    wire::JobTableBuilder rows;
    rows.add(job, 3600);
    reply.table = rows.take();
    reply.now = kNow;
  }
  std::string text() { return why_text(reply); }
};

TEST_F(Why, says_what_holds_it_and_until_when) {
  auto& e = *reply.explanation;
  e.detail = "next on n[3-4]";
  e.places = {
      {"main", Reason::kNone, "", 2, 9, 1, 1, 5, 1, 1, 3, 4, {{"memory", 1}}, {{"CPUs", 4}, {"GPUs", 1}}}};
  e.ahead = 7;
  e.first_ahead = {1, 2, 3, 4, 5};
  e.blocking = 6;
  e.blockers = {{5, kNow + 1500, "n3"}, {6, Time{}, "n4"}};
  e.planned = true;
  e.start = kNow + 1500;
  e.nodes = "n[3-4]";
  e.estimates = {212, -180, -3600, 90};
  e.what_if = {{"--time=3:10:00", kNow, true}, {"--partition=short", kNow + 240, false}};
  EXPECT_EQ(
      text(),
      "Job 7 'train' of ada waits: Resources (next on n[3-4]).\n"
      "Asks for   --nodes=2\n"
      "Nodes      partition main: needs 2 nodes of 9; 1 cannot hold it (lacking memory on 1), 1 is down or\n"
      "           drained, 5 are busy (lacking CPUs on 4, GPUs on 1), 1 is kept for jobs in front, 1 has\n"
      "           room now for 3 of 4 tasks\n"
      "In front   7 jobs for the same partitions: 1, 2, 3, 4, 5, ...\n"
      "Waits for  the ends of 6 running jobs: 5 on n3, by 2027-01-15T08:25:00; 6 on n4, which has no limit;\n"
      "           and earlier ones\n"
      "Start      planned for 2027-01-15T08:25:00 (in 25 min), on n[3-4]. Of 212 first estimates the median\n"
      "           was 3 min early; nine of ten lay between 1 h early and 1 min late.\n"
      "Sooner     --time=3:10:00: now\n"
      "           --partition=short: 2027-01-15T08:04:00 (in 4 min)\n");
}

TEST_F(Why, says_when_nothing_is_known) {
  EXPECT_NE(text().find("In front   no job"), std::string::npos);
  EXPECT_NE(text().find("Start      nobody knows when.\n"), std::string::npos);
  EXPECT_EQ(text().find("Sooner"), std::string::npos);
}

TEST_F(Why, says_never_with_the_reason) {
  reply.explanation->places = {{"main",
                                Reason::kPartitionTimeLimit,
                                "the partition's limit is 1:00:00",
                                1,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                {},
                                {}}};
  EXPECT_NE(text().find("partition main: never, PartitionTimeLimit: the partition's limit is 1:00:00"),
            std::string::npos);
}

TEST_F(Why, says_who_holds_it) {
  Job job;
  job.id = 7;
  job.hold = Hold::kUser;
  job.spec = std::make_shared<JobSpec>();
  set(job);
  reply.explanation->startable = false;
  reply.explanation->reason = Reason::kJobHeldUser;
  EXPECT_NE(text().find("Held by    its owner; bai-control release 7 lets it go"), std::string::npos)
      << text();
}

TEST_F(Why, of_a_job_that_does_not_wait) {
  reply.explanation.reset();
  EXPECT_EQ(text(), "Job 7 'train' of ada has just come; the scheduler has not looked at it yet.\n");
  Job job;
  job.id = 7;
  job.state = JobState::kRunning;
  auto spec = std::make_shared<JobSpec>();
  spec->name = "train";
  spec->user = "ada";
  job.spec = spec;
  set(job);
  EXPECT_EQ(text(), "Job 7 'train' of ada does not wait: it is RUNNING.\n");
  EXPECT_NE(why_json(reply).find("\"explanation\":null"), std::string::npos);
}

TEST_F(Why, lines_keep_to_the_screen) {
  for (int i = 0; i < 30; ++i) reply.explanation->asks += " --option-" + std::to_string(i) + "=some-value";
  std::size_t from = 0, longest = 0;
  const std::string all = text();
  while (from < all.size()) {
    const auto end = all.find('\n', from);
    longest = std::max(longest, end - from);
    from = end + 1;
  }
  EXPECT_LE(longest, 100u);
  EXPECT_GT(longest, 80u);
}

std::string values(const std::string& text) {
  static const OptionTable table = submit_table(Dialect::of("bai-submit"));
  auto sweep = parse_sweep(text, table);
  if (!sweep.ok()) return sweep.error().message;
  std::string out = sweep->option->name;
  for (const auto& value : sweep->values) out += " " + value;
  return out;
}

TEST(Sweeps, values_between_both_ends) {
  EXPECT_EQ(values("nodes=1..4"), "nodes 1 2 3 4");
  EXPECT_EQ(values("nodes=1..8,3"), "nodes 1 4 7");
  EXPECT_EQ(values("cpus=2..3"), "cpus-per-task 2 3");
  EXPECT_EQ(values("time=1:00:00..3:00:00,60"), "time 01:00:00 02:00:00 03:00:00");
  EXPECT_EQ(values("mem=1G..3G,1G"), "mem 1G 2G 3G");
  EXPECT_EQ(values("ntasks=1..100"), "ntasks 1 8 15 22 29 36 43 50 57 64 71 78 85 92 99") << "at most 16";
  EXPECT_EQ(values("nodes=5..5"), "nodes 5");
}

TEST(Sweeps, what_cannot_be_swept) {
  EXPECT_EQ(values("nodes"), "no '=' in --sweep=nodes");
  EXPECT_EQ(values("nodes=4"), "no '..' in --sweep=nodes=4");
  EXPECT_EQ(values("nodes=4..1"), "a range that goes down in --sweep=nodes=4..1");
  EXPECT_EQ(values("nodes=1..4,0"), "a step of nothing in --sweep=nodes=1..4,0");
  EXPECT_EQ(values("nodes=1..1000,1"), "more than 100 values in --sweep=nodes=1..1000,1");
  EXPECT_EQ(values("nosuch=1..2"), "no option 'nosuch' to vary in --sweep=nosuch=1..2");
  EXPECT_EQ(values("exclusive=1..2"), "no option 'exclusive' to vary in --sweep=exclusive=1..2");
  EXPECT_NE(values("nodes=a..b").find("in --sweep=nodes=a..b"), std::string::npos);
}

}  // namespace
}  // namespace bai::cli
