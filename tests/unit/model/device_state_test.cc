#include "model/device_state.h"

#include <gtest/gtest.h>

namespace bai {
namespace {

FoundDevice device(const char* id, const char* type, const char* model = "", const char* kind = "gpu") {
  FoundDevice out;
  out.id = id, out.kind = kind, out.type = type, out.model = model;
  out.shareable = true;
  out.mem_mib = 40'000;
  return out;
}

std::vector<DeviceGroup> gres(const char* text) {
  auto parsed = parse_device_groups(text);
  EXPECT_TRUE(parsed.ok());
  return parsed.ok() ? *parsed : std::vector<DeviceGroup>();
}

// "0:A 1:- 2:!": index and the id of what was found for it, nothing, or nothing although it should be there.
std::string matched(const std::vector<DeviceGroup>& groups, const DeviceReport& report) {
  std::string out;
  for (const auto& match : match_devices(groups, report))
    out += (out.empty() ? "" : " ") + std::to_string(match.index) + ":" +
           (match.found     ? report.devices[*match.found].id.str()
            : match.missing ? "!"
                            : "-");
  return out;
}

TEST(DeviceState, MatchesByKindAndType) {
  DeviceReport report;
  report.devices = {device("A", "a100", "NVIDIA A100-SXM4-40GB"), device("H", "h100"), device("B", "a100"),
                    device("T", "v4", "", "tpu")};
  EXPECT_EQ(matched(gres("gpu:3"), report), "0:A 1:H 2:B");
  EXPECT_EQ(matched(gres("gpu:h100:1,gpu:a100:2"), report), "0:H 1:A 2:B");
  EXPECT_EQ(matched(gres("gpu:a100_sxm4:1,gpu:2"), report), "0:A 1:H 2:B") << "words of the model count";
  EXPECT_EQ(matched(gres("gpu:2,gpu:a100:2"), report), "0:H 1:! 2:A 3:B") << "those with a type choose first";
  report.devices = {device("M", "a100_1g.5gb"), device("A", "a100")};
  EXPECT_EQ(matched(gres("gpu:a100:1"), report), "0:A") << "just that type goes before a part of one";
  EXPECT_EQ(matched(gres("net:100"), report), "") << "what is counted has no single devices";
}

TEST(DeviceState, MissesOnlyWhatIsLookedFor) {
  EXPECT_EQ(matched(gres("gpu:2"), {}), "0:- 1:-");
  DeviceReport report;
  report.kinds = {"tpu"};
  EXPECT_EQ(matched(gres("gpu:1"), report), "0:-");
  report.kinds = {"gpu"};
  EXPECT_EQ(matched(gres("gpu:1"), report), "0:!");
  report.kinds = {"*"};
  EXPECT_EQ(matched(gres("gpu:1"), report), "0:!");
}

TEST(DeviceState, GroupsEqualDevicesInARow) {
  DeviceReport report;
  report.devices = {device("A", "a100"), device("B", "a100"), device("H", "h100"), device("C", "a100")};
  const auto groups = groups_of(report);
  EXPECT_EQ(format_device_groups(groups), "gpu:a100:2,gpu:h100:1,gpu:a100:1");
  EXPECT_EQ(groups[0].mem_mib, 40'000u);
  EXPECT_EQ(matched(groups, report), "0:A 1:B 2:H 3:C") << "each is its own again";
}

TEST(DeviceState, FindingsTellWhatIsOutAndWhere) {
  DeviceReport report;
  report.devices = {device("A", "a100"), device("B", "a100"), device("H", "h100")};
  report.devices[1].health = DeviceHealth::kUnhealthy;
  report.devices[1].why = "Xid 79";
  report.devices[0].socket = 1;
  report.devices[2].shareable = false;
  std::vector<std::string> why;
  const auto groups = with_findings(gres("gpu:a100:3,gpu:h100:1"), report, &why);
  EXPECT_EQ(groups[0].out, (std::vector<std::uint16_t>{1, 2}));
  EXPECT_EQ(groups[0].sockets, (std::vector<std::uint16_t>{1}));
  EXPECT_EQ(groups[0].mem_mib, 40'000u);
  EXPECT_TRUE(groups[0].shareable);
  EXPECT_FALSE(groups[1].shareable);
  EXPECT_TRUE(groups[1].out.empty());
  EXPECT_EQ(why, (std::vector<std::string>{"", "Xid 79", "it was not found", ""}));
  DeviceRoom room(groups);
  EXPECT_EQ(room.free, (std::vector<DeviceAmount>{1000, 0, 0, 1000}));
  EXPECT_FALSE(room.holds({{"gpu", "a100", 1, 10}}));
  report.devices[1].health = DeviceHealth::kHealthy;
  EXPECT_EQ(with_findings(groups, report)[0].out, (std::vector<std::uint16_t>{2})) << "it comes back";
}

}  // namespace
}  // namespace bai
