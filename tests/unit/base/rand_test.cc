#include "base/rand.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

// The reference implementation's output for the seed 1234567 (Vigna, splitmix64.c).
TEST(Rand, splitmix64_reference) {
  std::uint64_t state = 1234567;
  EXPECT_EQ(splitmix64(state), 6457827717110365317u);
  EXPECT_EQ(splitmix64(state), 3203168211198807973u);
  EXPECT_EQ(splitmix64(state), 9817491932198370423u);
}

TEST(Rand, same_seed_same_numbers) {
  Rng a(7), b(7), c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const auto x = a.next();
    EXPECT_EQ(x, b.next());
    differs |= x != c.next();
  }
  EXPECT_TRUE(differs);
}

TEST(Rand, numbers_stay_in_their_ranges) {
  Rng r(1);
  EXPECT_EQ(r.below(0), 0u);
  EXPECT_EQ(r.below(1), 0u);
  bool low = false, high = false;
  for (int i = 0; i < 10000; ++i) {
    EXPECT_LT(r.below(10), 10u);
    const auto x = r.range(-2, 2);
    EXPECT_GE(x, -2);
    EXPECT_LE(x, 2);
    low |= x == -2;
    high |= x == 2;
    const double u = r.uniform();
    EXPECT_GE(u, 0.0);
    EXPECT_LT(u, 1.0);
  }
  EXPECT_TRUE(low && high);
  r.range(INT64_MIN, INT64_MAX);
  EXPECT_FALSE(r.chance(0, 5));
  EXPECT_TRUE(r.chance(5, 5));
}

}  // namespace
}  // namespace bai
