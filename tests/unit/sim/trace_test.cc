// Readers of traces: what is taken from a line, and what becomes of lines that are broken.
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <fstream>

#include "sim/openb.h"
#include "sim/swf.h"

namespace bai::sim {
namespace {

class Trace : public testing::Test {
 protected:
  Trace() {
    char name[] = "/tmp/bai-trace-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Trace() override {
    for (const auto& file : files_) unlink(file.c_str());
    rmdir(path_.c_str());
  }
  std::string file(const std::string& name, const std::string& text) {
    files_.push_back(path_ + "/" + name);
    std::ofstream(files_.back(), std::ios::binary) << text;
    return files_.back();
  }
  std::string zipped(const std::string& name, const std::string& text, std::size_t without = 0) {
    const auto path = file(name, "");
    gzFile out = gzopen(path.c_str(), "wb");
    gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
    gzclose(out);
    if (without) {
      std::ifstream in(path, std::ios::binary);
      std::string bytes((std::istreambuf_iterator<char>(in)), {});
      std::ofstream(path, std::ios::binary) << bytes.substr(0, bytes.size() - without);
    }
    return path;
  }
  std::string path_;
  std::vector<std::string> files_;
};

// id submit wait run used avg mem requested time memory status user group exe queue partition before think
std::string line(int id, int submit, int run, int used, int requested, int estimate, int user = 1,
                 const std::string& memory = "-1", int queue = -1, int partition = -1) {
  char buf[256];
  snprintf(buf, sizeof buf, "%d %d -1 %d %d -1 -1 %d %d %s 1 %d 1 -1 %d %d -1 -1\n", id, submit, run, used,
           requested, estimate, memory.c_str(), user, queue, partition);
  return buf;
}

TEST_F(Trace, a_line_becomes_a_job) {
  auto w = read_trace(
      file("t", "; MaxProcs: 64\n; UnixStartTime: 843480031\n;\n" + line(7, 100, 50, 3, 4, 60, 9)), true);
  ASSERT_TRUE(w.ok()) << w.error().text();
  EXPECT_EQ(w->max_procs, 64u);
  EXPECT_EQ(w->unix_start, 843480031);
  ASSERT_EQ(w->jobs.size(), 1u);
  const auto& job = w->jobs[0];
  EXPECT_EQ(job.id, 7u);
  EXPECT_EQ(job.submit, 100);
  EXPECT_EQ(job.run, 50);
  EXPECT_EQ(job.tasks, 4u);
  EXPECT_EQ(job.estimate, 60);
  EXPECT_EQ(job.user, 9u);
}

TEST_F(Trace, what_is_not_requested_is_what_was_used) {
  auto w = read_trace(file("t", line(1, 0, 50, 3, -1, -1) + line(2, 0, 0, 3, 0, 0)), true);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->jobs[0].tasks, 3u);
  EXPECT_EQ(w->jobs[0].estimate, 50);
  EXPECT_EQ(w->jobs[1].run, 0);
  EXPECT_EQ(w->jobs[1].estimate, 1);
}

TEST_F(Trace, a_run_is_cut_at_its_estimate) {
  auto w = read_trace(file("t", line(1, 0, 500, 1, 1, 60)), true);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->jobs[0].run, 60);
}

TEST_F(Trace, jobs_that_never_ran_are_counted_and_left_out) {
  auto w = read_trace(
      file("t", line(1, 0, -1, 1, 1, 60) + line(2, 0, 5, 0, -1, 60) + line(3, 0, 5, 1, 1, 60)), true);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->without_run, 2u);
  EXPECT_EQ(w->broken.count, 0u);
  EXPECT_EQ(w->jobs.size(), 1u);
}

TEST_F(Trace, jobs_come_by_submission_then_number) {
  auto w =
      read_trace(file("t", line(3, 10, 5, 1, 1, 9) + line(2, 10, 5, 1, 1, 9) + line(9, 5, 5, 1, 1, 9)), true);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->jobs[0].id, 9u);
  EXPECT_EQ(w->jobs[1].id, 2u);
  EXPECT_EQ(w->jobs[2].id, 3u);
}

