// Devices as agents report them: what is missing or unhealthy is not given to jobs, jobs that have it are told, and the node stays.
#include "cluster.h"

namespace bai::controller {
namespace {

constexpr const char* kNode = "NodeName=n1 CPUs=4 RealMemory=1000 Gres=gpu:2\n";

DeviceReport report(std::size_t count, const char* type = "a100") {
  DeviceReport out;
  for (std::size_t i = 0; i < count; ++i) {
    FoundDevice device;
    device.kind = "gpu";
    device.type = type;
    device.id = "GPU-" + std::to_string(i);
    device.shareable = true;
    out.devices.push_back(device);
  }
  out.kinds = {"gpu"};
  return out;
}

struct Devices : Cluster {
  explicit Devices(const std::string& extra = "", const char* node = kNode)
      : Cluster(make_config(extra, node)) {}
  void join(const DeviceReport& devices, const std::string& name = "n1") {
    register_agent(name, {}, [&](auto& hello) {
      hello.devices = devices;
      hello.found.devices = groups_of(devices);
    });
  }
  void beat(const DeviceReport& devices) {
    wire::AgentHeartbeat beat;
    beat.devices = devices;
    give(FromAgent{conns.at("n1"), beat});
  }
  static void want(wire::Submission& s, DeviceAmount amount, DevicePer per) {
    auto extras = s.spec.request.extras();
    extras.devices.push_back({"gpu", "", amount, per});
    s.spec.request.set_extras(std::move(extras));
  }
  JobId wants(DeviceAmount amount, DevicePer per = DevicePer::kNode) {
    return submit([&](wire::Submission& s) { want(s, amount, per); });
  }
  std::uint32_t index(JobId id) { return find(id)->allocation->nodes.at(0).devices.at(0).index; }
};

DeviceReport ill(DeviceReport devices, std::size_t which, const char* why = "Xid 79") {
  devices.devices.at(which).health = DeviceHealth::kUnhealthy;
  devices.devices.at(which).why = why;
  return devices;
}

TEST(MachineDevices, AnUnhealthyDeviceDrainsAloneAndComesBack) {
  Devices c;
  c.join(report(2));
  c.beat(ill(report(2), 0));
  const JobId first = c.wants(kWholeDevice), second = c.wants(kWholeDevice);
  EXPECT_EQ(c.state_of(first), JobState::kConfiguring);
  EXPECT_EQ(c.index(first), 1u);
  EXPECT_EQ(c.state_of(second), JobState::kPending) << "there is one GPU, and it is taken";
  EXPECT_FALSE(c.node("n1").drain);
  const JobId plain = c.submit();
  EXPECT_EQ(c.state_of(plain), JobState::kConfiguring) << "the node takes other work";
  c.beat(report(2));
  EXPECT_EQ(c.state_of(second), JobState::kConfiguring);
  EXPECT_EQ(c.index(second), 0u);
}

TEST(MachineDevices, AFaultDoesNotHideThatTheControllersPrologRuns) {
  Devices c("PrologCtld=/p\n");
  c.join(report(2));
  const JobId id = c.wants(kWholeDevice);
  ASSERT_EQ(c.find(id)->detail.view(), kPrologRuns);
  const auto faulty = ill(report(2), c.index(id));
  c.beat(faulty);
  c.restart();  // whether it ended is not known: it runs again
  c.join(faulty);
  EXPECT_EQ(c.find(id)->detail.view(), kPrologRuns);
  EXPECT_TRUE(c.launches.empty());
}

TEST(MachineDevices, WhatIsConfiguredAndNotFoundIsNotGiven) {
  Devices c;
  c.join(report(1));
  const JobId first = c.wants(kWholeDevice), second = c.wants(kWholeDevice);
  EXPECT_EQ(c.state_of(first), JobState::kConfiguring);
  EXPECT_EQ(c.state_of(second), JobState::kPending);
  const JobId whole = c.wants(2 * kWholeDevice, DevicePer::kJob);
  EXPECT_EQ(c.state_of(whole), JobState::kPending);
  const JobId both = c.wants(2 * kWholeDevice);
  EXPECT_EQ(c.state_of(both), JobState::kPending) << "accepted: the other may be repaired";
}

TEST(MachineDevices, WhatComesFreeIsNotMoreThanThereIs) {
  Devices c;
  c.join(report(1));
  for (const DevicePer per : {DevicePer::kNode, DevicePer::kJob}) {
    const JobId both = c.wants(2 * kWholeDevice, per), one = c.wants(kWholeDevice, per);
    c.complete(one);
    EXPECT_EQ(c.state_of(both), JobState::kPending);
    c.cancel(both);
  }
}

TEST(MachineDevices, ANodeOfWhichNobodyLooksHasWhatIsConfigured) {
  Devices c;
  c.join(DeviceReport());
  EXPECT_EQ(c.state_of(c.wants(2 * kWholeDevice)), JobState::kConfiguring);
}

TEST(MachineDevices, JobsAreToldOnceAndGoOn) {
  Devices c;
  c.join(report(2));
  const JobId job = c.wants(kWholeDevice), other = c.wants(kWholeDevice);
  c.runs(job), c.runs(other);
  const auto history = [&](JobId id) {
    std::vector<std::string> out;
    for (const auto& event : c.state->events)
      if (event.job == id && event.cause.view().find("healthy") != std::string_view::npos)
        out.push_back(event.cause.str());
    return out;
  };
  c.beat(ill(report(2), 0));
  c.beat(ill(report(2), 0));
  EXPECT_EQ(c.state_of(job), JobState::kRunning);
  EXPECT_EQ(c.find(job)->detail, "gpu 0 of n1 is not healthy: Xid 79");
  EXPECT_TRUE(c.find(other)->detail.empty());
  c.restart();
  c.register_agent("n1",
                   {Cluster::report(c.key(job), wire::AttemptPhase::kRunning),
                    Cluster::report(c.key(other), wire::AttemptPhase::kRunning)},
                   [&](auto& hello) { hello.devices = ill(report(2), 0); });
  EXPECT_EQ(history(job), std::vector<std::string>{"gpu 0 of n1 is not healthy: Xid 79"});
  c.beat(report(2));
  EXPECT_TRUE(c.find(job)->detail.empty());
  EXPECT_EQ(history(job).back(), "gpu 0 of n1 is healthy again");
  EXPECT_TRUE(history(other).empty());
  c.ends(job), c.ends(other);
  EXPECT_EQ(c.state_of(job), JobState::kCompleted);
}

TEST(MachineDevices, ASiteMayHaveThemCancelledOrRequeued) {
  for (const bool requeue : {true, false}) {
    Devices c(requeue ? "UnhealthyDeviceJobs=requeue\n" : "UnhealthyDeviceJobs=cancel\n");
    c.join(report(2));
    const JobId job = c.wants(kWholeDevice);
    c.runs(job);
    const auto key = c.key(job);
    c.beat(ill(report(2), 0));
    EXPECT_EQ(c.state_of(job), JobState::kCompleting);
    c.tell("n1", Cluster::report(key, wire::AttemptPhase::kEnded, wire::AttemptEnd::kCancelled, {0, 15}));
    if (!requeue) {
      EXPECT_EQ(c.state_of(job), JobState::kCancelled);
      continue;
    }
    EXPECT_EQ(c.state_of(job), JobState::kConfiguring) << "again";
    EXPECT_EQ(c.index(job), 1u);
  }
}

TEST(MachineDevices, ANodeThatNobodyNamedBringsWhatItHas) {
  Devices c("DynamicNodes=yes\n");
  c.join(report(2), "n9");
  EXPECT_EQ(format_device_groups(c.node("n9").declared.devices), "gpu:a100:2");
}

TEST(MachineDevices, SharesAreGivenOfWhatBearsThem) {
  Devices c;
  auto devices = report(2);
  devices.devices[0].shareable = devices.devices[1].shareable = false;
  c.join(devices);
  const auto refused =
      c.try_submit(user(1000), [](wire::Submission& s) { Devices::want(s, 500, DevicePer::kNode); });
  EXPECT_TRUE(refused.error) << "no node has a share to give";
  c.beat(report(2));
  const JobId half = c.wants(500), other = c.wants(500);
  EXPECT_EQ(c.index(half), c.index(other));
}

}  // namespace
}  // namespace bai::controller
