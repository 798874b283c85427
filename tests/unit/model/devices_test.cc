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

TEST(Devices, amounts_as_people_write_them) {
  EXPECT_EQ(parse_device_amount("2"), 2000u);
  EXPECT_EQ(parse_device_amount("0.25"), 250u);
  EXPECT_EQ(parse_device_amount(".5"), 500u);
  for (auto text : {"", ".", "1.", "0.0001", "-1", "x", "1000001", "1.5x"})
    EXPECT_FALSE(parse_device_amount(text)) << text;
}

TEST(Devices, of_a_node) {
  auto groups = parse_device_groups("gpu:a100:4(S:0-1),gpu:2,net:10k");
  ASSERT_TRUE(groups.ok());
  ASSERT_EQ(groups->size(), 3u);
  EXPECT_EQ((*groups)[0].type, "a100");
  EXPECT_EQ((*groups)[0].count, 4u);
  EXPECT_FALSE((*groups)[0].counted);
  EXPECT_TRUE((*groups)[2].counted);
  EXPECT_EQ((*groups)[2].count, 10240u);
  EXPECT_EQ(format_device_groups(*groups), "gpu:a100:4,gpu:2,net:10240");
  EXPECT_TRUE(parse_device_groups("none")->empty());
  for (auto text : {"gpu:a:b:c", ":2", "gpu:x:-1", "gpu:100000", "g p:1", "gpu::2"})
    EXPECT_FALSE(parse_device_groups(text).ok()) << text;
}

TEST(Devices, of_a_request) {
  auto gres = parse_device_requests("gpu:a100|h100:2,net", DevicePer::kNode);
  ASSERT_TRUE(gres.ok());
  EXPECT_EQ((*gres)[0].type, "a100|h100");
  EXPECT_EQ((*gres)[0].amount, 2000u);
  EXPECT_EQ((*gres)[1].kind, "net");
  EXPECT_EQ((*gres)[1].amount, 1000u);
  EXPECT_EQ(format_device_requests(*gres, DevicePer::kNode), "gres:gpu:a100|h100:2,gres:net:1");
  auto gpus = parse_device_requests("0.3", DevicePer::kJob, "gpu");
  ASSERT_TRUE(gpus.ok());
  EXPECT_EQ((*gpus)[0].kind, "gpu");
  EXPECT_EQ((*gpus)[0].amount, 300u);
  EXPECT_EQ((*parse_device_requests("a100", DevicePer::kJob, "gpu"))[0].amount, 1000u);
  EXPECT_TRUE(parse_device_requests("0", DevicePer::kJob, "gpu")->empty());
  for (auto text : {"1.5", "a:b:1", "-1", "a100:x", "2:3:4"})
    EXPECT_FALSE(parse_device_requests(text, DevicePer::kJob, "gpu").ok()) << text;
}

}  // namespace
}  // namespace bai
