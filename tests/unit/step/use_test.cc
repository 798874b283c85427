#include "step/use.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace bai::step {
namespace {

std::string directory_with(const char* file, const char* text) {
  std::string dir = "/tmp/bai-use-XXXXXX";
  EXPECT_NE(mkdtemp(dir.data()), nullptr);
  std::ofstream(dir + "/" + file) << text;
  return dir;
}

TEST(StepUse, KillsForWantOfMemoryAreCountedOnBothVersions) {
  for (const auto& [file, text, kills] :
       {std::tuple{"memory.events", "low 0\noom 9\noom_kill 2\noom_group_kill 7\n", 2u},
        std::tuple{"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3u},
        std::tuple{"memory.oom_control", "oom_kill_disable 1\nunder_oom 1\n", 0u},
        std::tuple{"else", "", 0u}}) {
    const std::string dir = directory_with(file, text);
    EXPECT_EQ(cgroup_oom_kills(dir), kills) << file;
    std::filesystem::remove_all(dir);
  }
}

TEST(StepUse, OutOfMemoryIsToldApartFromAKill) {
  Confinement limited;
  limited.memory_mib = 50;
  const auto judged = [&](EndReason reason, uint64_t kills) {
    StepStatus status;
    status.reason = reason;
    status.signal = 9;
    judge_memory(kills, limited, &status);
    return status;
  };
  EXPECT_EQ(judged(EndReason::kSignalled, 0).reason, EndReason::kSignalled);
  EXPECT_EQ(judged(EndReason::kSignalled, 1).reason, EndReason::kOutOfMemory);
  EXPECT_EQ(judged(EndReason::kSignalled, 1).signal, 125u);
  EXPECT_NE(judged(EndReason::kExited, 2).message.find("50 MiB"), std::string::npos);
  // Whoever cancels a job in that moment, or its time limit, is the reason.
  EXPECT_EQ(judged(EndReason::kCancelled, 1).reason, EndReason::kCancelled);
  EXPECT_EQ(judged(EndReason::kTimeout, 1).reason, EndReason::kTimeout);
}

TEST(StepUse, ProcessesCountForTheTaskAboveThem) {
  // 10 and 20 are tasks; 30's parent is nobody's, and 40 and 41 are each other's.
  const auto tops =
      tops_of({{10, 1}, {11, 10}, {12, 11}, {20, 10}, {21, 20}, {30, 29}, {40, 41}, {41, 40}}, {10, 20}, 7);
  const auto top = [&](pid_t pid) { return tops.at(pid); };
  for (const pid_t pid : {10, 11, 12}) EXPECT_EQ(top(pid), 10) << pid;
  for (const pid_t pid : {20, 21}) EXPECT_EQ(top(pid), 20) << pid;
  for (const pid_t pid : {30, 40, 41}) EXPECT_EQ(top(pid), 7) << pid;
}

TEST(StepUse, ALongChainOfProcessesCostsNoMoreThanItsLength) {
  constexpr pid_t kLength = 60'000;
  std::map<pid_t, pid_t> parents;
  for (pid_t pid = 1; pid < kLength; ++pid) parents.emplace(pid, pid + 1);  // the first way up is the longest
  rusage before{}, after{};
  getrusage(RUSAGE_THREAD, &before);
  const auto tops = tops_of(parents, {kLength}, 0);
  getrusage(RUSAGE_THREAD, &after);
  EXPECT_EQ(tops.at(1), kLength);
  EXPECT_LT(after.ru_utime.tv_sec - before.ru_utime.tv_sec, 5);
}

// A child that has 32 MiB, read 1 MiB and wrote 2, and waits.
pid_t busy_child() {
  int ready[2];
  EXPECT_EQ(pipe(ready), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    std::vector<char> much(32 << 20, 'x');
    const int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    ssize_t n = read(zero, much.data(), 1 << 20);
    n += write(null, much.data(), 2 << 20);
    n += write(ready[1], "x", 1);
    if (n > 0) pause();
    _exit(1);
  }
  char c;
  EXPECT_EQ(read(ready[0], &c, 1), 1);
  close(ready[0]);
  close(ready[1]);
  return pid;
}

TEST(StepUse, EachTaskIsSeenWhileItLives) {
  UseMeter meter;
  meter.start(0, 1000);
  EXPECT_FALSE(meter.next_ms().has_value());  // nobody looks by itself
  const pid_t a = busy_child(), b = fork();
  if (b == 0) {
    pause();
    _exit(1);
  }
  meter.task(a, 4);
  meter.task(b, 5);
  EXPECT_EQ(meter.live().tasks, 2u);
  EXPECT_EQ(meter.live().rss_kib.most, 0u);
  meter.look({a, b}, {a, b}, 3000);
  EXPECT_EQ(meter.looked_ms(), 3000);
  EXPECT_FALSE(meter.next_ms().has_value());
  LiveUse use = meter.live();
  EXPECT_GE(use.rss_kib.most, 32u << 10);
  EXPECT_EQ(use.rss_kib.most_task, 4u);
  EXPECT_EQ(use.rss_kib.least_task, 5u);
  EXPECT_LT(use.rss_kib.least, use.rss_kib.most);
  EXPECT_EQ(use.rss_kib.total, use.rss_kib.most + use.rss_kib.least);
  EXPECT_GE(use.vm_kib.most, use.rss_kib.most);
  EXPECT_EQ(use.write_bytes.most_task, 4u);
  EXPECT_GE(use.write_bytes.total, 2u << 20);
  kill(a, SIGKILL);
  int status;
  rusage used{};
  ASSERT_EQ(wait4(a, &status, 0, &used), a);
  meter.ended(a, true, used);
  meter.look({b}, {b}, 4000);
  use = meter.live();
  // The one that ended uses nothing now; what it had and did stays.
  EXPECT_LT(use.rss_kib.total, use.rss_kib.most);
  EXPECT_GE(use.rss_kib.most, 32u << 10);
  EXPECT_EQ(use.tasks, 2u);
  kill(b, SIGKILL);
  ASSERT_EQ(waitpid(b, &status, 0), b);
}

TEST(StepUse, WhatLivesIsSeenAndWhatEndsIsExact) {
  UseMeter meter;
  meter.start(10, 1000);
  ASSERT_TRUE(meter.next_ms().has_value());
  EXPECT_EQ(*meter.next_ms(), 3000);  // the first look is soon
  const pid_t a = busy_child(), b = busy_child();
  meter.look({a, b}, {a, b}, 3000);
  EXPECT_EQ(*meter.next_ms(), 7000);
  meter.look({a, b}, {a, b}, 7000);
  meter.look({a, b}, {a, b}, 15000);
  EXPECT_EQ(*meter.next_ms(), 25000);  // and the others no rarer than was asked for
  StepUse use = meter.total();
  EXPECT_GE(use.max_rss_kib, 32u << 10);
  EXPECT_GE(use.sum_rss_kib, 64u << 10);
  EXPECT_LT(use.max_rss_kib, use.sum_rss_kib);
  EXPECT_GE(use.read_bytes, 2u << 20);
  EXPECT_GE(use.write_bytes, 4u << 20);
  EXPECT_GE(use.max_write_bytes, 2u << 20);
  EXPECT_LT(use.max_write_bytes, 4u << 20);
  for (const pid_t pid : {a, b}) {
    kill(pid, SIGKILL);
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
    meter.ending(pid);
    int status;
    rusage used{};
    ASSERT_EQ(wait4(pid, &status, 0, &used), pid);
    meter.ended(pid, true, used);
  }
  // Not counted twice now that both are gone.
  const StepUse end = meter.total();
  EXPECT_EQ(end.write_bytes, use.write_bytes);
  EXPECT_EQ(end.read_bytes, use.read_bytes);
}

TEST(StepUse, NoLooksWhereNoneAreWanted) {
  UseMeter meter;
  meter.start(0, 1000);
  EXPECT_FALSE(meter.next_ms().has_value());
}

}  // namespace
}  // namespace bai::step
