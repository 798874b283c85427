#include "step/confinement.h"

#include <gtest/gtest.h>
#include <linux/bpf.h>

#include "step/device_filter.h"

namespace bai::step {
namespace {

Confinement full() {
  Confinement c;
  c.trees = {{"/sys/fs/cgroup/bai", {{"cgroup.subtree_control", "+memory"}}, {{"memory.max", "1048576"}}, {}},
             {"/sys/fs/cgroup/cpuset/bai",
              {{"cpuset.cpus", "0-3"}},
              {{"cpuset.cpus", "1"}},
              {{"cpuset.cpus", "1"}}}};
  c.cpu_mask = std::string("\x02\x00", 2);
  c.no_new_privileges = true;
  c.private_dirs = {"/tmp", "/dev/shm"};
  c.sample_s = 10;
  c.memory_mib = 1;
  c.say_binding = "MAP ";
  return c;
}

std::string refusal(const Confinement& c) {
  auto back = decode_confinement(encode_confinement(c));
  return back.ok() ? "" : back.error().code;
}

TEST(StepConfinement, ComesBackAsItWas) {
  for (const Confinement& c : {full(), Confinement()}) {
    auto back = decode_confinement(encode_confinement(c));
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_EQ(*back, c);
  }
}

TEST(StepConfinement, WritesNowhereButIntoItsDirectories) {
  const auto with = [](auto change) {
    Confinement c = full();
    change(c);
    return refusal(c);
  };
  EXPECT_EQ(with([](Confinement&) {}), "");
  EXPECT_EQ(with([](Confinement& c) { c.trees[0].job[0].file = "../x"; }), "bad_record");
  EXPECT_EQ(with([](Confinement& c) { c.trees[0].job[0].file = ""; }), "bad_record");
  EXPECT_EQ(with([](Confinement& c) { c.trees[0].parent = "bai"; }), "bad_record");
  EXPECT_EQ(with([](Confinement& c) { c.trees[0].parent = ""; }), "bad_record");
  EXPECT_EQ(with([](Confinement& c) { c.trees.resize(kMaxTrees + 1, c.trees[0]); }), "bad_record");
  EXPECT_EQ(with([](Confinement& c) { c.trees[0].step.resize(kMaxSettings + 1, {"a", "b"}); }), "bad_record");
  EXPECT_EQ(with([](Confinement& c) { c.cpu_mask.resize(kMaxMaskBytes + 1); }), "bad_record");
  EXPECT_EQ(with([](Confinement& c) { c.private_dirs[0] = "tmp"; }), "bad_record");
}

TEST(StepConfinement, DeviceRulesAreCgroupsWords) {
  for (const DeviceRule& rule : {DeviceRule{false, 195, 3}, DeviceRule{true, 8, -1}, DeviceRule{}}) {
    auto back = parse_rule(format_rule(rule));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, rule);
  }
  EXPECT_EQ(format_rule({false, 195, 3}), "c 195:3 rwm");
  EXPECT_EQ(format_rule({true, 8, -1}), "b 8:* rwm");
  for (const char* text :
       {"", "c 1:3", "a 1:3 rwm", "c 1 rwm", "c 1:x rwm", "c 1:3 rwmx", "c 1:99999999999 rwm"})
    EXPECT_FALSE(parse_rule(text).ok()) << text;
}

// Runs the few instructions that the program is made of.
bool allows(const std::vector<uint64_t>& program, uint32_t type, uint32_t major, uint32_t minor) {
  const uint32_t context[] = {(0x6u << 16) | type, major, minor};
  uint64_t reg[11] = {};
  for (size_t at = 0; at < program.size(); ++at) {
    bpf_insn i;
    memcpy(&i, &program[at], sizeof i);
    if (i.code == (BPF_LDX | BPF_MEM | BPF_W))
      reg[i.dst_reg] = context[i.off / 4];
    else if (i.code == (BPF_ALU | BPF_AND | BPF_K))
      reg[i.dst_reg] &= static_cast<uint32_t>(i.imm);
    else if (i.code == (BPF_JMP32 | BPF_JNE | BPF_K))
      at += static_cast<uint32_t>(reg[i.dst_reg]) != static_cast<uint32_t>(i.imm) ? static_cast<size_t>(i.off)
                                                                                  : 0;
    else if (i.code == (BPF_ALU64 | BPF_MOV | BPF_K))
      reg[i.dst_reg] = static_cast<uint64_t>(i.imm);
    else if (i.code == (BPF_JMP | BPF_EXIT))
      return reg[0] != 0;
  }
  ADD_FAILURE() << "the program does not end";
  return false;
}

TEST(StepConfinement, TheDeviceProgramDeniesWhatItShould) {
  constexpr uint32_t kBlock = BPF_DEVCG_DEV_BLOCK, kChar = BPF_DEVCG_DEV_CHAR;
  const auto program = device_program({{false, 195, 3}, {false, 240, -1}, {true, 8, 0}});
  EXPECT_FALSE(allows(program, kChar, 195, 3));
  EXPECT_TRUE(allows(program, kChar, 195, 2));
  EXPECT_TRUE(allows(program, kBlock, 195, 3));
  EXPECT_FALSE(allows(program, kChar, 240, 0));
  EXPECT_FALSE(allows(program, kChar, 240, 77));
  EXPECT_FALSE(allows(program, kBlock, 8, 0));
  EXPECT_TRUE(allows(program, kBlock, 8, 1));
  EXPECT_TRUE(allows(program, kChar, 1, 3));
  EXPECT_TRUE(allows(device_program({}), kChar, 1, 3));
}

}  // namespace
}  // namespace bai::step