TEST_F(Trace, decimals_are_cut_off_and_memory_is_rounded_up) {
  auto w = read_trace(file("t", "1 0.9 -1 50.7 1 49.5 -1 1 60 1025 1 1 1 -1 -1 -1 -1 -1\r\n"), true);
  ASSERT_TRUE(w.ok()) << w.error().text();
  EXPECT_EQ(w->jobs[0].submit, 0);
  EXPECT_EQ(w->jobs[0].run, 50);
  EXPECT_EQ(w->shapes[w->jobs[0].shape].mem_mib, 2u);
}

TEST_F(Trace, partitions_have_the_names_of_the_header) {
  auto w =
      read_trace(file("t", "; Queue: 2 night\n; Partition: 1 gpu (the large one)\n" +
                               line(1, 0, 5, 1, 1, 9, 1, "-1", 2) + line(2, 0, 5, 1, 1, 9, 1, "-1", 2, 1) +
                               line(3, 0, 5, 1, 1, 9, 1, "-1", 7)),
                 true);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->shapes[w->jobs[0].shape].partition, "night");
  EXPECT_EQ(w->shapes[w->jobs[1].shape].partition, "gpu");
  EXPECT_TRUE(w->shapes[w->jobs[2].shape].partition.empty());
}

TEST_F(Trace, broken_lines_are_named_and_left_out) {
  const auto path =
      file("t", line(1, 0, 5, 1, 1, 9) + "2 0 5\n" + "x" + line(3, 0, 5, 1, 1, 9) + line(4, -7, 5, 1, 1, 9) +
                    line(-5, 0, 5, 1, 1, 9) + line(6, 0, 5, 1, 1, 9, 1, "1e300") +
                    line(7, 0, 5, 1, 1, 9, 1, "nan") + line(8, 0, 5, 1, 1, 9));
  auto w = read_trace(path, false);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->jobs.size(), 2u);
  ASSERT_EQ(w->broken.count, 6u);
  EXPECT_EQ(w->broken.first[0], path + ":2: it has 3 fields, not 18");
  EXPECT_EQ(w->broken.first[1], path + ":3: 'x3' is no number for field 1");
  EXPECT_EQ(w->broken.first[2], path + ":4: it was submitted before the trace began");
  EXPECT_EQ(w->broken.first[3], path + ":5: its number is negative");
  EXPECT_EQ(w->broken.first[4], path + ":6: '1e300' is no number for field 10");
  EXPECT_EQ(w->broken.first[5], path + ":7: 'nan' is no number for field 10");
  auto strict = read_trace(path, true);
  ASSERT_FALSE(strict.ok());
  EXPECT_EQ(strict.error().code, "bad_trace");
  EXPECT_EQ(strict.error().place, path + ":2");
}

TEST_F(Trace, many_broken_lines_are_counted_and_the_first_are_told) {
  std::string text = line(1, 0, 5, 1, 1, 9);
  for (int i = 0; i < 1000; ++i) text += "nonsense\n";
  auto w = read_trace(file("t", text), false);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->broken.count, 1000u);
  EXPECT_EQ(w->broken.first.size(), Broken::kTold);
}

TEST_F(Trace, a_line_without_end_is_one_broken_line) {
  const auto path =
      file("t", line(1, 0, 5, 1, 1, 9) + std::string(3 << 20, '1') + "\n" + line(2, 0, 5, 1, 1, 9));
  auto w = read_trace(path, false);
  ASSERT_TRUE(w.ok()) << w.error().text();
  EXPECT_EQ(w->jobs.size(), 2u);
  ASSERT_EQ(w->broken.count, 1u);
  EXPECT_EQ(w->broken.first[0], path + ":2: it is too long");
}

TEST_F(Trace, lines_of_every_length_around_the_limit_are_read_whole_or_told) {
  for (std::size_t length = Lines::kMaxLine - 3; length < Lines::kMaxLine + 4; ++length) {
    auto lines = Lines::open(file("t", std::string(length, 'a') + "\nnext"));
    ASSERT_TRUE(lines.ok());
    std::string_view text;
    ASSERT_TRUE(lines->next(text));
    EXPECT_EQ(text.size(), std::min(length, Lines::kMaxLine));
    EXPECT_EQ(lines->too_long(), length > Lines::kMaxLine) << length;
    ASSERT_TRUE(lines->next(text));
    EXPECT_EQ(text, "next");
    EXPECT_EQ(lines->number(), 2u);
    EXPECT_FALSE(lines->next(text));
  }
}

