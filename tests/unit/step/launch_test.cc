#include "step/launch.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "step/record.h"

namespace bai::step {
namespace {

StepLaunch full() {
  StepLaunch l;
  l.cluster = "5e0cd0ea-7b17-4b6c-9a0b-3f2d3bb1a6f1";
  l.job_id = 4711;
  l.attempt = 2;
  l.step = "batch";
  l.node = "n1";
  l.boot_id = "4109bfd5-d12e-4745-a825-73b60ea10e03";
  l.mark = "00112233445566778899aabbccddeeff";
  l.uid = 1000;
  l.gid = 100;
  l.groups = {100, 27, 4000000000u};
  l.user = "alice";
  l.home = "/home/alice";
  l.shell = "/bin/bash";
  l.as_root = true;
  l.umask = 027;
  l.rlimits = {{RLIMIT_NOFILE, 1024, 4096}, {RLIMIT_CORE, 0, UINT64_MAX}};
  l.script = std::string("#!/bin/sh\necho \0 hello\n", 23);
  l.argv = {"job.sh", "", "a b"};
  l.env = {"PATH=/bin", "EMPTY="};
  l.workdir = "/home/alice/work";
  l.stdin_path = "in";
  l.stdout_path = "/home/alice/out";
  l.stderr_path = "/home/alice/err";
  l.open_mode = OpenMode::kAppend;
  l.time_limit_s = 3600;
  l.kill_wait_s = 10;
  l.deadline_us = 1'800'000'000'000'000;
  l.warning_signal = 10;
  l.warning_before_s = 120;
  l.warning_to_batch_only = true;
  l.leftover_grace_ms = 1500;
  l.unkillable_after_s = 90;
  l.cgroups = {"/sys/fs/cgroup/bai/n1", "/sys/fs/cgroup/freezer/bai/n1"};
  return l;
}

// A step of two tasks on the second of two nodes.
StepLaunch with_tasks() {
  StepLaunch l = full();
  l.step = "0";
  l.script.clear();
  l.stdin_path = l.stdout_path = l.stderr_path = "";
  l.tasks = {{2, 0, {"SLURM_PROCID=2"}, {}, std::string("\x05\x00", 2), "", "", "", ""},
             {3, 1, {"SLURM_PROCID=3", "X="}, {"other", ""}, "", "/dev/null", "out.3", "err.3", ""}};
  l.streams.clients = {"10.0.0.1:4711", "[::1]:4711"};
  l.streams.key = std::string(kStreamKeyBytes, '\0');
  l.streams.node_index = 1;
  l.streams.node_count = 2;
  l.streams.task_count = 4;
  l.streams.rank_nodes = {0, 0, 1, 1};
  l.streams.node_names = {"n1", "n2"};
  l.streams.pty = l.streams.unbuffered = true;
  l.streams.pty_rows = 24;
  l.streams.pty_columns = 80;
  l.streams.mpi = MpiKind::kPmi1;
  l.streams.kill_on_bad_exit = l.streams.detach = true;
  l.streams.wait_s = 30;
  l.streams.speaker = "slurmstepd";
  return l;
}

StepLaunch small() {
  StepLaunch l;
  l.mark = "m";
  l.argv = {"a"};
  return l;
}

std::string decode_error(const std::string& bytes) {
  auto launch = decode_launch(bytes);
  return launch.ok() ? "" : launch.error().code;
}

TEST(StepLaunch, ComesBackAsItWas) {
  for (const StepLaunch& launch : {full(), with_tasks(), small()}) {
    auto back = decode_launch(encode_launch(launch));
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_EQ(*back, launch);
  }
}

TEST(StepLaunch, AnMpiProgramKnowsItsNodes) {
  StepLaunch launch = with_tasks();
  launch.streams.parent_addresses = {"10.0.0.1", "fe80::1"};
  auto back = decode_launch(encode_launch(launch));
  ASSERT_TRUE(back.ok()) << back.error().text();
  EXPECT_EQ(*back, launch);
  launch.streams.node_names.pop_back();
  EXPECT_EQ(decode_error(encode_launch(launch)), "bad_record");
  launch = with_tasks();
  launch.streams.rank_nodes.pop_back();
  EXPECT_EQ(decode_error(encode_launch(launch)), "bad_record");
}

// The format is frozen: this file was written by the first version and must be read, and written, for ever.
TEST(StepLaunch, KeepsItsBytes) {
  std::ifstream in("tests/data/step/launch.v1", std::ios::binary);
  if (!in) GTEST_SKIP() << "run from the source tree";
  std::stringstream bytes;
  bytes << in.rdbuf();
  EXPECT_EQ(bytes.str(), encode_launch(full()));
  if (getenv("BAI_WRITE_GOLDEN"))
    std::ofstream("tests/data/step/launch.v2", std::ios::binary) << encode_launch(with_tasks());
  std::ifstream tasks("tests/data/step/launch.v2", std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(tasks), {}), encode_launch(with_tasks()));
}

TEST(StepLaunch, IsRefusedWhenCutShortOrAltered) {
  const std::string bytes = encode_launch(full());
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_EQ(decode_error(bytes.substr(0, n)), "bad_record") << n;
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string altered = bytes;
    altered[i] ^= 0x10;
    EXPECT_EQ(decode_error(altered), "bad_record") << i;
  }
}

