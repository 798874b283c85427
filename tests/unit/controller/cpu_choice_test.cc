#include "controller/cpu_choice.h"

#include <gtest/gtest.h>

namespace bai::controller {
namespace {

// Two sockets of two cores of two threads: 0-3 and 4-7.
NodeShape small() {
  NodeShape shape;
  shape.cpus = 8;
  shape.sockets = shape.cores_per_socket = shape.threads_per_core = 2;
  return shape;
}

std::string chosen(const char* taken, std::uint32_t count) {
  return choose_cpus(small(), cpu_set(taken), count).format();
}

TEST(CpuChoice, StaysInOneSocket) {
  EXPECT_EQ(chosen("", 4), "0-3");
  EXPECT_EQ(chosen("0-1", 4), "4-7");
  EXPECT_EQ(chosen("0-1", 2), "2-3") << "the fuller socket, so that the other stays whole";
  EXPECT_EQ(chosen("", 8), "0-7");
  EXPECT_EQ(chosen("0-1", 6), "2-7");
  EXPECT_EQ(chosen("0-1", 5), "2,4-7") << "it begins with the emptier socket";
}

TEST(CpuChoice, TakesWholeCoresAndFillsPartialOnes) {
  EXPECT_EQ(chosen("", 3), "0-2");
  EXPECT_EQ(chosen("0", 1), "1");
  EXPECT_EQ(chosen("0", 2), "2-3");
  EXPECT_EQ(chosen("0", 3), "1-3");
  EXPECT_EQ(chosen("0,4", 4), "1-3,5");
}

TEST(CpuChoice, GivesWhatThereIs) {
  EXPECT_EQ(chosen("0-6", 3), "7");
  EXPECT_EQ(chosen("0-7", 1), "");
  EXPECT_EQ(choose_cpus(NodeShape{}, {}, 4).format(), NodeShape{}.cpus ? "0" : "");
  NodeShape odd = small();
  odd.cpus = 5;  // a configuration that does not add up
  EXPECT_EQ(choose_cpus(odd, {}, 8).format(), "0-4");
  EXPECT_EQ(choose_cpus(odd, cpu_set("0-3"), 2).format(), "4");
}

TEST(CpuChoice, BeginsNearTheDevices) {
  const auto near = [](const char* taken, std::uint32_t count, const char* sockets) {
    return choose_cpus(small(), cpu_set(taken), count, cpu_set(sockets)).format();
  };
  EXPECT_EQ(near("", 2, "1"), "4-5");
  EXPECT_EQ(near("0-1", 2, "1"), "4-5") << "though the other is fuller";
  EXPECT_EQ(near("4-5", 3, "1"), "0,6-7") << "what has no room there goes elsewhere";
  EXPECT_EQ(near("4-7", 2, "1"), "0-1");
  EXPECT_EQ(near("", 2, "0-1"), "0-1");
}

TEST(CpuChoice, KnowsWhereDevicesAre) {
  const DeviceGroup a100{"gpu", "a100", 2, 0, false, true, {0, 1}, {}};
  const DeviceGroup other{"fpga", "", 1, 0, false, true, {0}, {}};
  const DeviceGroup t4{"gpu", "t4", 2, 0, false, true, {1}, {}};  // of the last one it is not known
  const std::vector<DeviceGroup> groups{a100, other, t4};
  const auto sockets = [&](std::vector<DeviceShare> shares) {
    return device_sockets(groups, shares).format();
  };
  EXPECT_EQ(sockets({{"gpu", "a100", 1}}), "1");
  EXPECT_EQ(sockets({{"gpu", "t4", 2}, {"fpga", "", 0}}), "0-1");
  EXPECT_EQ(sockets({{"gpu", "t4", 3}}), "");
  EXPECT_EQ(sockets({}), "");
}

TEST(CpuChoice, StepsTakeWhatOthersOfTheirJobLeft) {
  const auto step = [](const char* taken, std::uint32_t count) {
    return choose_step_cpus(cpu_set("2-3,6-7"), cpu_set(taken), count).format();
  };
  EXPECT_EQ(step("", 2), "2-3");
  EXPECT_EQ(step("2-3", 2), "6-7");
  EXPECT_EQ(step("3", 2), "2,6");
  EXPECT_EQ(step("2-3,6", 2), "2,7") << "beyond what is free they share";
  EXPECT_EQ(step("", 9), "2-3,6-7");
}

}  // namespace
}  // namespace bai::controller
