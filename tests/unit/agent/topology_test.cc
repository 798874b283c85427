#include "agent/topology.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace bai::agent {
namespace {

// Two sockets of two cores of two threads, which the operating system numbers as most do: threads last.
CpuTopology machine() {
  CpuTopology out;
  for (std::uint32_t i = 0; i < 8; ++i) out.push_back({i / 2 + i % 2 * 4, i / 2, i / 4, i / 4});
  return out;
}

IdSet ids(const char* text) { return *IdSet::parse(text, 8191); }

std::string bound(const char* how, std::size_t tasks, std::uint32_t cpus = 1, const char* step = "0-7") {
  auto bind = parse_cpu_bind(how);
  if (!bind.ok()) return bind.error().code;
  std::string out;
  for (const auto& set : bind_tasks(machine(), ids(step), *bind, tasks, cpus))
    out += (out.empty() ? "" : " ") + (set.empty() ? std::string("-") : set.format());
  return out;
}

TEST(AgentTopology, TasksAreBoundAsAsked) {
  EXPECT_EQ(bound("none", 2), "- -");
  EXPECT_EQ(bound("threads", 3), "0 4 1");
  EXPECT_EQ(bound("cores", 3), "0,4 1,5 2,6");
  EXPECT_EQ(bound("cores", 2, 4), "0-1,4-5 2-3,6-7");
  EXPECT_EQ(bound("sockets", 3), "0-1,4-5 2-3,6-7 0-1,4-5") << "in turn";
  EXPECT_EQ(bound("verbose,ldoms", 2), "0-1,4-5 2-3,6-7");
  EXPECT_EQ(bound("rank", 2), "0 4");
  EXPECT_EQ(bound("cores", 2, 1, "2-5"), "1,5 2,6") << "of the step's processors only";
}

TEST(AgentTopology, ListsAreTheOperatingSystemsNumbers) {
  EXPECT_EQ(bound("map_cpu:3,1", 3), "3 1 3");
  EXPECT_EQ(bound("map_cpu:0*2,5", 3), "0 0 5");
  EXPECT_EQ(bound("v,mask_cpu:0x3,F0", 2), "0-1 4-7");
  for (const char* bad : {"map_cpu:", "map_cpu:x", "mask_cpu:0", "mask_cpu:0xg", "corse", "map_cpu:1*0"})
    EXPECT_EQ(bound(bad, 1), "bad_value") << bad;
}

TEST(AgentTopology, WithoutAWishWhatComesOutEven) {
  EXPECT_EQ(bound("", 2), "0-1,4-5 2-3,6-7") << "two sockets";
  EXPECT_EQ(bound("", 4), "0,4 1,5 2,6 3,7") << "four cores";
  EXPECT_EQ(bound("", 8), "0 4 1 5 2 6 3 7");
  EXPECT_EQ(bound("", 2, 2), "0-1,4-5 2-3,6-7");
  EXPECT_EQ(bound("", 3), "- - -");
  EXPECT_EQ(bound("", 1, 1, "0"), "0");
}

TEST(AgentTopology, MasksAreTheKernels) {
  EXPECT_EQ(cpu_mask(ids("0,9")), std::string("\x01\x02", 2));
  EXPECT_EQ(cpu_mask(IdSet()), "");
  EXPECT_EQ(os_cpus(machine(), ids("0-1,99")).format(), "0,4");
}

TEST(AgentTopology, ThisMachineHasOne) {
  auto topology = discover_topology();
  ASSERT_TRUE(topology.ok());
  EXPECT_GE(topology->size(), 1u);
  IdSet os;
  for (const auto& cpu : *topology) EXPECT_TRUE(os.insert(cpu.os)) << cpu.os << " is there twice";
}

TEST(AgentTopology, ListsAreBoundedWhateverTheyRepeat) {
  EXPECT_EQ(parse_cpu_bind("map_cpu:0-8191").error().code, "bad_value");
  EXPECT_EQ(parse_cpu_bind("map_cpu:0-4000*4000").error().code, "bad_value");
  EXPECT_EQ(parse_cpu_bind("map_cpu:0*4294967295").error().code, "bad_value");
  EXPECT_EQ(parse_cpu_bind("mask_cpu:0x1*2x").error().code, "bad_value");
  EXPECT_EQ(parse_cpu_bind("map_cpu:0-3*1000")->list.size(), 4000u);
}

}  // namespace
}  // namespace bai::agent
