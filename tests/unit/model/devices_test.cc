#include "model/devices.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

DeviceGroup group(const char* kind, const char* type, std::uint32_t count) {
  DeviceGroup out;
  out.kind = kind, out.type = type, out.count = count;
  return out;
}

DeviceShare share(const char* kind, std::uint32_t index, DeviceAmount amount = kWholeDevice,
                  const char* type = "") {
  return {kind, type, index, amount};
}

DeviceRoom room() {
  auto bandwidth = group("bandwidth", "", 100);
  bandwidth.counted = true;
  return DeviceRoom({group("gpu", "a100", 2), bandwidth, group("nic", "", 1), group("gpu", "t4", 2)});
}

TEST(Devices, are_numbered_through_their_kind) {
  const auto r = room();
  EXPECT_EQ(r.free.size(), 6u);
  EXPECT_EQ(r.slot(share("gpu", 1)), 1);
  EXPECT_EQ(r.slot(share("bandwidth", kCountedDevice)), 2);
  EXPECT_EQ(r.slot(share("nic", 0)), 3);
  EXPECT_EQ(r.slot(share("gpu", 2)), 4);
  EXPECT_EQ(r.slot(share("gpu", 3, kWholeDevice, "t4")), 5);
  EXPECT_EQ(r.slot(share("gpu", 3, kWholeDevice, "a100")), -1);
  EXPECT_EQ(r.slot(share("gpu", 4)), -1);
  EXPECT_EQ(r.slot(share("fpga", 0)), -1);
}

TEST(Devices, shares_of_one_device_add_up) {
  auto r = room();
  EXPECT_TRUE(r.holds({share("gpu", 0, 400), share("gpu", 0, 600)}));
  EXPECT_FALSE(r.holds({share("gpu", 0, 400), share("gpu", 0, 601)}));
  r.take({share("gpu", 0, 400), share("bandwidth", kCountedDevice, 30 * kWholeDevice)});
  EXPECT_FALSE(r.holds({share("gpu", 0)}));
  EXPECT_TRUE(r.holds({share("gpu", 0, 600)}));
  EXPECT_FALSE(r.holds({share("bandwidth", kCountedDevice, 71 * kWholeDevice)}));
  EXPECT_EQ(r.free_of("gpu"), 3600u);
  EXPECT_EQ(r.free_of("gpu", "a100"), 1600u);
  r.give({share("gpu", 0, 400)});
  EXPECT_TRUE(r.holds({share("gpu", 0)}));
}

TEST(Devices, types_and_amounts) {
  EXPECT_TRUE(type_matches("", "a100"));
  EXPECT_TRUE(type_matches("h100|a100", "a100"));
  EXPECT_FALSE(type_matches("h100|a1000", "a100"));
  EXPECT_EQ(total_of(room().groups, "gpu"), 4000u);
  EXPECT_EQ(total_of(room().groups, "bandwidth"), 100'000u);
  EXPECT_EQ(format_amount(2000), "2");
  EXPECT_EQ(format_amount(250), "0.25");
  EXPECT_EQ(format_amount(1010), "1.01");
}

}  // namespace
}  // namespace bai