TEST_F(Trace, gzip_is_read_as_it_is) {
  std::string text;
  for (int i = 1; i <= 20000; ++i) text += line(i, i, 5, 1, 1, 9);
  auto w = read_trace(zipped("t.gz", text), true);
  ASSERT_TRUE(w.ok()) << w.error().text();
  EXPECT_EQ(w->jobs.size(), 20000u);
}

TEST_F(Trace, a_gzip_file_that_was_cut_is_an_error) {
  std::string text;
  for (int i = 1; i <= 20000; ++i) text += line(i, i * 7919 % 10007, 5, 1, 1, 9);
  auto w = read_trace(zipped("t.gz", text, 1000), false);
  ASSERT_FALSE(w.ok());
  EXPECT_EQ(w.error().code, "bad_file");
}

TEST_F(Trace, no_file_and_no_jobs_are_errors) {
  auto none = read_trace(path_ + "/none", false);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, "no_file");
  for (const char* text : {"", "\n\n", "; MaxProcs: 3\n", "hello\n"}) {
    auto empty = read_trace(file("t", text), false);
    ASSERT_FALSE(empty.ok());
    EXPECT_EQ(empty.error().code, "bad_trace");
  }
}

constexpr const char* kPods =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,"
    "scheduled_time\n";

TEST_F(Trace, pods_are_jobs_of_one_task) {
  auto w = read_trace(
      file("pods.csv", std::string(kPods) + "openb-pod-0017,6500,12288,1,460,,LS,Running,100,900,300\n" +
                           "openb-pod-0003,12000,0,2,1000,V100M16|V100M32,LS,Running,50,60,\n" +
                           "openb-pod-0004,12000,0,0,0,,LS,Pending,70,,\n"),
      true);
  ASSERT_TRUE(w.ok()) << w.error().text();
  ASSERT_EQ(w->jobs.size(), 3u);
  EXPECT_EQ(w->jobs[0].id, 3u);
  const auto& shape = w->shapes[w->jobs[0].shape];
  EXPECT_EQ(shape.gpus, 2u);
  EXPECT_EQ(shape.gpu_models, "V100M16|V100M32");
  EXPECT_EQ(w->jobs[0].run, 10);
  EXPECT_EQ(w->jobs[1].run, 0);
  EXPECT_EQ(w->jobs[1].estimate, 1);
  EXPECT_EQ(w->jobs[2].id, 17u);
  EXPECT_EQ(w->jobs[2].submit, 100);
  EXPECT_EQ(w->jobs[2].run, 600);
  EXPECT_EQ(w->shapes[w->jobs[2].shape], (Shape{6500, 12288, 1, 460, {}, {}}));
}

TEST_F(Trace, broken_pods_are_named) {
  const auto path = file("pods.csv", std::string(kPods) + "a,1000,1,1,1000,,,,0,0,0\n" + "b,1000,1\n" +
                                         "c,-5,1,1,1000,,,,0,0,0\n" + "d,1000,1,1,2000,,,,0,0,0\n" +
                                         "e,1000,1,1,0,,,,0,0,0\n" + "f,1000,1,4,500,,,,0,0,0\n");
  auto w = read_trace(path, false);
  ASSERT_TRUE(w.ok());
  EXPECT_EQ(w->jobs.size(), 1u);
  ASSERT_EQ(w->broken.count, 5u);
  EXPECT_EQ(w->broken.first[0], path + ":3: it has 3 columns, not 11");
  EXPECT_EQ(w->broken.first[1], path + ":4: '-5' is no cpu_milli");
  EXPECT_EQ(w->broken.first[2], path + ":5: '2000' is no gpu_milli");
  EXPECT_FALSE(read_trace(path, true).ok());
}

TEST_F(Trace, nodes_are_read_in_their_order) {
  auto nodes = read_openb_nodes(
      file("nodes.csv", "sn,cpu_milli,memory_mib,gpu,model\nb,64000,262144,2,P100\na,96000,1024,0,\n"), true);
  ASSERT_TRUE(nodes.ok()) << nodes.error().text();
  ASSERT_EQ(nodes->nodes.size(), 2u);
  EXPECT_EQ(nodes->nodes[0].name, "b");
  EXPECT_EQ(nodes->nodes[0].model, "P100");
  EXPECT_EQ(nodes->nodes[1].cpu_milli, 96000u);
  EXPECT_FALSE(read_openb_nodes(file("other", line(1, 0, 5, 1, 1, 9)), false).ok());
}

}  // namespace
}  // namespace bai::sim