TEST(StepLaunch, RefusesWhatIsOutOfRange) {
  auto with = [](auto change) {
    StepLaunch l = small();
    change(l);
    return decode_error(encode_launch(l));
  };
  EXPECT_EQ(with([](StepLaunch&) {}), "");
  EXPECT_EQ(with([](StepLaunch& l) { l.mark.clear(); }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.argv.clear(); }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.workdir = std::string(kMaxPath + 1, 'x'); }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.workdir = std::string("/a\0b", 4); }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.argv.push_back(std::string(kMaxWord + 1, 'x')); }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.umask = 01000; }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.warning_signal = 65; }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.deadline_us = -1; }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.rlimits.resize(kMaxRlimits + 1); }), "bad_record");
  EXPECT_EQ(with([](StepLaunch& l) { l.env.resize(kMaxWords + 1); }), "bad_record");
  auto with_task = [&](auto change) {
    return with([&](StepLaunch& l) {
      l.tasks.resize(1);
      change(l, l.tasks[0], l.streams);
    });
  };
  EXPECT_EQ(with_task([](StepLaunch&, TaskLaunch&, StreamPlan&) {}), "");
  EXPECT_EQ(with_task([](StepLaunch& l, auto&, auto&) { l.tasks.resize(kMaxTasks + 1); }), "bad_record");
  EXPECT_EQ(with_task([](auto&, TaskLaunch& t, auto&) { t.cpu_mask.resize(kMaxCpuMask + 1); }), "bad_record");
  EXPECT_EQ(with_task([](auto&, TaskLaunch& t, auto&) { t.env = {std::string("A=\0", 3)}; }), "bad_record");
  EXPECT_EQ(with_task([](auto&, TaskLaunch& t, auto&) { t.env.resize(kMaxTaskWords + 1); }), "bad_record");
  EXPECT_EQ(with_task([](auto&, auto&, StreamPlan& p) { p.clients = {"127.0.0.1:1"}; }), "bad_record");
  EXPECT_EQ(with_task([](auto&, auto&, StreamPlan& p) { p.pty_rows = 1 << 16; }), "bad_record");
  EXPECT_EQ(with_task([](auto&, auto&, StreamPlan& p) { p.rank_nodes = {1}; }), "bad_record");
}

// They would be lost when it is written again.
TEST(StepLaunch, RefusesStreamsWithoutTasks) {
  RecordWriter w;
  w.text(7, "m");
  w.text(18, "a");
  w.text(36, encode_plan(StreamPlan{}));
  EXPECT_EQ(decode_error(w.finish("BAILNCH\n", 2)), "bad_record");
  w.text(35, encode_task(TaskLaunch{}));
  EXPECT_EQ(decode_error(w.finish("BAILNCH\n", 2)), "");
}

TEST(StepLaunch, SkipsUnknownFieldsAndRefusesNewerVersions) {
  RecordWriter w;
  w.text(7, "m");
  w.text(18, "a");
  w.text(9999, "from the future");
  auto launch = decode_launch(w.finish("BAILNCH\n", 1));
  ASSERT_TRUE(launch.ok());
  EXPECT_EQ(*launch, small());
  EXPECT_EQ(decode_error(w.finish("BAILNCH\n", 3)), "newer_record");
  w.text(7, "again");
  EXPECT_EQ(decode_error(w.finish("BAILNCH\n", 1)), "bad_record");
}

}  // namespace
}  // namespace bai::step
