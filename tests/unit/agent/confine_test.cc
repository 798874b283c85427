// The trees of a job on each kind of cgroup system, as recorded from machines that have it.
#include "agent/confine.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace bai::agent {
namespace {

using step::CgroupSetting;
using step::CgroupTree;

constexpr const char* kV2Mounts =
    "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0\n";
constexpr const char* kV1Mounts =
    "tmpfs /sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,mode=755 0 0\n"
    "cgroup /sys/fs/cgroup/systemd cgroup rw,nosuid,xattr,name=systemd 0 0\n"
    "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n"
    "cgroup /sys/fs/cgroup/cpuset cgroup rw,nosuid,cpuset 0 0\n"
    "cgroup /sys/fs/cgroup/memory cgroup rw,nosuid,memory 0 0\n"
    "cgroup /sys/fs/cgroup/devices cgroup rw,nosuid,devices 0 0\n"
    "cgroup /sys/fs/cgroup/freezer cgroup rw,nosuid,freezer 0 0\n"
    "cgroup /sys/fs/cgroup/pids cgroup rw,nosuid,pids 0 0\n";
constexpr const char* kUnifiedMount = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,nsdelegate 0 0\n";

class AgentConfine : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = "/tmp/bai-confine-XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string text(const std::string& path) {
    std::ifstream in(root_ + path);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }

  // systemd's unit on a machine with v2 alone.
  Confiner v2(const ConfinementSettings& settings) {
    const std::string unit = "/sys/fs/cgroup/system.slice/bai-agentd.service";
    file(unit + "/cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
    file(unit + "/cgroup.subtree_control", "");
    file(unit + "/cgroup.procs", "");
    return made(find_cgroups(kV2Mounts, "0::/system.slice/bai-agentd.service\n", root_), settings);
  }
  Confiner v1(const ConfinementSettings& settings, const std::string& more_mounts = "") {
    file("/sys/fs/cgroup/cpuset/cpuset.cpus", "0-7\n");
    file("/sys/fs/cgroup/cpuset/cpuset.mems", "0-1\n");
    file("/sys/fs/cgroup/memory/memory.use_hierarchy", "1\n");
    file("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "9223372036854771712\n");
    for (const char* controller : {"cpu,cpuacct", "devices", "freezer", "pids"})
      file(std::string("/sys/fs/cgroup/") + controller + "/cgroup.procs", "");
    return made(find_cgroups(std::string(kV1Mounts) + more_mounts,
                             "5:memory:/no/such/place\n3:cpuset:/\n0::/\n", root_),
                settings);
  }
  Confiner made(CgroupSystem system, const ConfinementSettings& settings) {
    Confiner out(std::move(system), "bai-n1");
    out.configure(settings, 1000);
    return out;
  }

  // "FILE=VALUE ..." of one level of the tree below `parent`.
  static std::string words(const std::vector<CgroupSetting>& settings) {
    std::string out;
    for (const auto& s : settings) out += (out.empty() ? "" : " ") + s.file + "=" + s.value;
    return out;
  }
  const CgroupTree* tree(const step::StepLaunch& launch, const std::string& parent) {
    for (const auto& t : launch.confinement.trees)
      if (t.parent == root_ + "/sys/fs/cgroup/" + parent + "/bai-n1-limited") return &t;
    ADD_FAILURE() << "no tree in " << parent;
    static const CgroupTree kNone;
    return &kNone;
  }

  std::string root_;
};

ConfinementSettings everything() {
  ConfinementSettings s;
  s.cores = s.swap = true;
  s.cpu_time = CpuTime::kWeight;
  s.max_processes = 500;
  return s;
}

JobLimits limits() { return {2, "2-3", 100, {{false, 195, 1}}}; }

TEST_F(AgentConfine, Version2) {
  const Confiner confiner = v2(everything());
  step::StepLaunch launch;
  confiner.confine(limits(), launch);
  EXPECT_TRUE(launch.cgroups.empty()) << "a process is in one place of v2 only";
  ASSERT_EQ(launch.confinement.trees.size(), 1u);
  const auto* t = tree(launch, "system.slice/bai-agentd.service");
  EXPECT_EQ(words(t->node), "cgroup.subtree_control=+cpuset +cpu +memory +pids");
  EXPECT_EQ(
      words(t->job),
      "cpuset.cpus=2-3 cpu.weight=20 memory.max=104857600 memory.swap.max=0 cgroup.subtree_control=+memory "
      "pids.max=500 devices.deny=c 195:1 rwm");
  EXPECT_EQ(words(t->step), "");
  EXPECT_EQ(launch.confinement.memory_mib, 100u);
  EXPECT_EQ(confiner.not_enforced(), "");
}

TEST_F(AgentConfine, Version2HandsItsControllersDown) {
  Confiner confiner = v2(everything());
  confiner.prepare();
  EXPECT_EQ(text("/sys/fs/cgroup/system.slice/bai-agentd.service/cgroup.subtree_control"),
            "+pids");  // the last written
  // One that is not there, or cannot be handed down, is said.
  std::filesystem::remove(root_ + "/sys/fs/cgroup/system.slice/bai-agentd.service/cgroup.subtree_control");
  confiner.prepare();
  EXPECT_EQ(confiner.not_enforced(),
            "cores, processor time, memory, processes: no such cgroup controller here");
  step::StepLaunch launch;
  confiner.confine({2, "2-3", 100, {}}, launch);
  EXPECT_TRUE(launch.confinement.trees.empty());
  EXPECT_EQ(launch.cgroups.size(), 1u) << "processes can be found all the same";
}

TEST_F(AgentConfine, Version1) {
  const Confiner confiner = v1(everything());
  step::StepLaunch launch;
  confiner.confine(limits(), launch);
  EXPECT_EQ(launch.cgroups, std::vector{root_ + "/sys/fs/cgroup/freezer/bai-n1"});
  EXPECT_EQ(words(tree(launch, "cpuset")->node), "cpuset.cpus=0-7 cpuset.mems=0-1");
  EXPECT_EQ(words(tree(launch, "cpuset")->job), "cpuset.cpus=2-3 cpuset.mems=0-1");
  EXPECT_EQ(words(tree(launch, "cpuset")->step), "cpuset.cpus=2-3 cpuset.mems=0-1");
  EXPECT_EQ(words(tree(launch, "cpu,cpuacct")->job), "cpu.shares=2048");
  EXPECT_EQ(words(tree(launch, "memory")->node), "memory.use_hierarchy=1");
  EXPECT_EQ(words(tree(launch, "memory")->job),
            "memory.limit_in_bytes=104857600 memory.memsw.limit_in_bytes=104857600");
  EXPECT_EQ(words(tree(launch, "pids")->job), "pids.max=500");
  EXPECT_EQ(words(tree(launch, "devices")->job), "devices.deny=c 195:1 rwm");
  EXPECT_EQ(confiner.not_enforced(), "");
}

// v2 is there for finding processes, v1 has the controllers.
TEST_F(AgentConfine, BothVersionsSideBySide) {
  file("/sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
  const Confiner confiner = v1(everything(), kUnifiedMount);
  step::StepLaunch launch;
  confiner.confine(limits(), launch);
  EXPECT_EQ(launch.cgroups, std::vector{root_ + "/sys/fs/cgroup/unified/bai-n1"});
  EXPECT_EQ(launch.confinement.trees.size(), 5u);
  EXPECT_EQ(words(tree(launch, "memory")->job).substr(0, 31), "memory.limit_in_bytes=104857600");
}

TEST_F(AgentConfine, AJobWithoutLimitsCostsNoTree) {
  for (const Confiner& confiner : {v1({}), v2({})})
    for (const JobLimits& none : {JobLimits{2, "", 0, {}}, JobLimits{8, "", 1000, {}}}) {
      step::StepLaunch launch;
      confiner.confine(none, launch);
      EXPECT_TRUE(launch.confinement.trees.empty());
      EXPECT_EQ(launch.cgroups.size(), 1u);
    }
}

TEST_F(AgentConfine, MemoryIsWhatTheSettingsMakeOfIt) {
  ConfinementSettings s;
  s.allowed_ram_percent = 150;
  s.max_ram_percent = 50;
  s.allowed_swap_percent = 200;
  s.max_swap_percent = 10;
  const Confiner confiner = v2(s);
  EXPECT_EQ(confiner.ram_bytes(100), 150u << 20);
  EXPECT_EQ(confiner.ram_bytes(800), 500u << 20);  // half of the node
  EXPECT_EQ(confiner.ram_bytes(1), 30u << 20);     // the least
  EXPECT_EQ(confiner.swap_bytes(40), 80u << 20);
  EXPECT_EQ(confiner.swap_bytes(400), 100u << 20);
}

TEST_F(AgentConfine, WithoutCgroupsItSaysSo) {
  Confiner confiner({}, "bai-n1", "the agent is not root");
  confiner.configure({}, 1000);
  confiner.prepare();
  EXPECT_EQ(confiner.not_enforced(), "memory, devices: the agent is not root");
  step::StepLaunch launch;
  confiner.confine(limits(), launch);
  EXPECT_TRUE(launch.cgroups.empty());
  EXPECT_TRUE(launch.confinement.empty());
  ConfinementSettings nothing;
  nothing.memory = nothing.devices = false;
  confiner.configure(nothing, 1000);
  EXPECT_EQ(confiner.not_enforced(), "") << "what nobody asked for is not missed";
}

}  // namespace
}  // namespace bai::agent
