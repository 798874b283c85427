#include "base/crash_point.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

namespace bai {
namespace {

// In the forked children of death tests only, so that no test arms this process.
void arm_and_pass(const char* setting, int times) {
  ::setenv("BAI_CRASH_POINT", setting, 1);
  if (!crash_points_init()) std::_Exit(3);
  for (int i = 0; i < times; ++i) {
    crash_point("ctld.after_commit");
    crash_point("agent.before_fork");
  }
  std::_Exit(0);
}

TEST(CrashPointDeathTest, dies_by_sigkill_and_says_the_name) {
  EXPECT_EXIT(arm_and_pass("ctld.after_commit", 1), ::testing::KilledBySignal(SIGKILL),
              "ctld.after_commit\n");
}

TEST(CrashPointDeathTest, nth_passing_counts) {
  EXPECT_EXIT(arm_and_pass("agent.before_fork:3", 2), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(arm_and_pass("agent.before_fork:3", 3), ::testing::KilledBySignal(SIGKILL),
              "agent.before_fork");
}

TEST(CrashPointDeathTest, a_misspelt_setting_is_an_error) {
  for (const char* bad :
       {"ctld.after_comit", "ctld.after_commit:", "ctld.after_commit:0", "ctld.after_commit:x", ":1",
        "ctld.after_commit=", "ctld.after_commit=0", "ctld.after_commit=INT"})
    EXPECT_EXIT(arm_and_pass(bad, 1), ::testing::ExitedWithCode(3), "") << bad;
}

TEST(CrashPointDeathTest, another_signal_need_not_end_it) {
  EXPECT_EXIT(
      {
        signal(SIGINT, SIG_IGN);
        arm_and_pass("ctld.after_commit=2", 2);
      },
      ::testing::ExitedWithCode(0), "ctld.after_commit\n");
  EXPECT_EXIT(
      {
        setpgid(0, 0);
        arm_and_pass("ctld.after_commit:2=-15", 2);
      },
      ::testing::KilledBySignal(SIGTERM), "ctld.after_commit\n");
}

TEST(CrashPoint, off_does_nothing) {
  for (int i = 0; i < 1000; ++i) crash_point("step.before_status");
}

TEST(CrashPoint, names_are_distinct_and_well_formed) {
  std::set<std::string_view> seen;
  for (const auto name : crash_point_names()) {
    EXPECT_TRUE(seen.insert(name).second) << name;
    EXPECT_NE(name.find('.'), std::string_view::npos) << name;
    EXPECT_EQ(name.find(':'), std::string_view::npos) << name;
  }
}

}  // namespace
}  // namespace bai
