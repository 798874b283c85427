#include "controller/admission.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace bai::controller {
namespace {

constexpr std::size_t kLarge = 1 << 20;

TEST(Admission, RefusesWhatDoesNotFitUntilSomethingLeaves) {
  Admission door(3 * kLarge);
  auto a = door.enter(kLarge), b = door.enter(2 * kLarge);
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(door.enter(kLarge));
  const Admitted copy = a;
  a.reset();
  EXPECT_FALSE(door.enter(kLarge)) << "a copy still waits";
  b.reset();
  EXPECT_TRUE(door.enter(2 * kLarge));
  EXPECT_EQ(door.waiting_bytes(), kLarge);
}

TEST(Admission, AFloodOfScriptsKeepsNoSmallRequestOut) {
  Admission door(kLarge);
  std::vector<Admitted> in{door.enter(kLarge)};
  EXPECT_FALSE(door.enter(kLarge));
  while (auto small = door.enter(1000)) in.push_back(std::move(small));
  EXPECT_GT(in.size(), 1000u);
  EXPECT_LE(door.waiting_bytes(), 2 * kLarge);
}

TEST(Admission, AnythingIsLetInWhereNothingWaits) {
  Admission door(kLarge);
  const auto huge = door.enter(64 * kLarge);
  EXPECT_TRUE(huge);
  EXPECT_FALSE(door.enter(1));
}

TEST(Admission, OutlivedByWhatItLetIn) {
  Admitted last;
  {
    Admission door(kLarge);
    last = door.enter(1);
  }
  EXPECT_TRUE(last);
}

TEST(Admission, CountsExactlyAcrossThreads) {
  Admission door(8 * kLarge);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&door] {
      for (int k = 0; k < 10'000; ++k) {
        const auto in = door.enter(3 * kLarge);
        EXPECT_LE(door.waiting_bytes(), 8 * kLarge);
      }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(door.waiting_bytes(), 0u);
}

}  // namespace
}  // namespace bai::controller
