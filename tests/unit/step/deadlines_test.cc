#include "step/deadlines.h"

#include <gtest/gtest.h>

namespace bai::step {
namespace {

constexpr int64_t kNow = 1'000'000;               // monotonic ms
constexpr int64_t kWall = 1'700'000'000'000'000;  // Unix us

TEST(StepDeadlines, NothingIsDueWithoutLimits) {
  Deadlines d;
  d.start(StepLaunch{}, kNow);
  EXPECT_EQ(d.pause_ms(kNow, kWall), -1);
  EXPECT_FALSE(d.deadline_due(INT64_MAX));
}

TEST(StepDeadlines, TheLimitCountsFromTheStart) {
  StepLaunch launch;
  launch.time_limit_s = 10;
  Deadlines d;
  d.start(launch, kNow);
  EXPECT_EQ(d.pause_ms(kNow + 4000, kWall), 6000);
  EXPECT_FALSE(Deadlines::due(d.limit_at, kNow + 9999));
  EXPECT_TRUE(Deadlines::due(d.limit_at, kNow + 10000));
  d.set_time_limit(20);
  EXPECT_EQ(d.pause_ms(kNow + 4000, kWall), 16000);
  d.set_time_limit(0);
  EXPECT_EQ(d.pause_ms(kNow + 4000, kWall), -1);
}

TEST(StepDeadlines, AfterTheEndALimitIsOnlyANumber) {
  StepLaunch launch;
  launch.time_limit_s = 10;
  launch.deadline_us = kWall + 5;
  Deadlines d;
  d.start(launch, kNow);
  d.ending();
  d.set_time_limit(1);
  EXPECT_EQ(d.time_limit_s(), 1u);
  EXPECT_EQ(d.pause_ms(kNow + 100'000, kWall + 100), -1);
}

TEST(StepDeadlines, TheDeadlineFollowsTheWallClock) {
  StepLaunch launch;
  launch.deadline_us = kWall + 30'000'000;
  Deadlines d;
  d.start(launch, kNow);
  EXPECT_EQ(d.pause_ms(kNow, kWall), 30'000);
  // The clock was set forward, then back: at most a minute passes before we look again.
  EXPECT_EQ(d.pause_ms(kNow, kWall + 29'999'500), 1);
  EXPECT_EQ(d.pause_ms(kNow, kWall - 3'600'000'000), 60'000);
  EXPECT_FALSE(d.deadline_due(kWall + 29'999'999));
  EXPECT_TRUE(d.deadline_due(kWall + 30'000'000));
}

TEST(StepDeadlines, WarnsOnceBeforeTheEarlierEnd) {
  StepLaunch launch;
  launch.time_limit_s = 100;
  launch.deadline_us = kWall + 50'000'000;
  launch.warning_signal = 10;
  launch.warning_before_s = 20;
  Deadlines d;
  d.start(launch, kNow);
  EXPECT_EQ(d.pause_ms(kNow, kWall), 30'000);
  EXPECT_FALSE(d.warning_due(kNow + 29'999, kWall + 29'999'000));
  EXPECT_TRUE(d.warning_due(kNow + 30'000, kWall + 30'000'000));
  EXPECT_FALSE(d.warning_due(kNow + 30'001, kWall + 30'001'000));
}

TEST(StepDeadlines, TheLimitDoesNotRunWhileTheStepStandsStill) {
  StepLaunch launch;
  launch.time_limit_s = 10;
  launch.warning_signal = 10;
  launch.warning_before_s = 2;
  Deadlines d;
  d.start(launch, kNow);
  d.suspend(kNow + 4000);
  d.suspend(kNow + 5000);
  EXPECT_EQ(d.pause_ms(kNow + 60'000, kWall), -1);
  EXPECT_FALSE(d.warning_due(kNow + 60'000, kWall));
  EXPECT_FALSE(Deadlines::due(d.limit_at, kNow + 60'000));
  d.resume(kNow + 60'000);
  d.resume(kNow + 61'000);
  EXPECT_EQ(d.pause_ms(kNow + 60'000, kWall), 4000);  // six are left, two of them after the warning
  EXPECT_TRUE(d.warning_due(kNow + 64'000, kWall));
  EXPECT_TRUE(Deadlines::due(d.limit_at, kNow + 66'000));
  EXPECT_FALSE(Deadlines::due(d.limit_at, kNow + 65'999));
}

TEST(StepDeadlines, ALimitSetWhileItStandsStillCountsAfterwards) {
  StepLaunch launch;
  launch.time_limit_s = 10;
  Deadlines d;
  d.start(launch, kNow);
  d.wait_at = kNow + 3000;
  d.suspend(kNow + 1000);
  d.set_time_limit(20);
  EXPECT_EQ(d.pause_ms(kNow + 50'000, kWall), -1);
  d.resume(kNow + 50'000);
  EXPECT_EQ(*d.limit_at, kNow + 50'000 + 19'000);
  EXPECT_EQ(*d.wait_at, kNow + 50'000 + 2'000);
}

TEST(StepDeadlines, ADeadlineHoldsWhileTheStepStandsStill) {
  StepLaunch launch;
  launch.deadline_us = kWall + 5'000'000;
  launch.time_limit_s = 1;
  Deadlines d;
  d.start(launch, kNow);
  d.suspend(kNow);
  EXPECT_EQ(d.pause_ms(kNow + 2000, kWall + 2'000'000), 3000);
  EXPECT_TRUE(d.deadline_due(kWall + 5'000'000));
  d.ending();
  d.resume(kNow + 9000);
  EXPECT_EQ(d.pause_ms(kNow + 9000, kWall + 9'000'000), -1);
}

TEST(StepDeadlines, AWarningIsTakenOnce) {
  StepLaunch launch;
  launch.time_limit_s = 10;
  launch.warning_signal = 10;
  launch.warning_before_s = 2;
  Deadlines d;
  d.start(launch, kNow);
  EXPECT_TRUE(d.take_warning());
  EXPECT_FALSE(d.take_warning());
  EXPECT_FALSE(d.warning_due(kNow + 9000, kWall));
}

}  // namespace
}  // namespace bai::step
