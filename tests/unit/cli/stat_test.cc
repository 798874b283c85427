#include "cli/stat.h"

#include <gtest/gtest.h>

namespace bai::cli {
namespace {

UseFigure figure(std::uint64_t total, std::uint64_t most, std::uint64_t least, std::uint32_t most_task,
                 std::uint32_t least_task) {
  return {total, most, least, most_task, least_task};
}

wire::StepUse step_on_two_nodes() {
  wire::StepUse step;
  step.job = 1;
  step.step = 1;
  step.tasks = 4;
  step.nodes = {{"n1", "", {}}, {"n2", "", {}}};
  LiveUse& a = step.nodes[0].use;
  LiveUse& b = step.nodes[1].use;
  a.tasks = b.tasks = 2;
  a.cpu_us = figure(4'900'000, 2'500'000, 2'400'000, 1, 0);
  b.cpu_us = figure(9'100'000, 7'000'000, 2'100'000, 2, 3);
  a.rss_kib = figure(2 * 74848, 74888, 74000, 0, 1);
  b.rss_kib = figure(2 * 74848, 74860, 70000, 3, 2);
  a.vm_kib = b.vm_kib = figure(2 * 78012, 78012, 78012, 0, 0);
  a.read_bytes = figure(2 * 2048, 2048, 2048, 0, 1);
  b.read_bytes = figure(2 * 2048, 3 * 1024 * 512, 1, 2, 3);
  a.pages = figure(3, 2, 1, 1, 0);
  a.pids = {100, 101};
  b.pids = {200};
  return step;
}

std::string row(const wire::StepUse& step, std::string_view format, bool convert = true) {
  std::string out;
  auto columns = parse_print_format<StatRow>(format, stat_fields());
  EXPECT_TRUE(columns.ok());
  put_print_row(out, *columns, stat_row(step, convert), PrintStyle::kParsable2, "|");
  return out;
}

TEST(Stat, FiguresOfAllNodesAreOneRow) {
  const auto step = step_on_two_nodes();
  EXPECT_EQ(row(step, "jobid,ntasks,avecpu,mincpu,mincpunode,mincputask"), "1.1|4|00:00:03|00:00:02|n2|3\n");
  EXPECT_EQ(row(step, "averss,maxrss,maxrssnode,maxrsstask"), "74848K|74888K|n1|0\n");
  EXPECT_EQ(row(step, "maxdiskread,maxdiskreadnode,maxdiskreadtask,avediskread"), "1.50M|n2|2|2K\n");
  EXPECT_EQ(row(step, "maxdiskread,averss", false), "1572864|76644352\n");
  EXPECT_EQ(row(step, "maxpages,avepages,nodelist,pids"), "2|0|n[1-2]|100,101,200\n");
  EXPECT_EQ(row(step, "tresusageinmax"),
            "cpu=00:00:07,energy=0,fs/disk=1.50M,mem=74888K,pages=2,vmem=78012K\n");
  EXPECT_EQ(
      row(step, "tresusageinmaxnode,tresusageinmaxtask"),
      "cpu=n2,energy=n1,fs/disk=n2,mem=n1,pages=n1,vmem=n1|cpu=00:00:02,fs/disk=2,mem=0,pages=1,vmem=0\n");
  EXPECT_EQ(row(step, "tresusageoutmax,tresusageoutmaxtask"), "energy=0,fs/disk=0|fs/disk=0\n");
  EXPECT_EQ(row(step, "reqcpufreqmin,avecpufreq,consumedenergy"), "Unknown|0|0\n");
}

TEST(Stat, ANodeWithoutAnAnswerAddsNothing) {
  auto step = step_on_two_nodes();
  step.nodes[0].missing = "not responding";
  EXPECT_EQ(row(step, "ntasks,maxrss,maxrssnode,mincpunode"), "2|74860K|n2|n2\n");
}

TEST(Stat, StepsOfArraysAreNamedByTheirTask) {
  wire::StepUse step;
  step.job = 9;
  step.array_job = 7;
  step.array_task = 2;
  step.step = kBatchStep;
  EXPECT_EQ(stat_step_name(step), "7_2.batch");
  step.array_task = kNoTask;
  EXPECT_EQ(stat_step_name(step), "9.batch");
}

}  // namespace
}  // namespace bai::cli
