#include "agent/device_access.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/device_hosts.h"
#include "agent/mps.h"

namespace bai::agent {
namespace {

using Words = std::vector<std::string>;

NodeDevice device(const char* kind, std::uint32_t index, Words environment, std::vector<std::uint32_t> minors,
                  const char* plugin = "cuda") {
  NodeDevice out;
  out.kind = kind;
  out.index = index;
  out.plugin = plugin;
  out.found.id = std::string(kind) + std::to_string(index);
  out.found.environment = std::move(environment);
  for (const auto minor : minors)
    out.found.files.push_back({"/dev/nvidia" + std::to_string(minor), {false, 195, minor}});
  return out;
}

DeviceTable four() {
  DeviceTable table;
  for (std::uint32_t i = 0; i < 4; ++i)
    table.push_back(
        device("gpu", i, {"CUDA_VISIBLE_DEVICES=%d", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "P=100%%"}, {i}));
  return table;
}

DeviceShare share(const char* kind, std::uint32_t index) { return {kind, "", index, kWholeDevice}; }

std::string denied(const DeviceGrant& grant) {
  std::string out;
  for (const auto& rule : grant.denied) out += (out.empty() ? "" : " ") + std::to_string(rule.minor);
  return out;
}

TEST(AgentDeviceAccess, AJobSeesItsOwn) {
  const auto grant = grant_devices(four(), {share("gpu", 1), share("gpu", 3)}, false);
  EXPECT_EQ(grant.environment, (Words{"CUDA_VISIBLE_DEVICES=1,3", "CUDA_DEVICE_ORDER=PCI_BUS_ID", "P=100%"}));
  EXPECT_EQ(denied(grant), "0 2");
  const auto apart = grant_devices(four(), {share("gpu", 1), share("gpu", 3)}, true);
  EXPECT_EQ(apart.environment[0], "CUDA_VISIBLE_DEVICES=0,1") << "the others do not exist for it";
}

TEST(AgentDeviceAccess, AJobWithoutDevicesSeesNone) {
  const auto grant = grant_devices(four(), {}, true);
  EXPECT_EQ(grant.environment, (Words{"CUDA_VISIBLE_DEVICES=", "CUDA_DEVICE_ORDER=", "P="}));
  EXPECT_EQ(denied(grant), "0 1 2 3");
  EXPECT_TRUE(grant_devices({}, {share("gpu", 0)}, true).environment.empty());
}

TEST(AgentDeviceAccess, WhatTheConfigurationDoesNotCountIsNobodys) {
  auto table = four();
  table[2].index = kNotGiven;
  EXPECT_EQ(denied(grant_devices(table, {share("gpu", 0), share("gpu", 1), share("gpu", 3)}, false)), "2");
  EXPECT_EQ(find_device(table, share("gpu", 2)), nullptr);
}

TEST(AgentDeviceAccess, PartsShareTheFilesOfTheWhole) {
  const DeviceTable table = {device("gpu", 0, {"CUDA_VISIBLE_DEVICES=MIG-a"}, {0, 11}),
                             device("gpu", 1, {"CUDA_VISIBLE_DEVICES=MIG-b"}, {0, 12}),
                             device("gpu", 2, {"CUDA_VISIBLE_DEVICES=MIG-c"}, {1, 13})};
  const auto grant = grant_devices(table, {share("gpu", 0)}, true);
  EXPECT_EQ(grant.environment, Words{"CUDA_VISIBLE_DEVICES=MIG-a"});
  EXPECT_EQ(denied(grant), "12 1 13") << "of the first GPU its own part only, and nothing of the second";
}

TEST(AgentDeviceAccess, EachPluginCountsItsOwn) {
  DeviceTable table = {device("gpu", 0, {"CUDA_VISIBLE_DEVICES=%d"}, {0}),
                       device("gpu", 1, {"ROCR_VISIBLE_DEVICES=%d"}, {1}, "rocm"),
                       device("npu", 0, {"NPU=%d"}, {2}, "generic")};
  EXPECT_EQ(grant_devices(table, {share("gpu", 1), share("npu", 0)}, false).environment,
            (Words{"CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=0", "NPU=0"}));
}

TEST(AgentDeviceAccess, ATaskSeesItsPartOfTheStepsGpus) {
  auto table = four();
  table.push_back(device("npu", 0, {"NPU=%d"}, {9}, "generic"));
  const std::vector<DeviceShare> all = {share("gpu", 1), share("gpu", 3)};
  EXPECT_EQ(visible_gpus(table, all, {share("gpu", 3)}, true)[0], "CUDA_VISIBLE_DEVICES=1");
  EXPECT_EQ(visible_gpus(table, all, {share("gpu", 3)}, false)[0], "CUDA_VISIBLE_DEVICES=3");
  for (const auto& entry : visible_gpus(table, all, all, true)) EXPECT_FALSE(entry.starts_with("NPU"));
  EXPECT_EQ(visible_gpus({}, all, {share("gpu", 3)}, false)[0], "CUDA_VISIBLE_DEVICES=3")
      << "without plugins";
  EXPECT_EQ(gpu_bind_line({1}, {{0, 0}, {1, 0}}),
            "gpu-bind: usable_gres=0x2; bit_alloc=0x3; local_inx=2; global_list=1; local_list=1\n");
  EXPECT_EQ(gpu_bind_line({}, {{4, 0}, {5, 0}}),
            "gpu-bind: usable_gres=0x30; bit_alloc=0x30; local_inx=2; global_list=4,5; local_list=4,5\n");
}

TEST(AgentDeviceAccess, TablesFollowTheConfiguration) {
  KnownDevice a, b;
  a.found.id = "A", b.found.id = "B";
  a.found.kind = b.found.kind = "gpu";
  DeviceReport report;
  report.devices.resize(2);
  for (auto& one : report.devices) one.kind = "gpu";
  report.devices[0].type = "t4", report.devices[1].type = "a100";
  auto groups = parse_device_groups("gpu:a100:1");
  ASSERT_TRUE(groups.ok());
  const auto table = make_device_table(*groups, report, {&a, &b}, {"cuda", "cuda"});
  EXPECT_TRUE(make_device_table({}, report, {&a, &b}, {"cuda", "cuda"}).empty())
      << "where nobody counts GPUs, nobody keeps them from anybody";
  EXPECT_EQ(all_devices(table), std::vector<DeviceShare>{share("gpu", 0)});
  EXPECT_EQ(table[0].index, kNotGiven);
  EXPECT_EQ(table[1].index, 0u);
  EXPECT_EQ(table[1].found.id, "B");
}

TEST(AgentDeviceAccess, KnowsTheSocketThatADeviceIsNearTo) {
  CpuTopology topology;
  for (std::uint32_t cpu = 0; cpu < 8; ++cpu) topology.push_back({cpu, cpu, cpu / 4, cpu / 2});
  EXPECT_EQ(socket_of(topology, "4-7", -1), 1);
  EXPECT_EQ(socket_of(topology, "3-6", -1), 1) << "most of them";
  EXPECT_EQ(socket_of(topology, "", 1), 0);
  EXPECT_EQ(socket_of(topology, "", -1), kNoSocket);
  EXPECT_EQ(socket_of(topology, "nonsense", 9), kNoSocket);
  EXPECT_EQ(socket_of({}, "0-3", 0), kNoSocket);
}

TEST(AgentDeviceAccess, MpsHoldsAJobToItsShare) {
  EXPECT_EQ(mps_environment("/run/mps", "GPU-1", 250, 40'960),
            (Words{"CUDA_VISIBLE_DEVICES=GPU-1", "CUDA_MPS_PIPE_DIRECTORY=/run/mps",
                   "CUDA_MPS_LOG_DIRECTORY=/run/mps", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=25",
                   "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=10240M"}));
  const auto least = mps_environment("/run/mps", "GPU-1", 1, 0);
  EXPECT_EQ(least.size(), 4u) << "no memory is known";
  EXPECT_EQ(least[3], "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=1");
}

// Stands for nvidia-cuda-mps-control: something that goes to the background, and its number.
TEST(AgentDeviceAccess, MpsIsStartedWhereAnotherProcessHasTheNumberOfOneThatIsGone) {
  std::string root = "/tmp/bai-mps-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const MpsSettings settings{root + "/control", root + "/run"};
  const std::string dir = mps_dir(settings, "GPU-1"), number = dir + "/nvidia-cuda-mps-control.pid";
  std::ofstream(settings.program) << "#!/bin/sh\necho started >>" << root
                                  << "/log\n(while :; do sleep 1; done) >/dev/null 2>&1 &\n"
                                  << "echo $! >$CUDA_MPS_PIPE_DIRECTORY/nvidia-cuda-mps-control.pid\n";
  chmod(settings.program.c_str(), 0755);
  std::filesystem::create_directories(dir);
  std::ofstream(number) << getpid() << "\n";
  const auto log = [&] {
    std::ifstream in(root + "/log");
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  auto done = start_mps(settings, "GPU-1");
  EXPECT_TRUE(done.ok()) << done.error().text();
  EXPECT_EQ(log(), "started\n");
  // The one that runs now is known.
  EXPECT_TRUE(start_mps(settings, "GPU-1").ok());
  EXPECT_EQ(log(), "started\n");
  pid_t daemon = 0;
  std::ifstream(number) >> daemon;
  if (daemon > 1 && daemon != getpid()) kill(daemon, SIGKILL);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace bai::agent
