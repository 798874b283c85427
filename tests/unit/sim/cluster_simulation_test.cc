#include "cluster_simulation.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/log.h"

namespace bai::sim {
namespace {

// BAI_SIM_SEED plays one history, and tells it; BAI_SIM_COUNT and BAI_SIM_FIRST choose others than the usual ones.
TEST(ClusterSimulation, KeepsItsPromises) {
  log::set_level(log::Level::off);
  auto number = [](const char* name, std::uint64_t fallback) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : fallback;
  };
  if (std::getenv("BAI_SIM_SEED")) {
    std::uint64_t seed = number("BAI_SIM_SEED", 0);
    EXPECT_EQ(ClusterSimulation(seed, true).run(), "") << replay_hint(seed);
    return;
  }
  std::uint64_t first = number("BAI_SIM_FIRST", 1), count = number("BAI_SIM_COUNT", 2'000), starts = 0,
                failures = 0;
  for (std::uint64_t seed = first; seed < first + count && failures < 5; ++seed) {
    ClusterSimulation simulation(seed);
    std::string broken = simulation.run();
    starts += simulation.starts();
    if (!broken.empty()) ++failures;
    EXPECT_EQ(broken, "") << replay_hint(seed);
  }
  if (failures == 0) {
    EXPECT_GT(starts, count);
  }
}

// The same seed is the same history.
TEST(ClusterSimulation, Replays) {
  ClusterSimulation a(42), b(42);
  EXPECT_EQ(a.run(), b.run());
  EXPECT_EQ(a.starts(), b.starts());
  EXPECT_EQ(a.jobs(), b.jobs());
}

}  // namespace
}  // namespace bai::sim
