// A host process as its rules see it: a process that crashes, hangs or lies costs its devices their health for a while, and nothing else.
#include "agent/device_host.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/log.h"

namespace bai::agent {
namespace {

using Action = DeviceHost::Action;

device::Found found(const char* id) {
  device::Found out;
  out.id = id;
  out.kind = "gpu";
  return out;
}
device::State state(const char* id, DeviceHealth health = DeviceHealth::kHealthy, const char* why = "") {
  device::State out;
  out.id = id;
  out.health = health;
  out.why = why;
  return out;
}

class AgentDeviceHost : public ::testing::Test {
 protected:
  AgentDeviceHost() { log::set_level(log::Level::off); }
  ~AgentDeviceHost() override { log::set_level(log::Level::info); }

  void says(const device::FromHost& message) { host.heard(message, now); }
  // Until it idles.
  void begin(std::vector<const char*> ids) {
    EXPECT_EQ(host.on_time(now), Action::kSpawn);
    host.spawned(now);
    EXPECT_EQ(host.on_time(now), Action::kBegin);
    for (const char* id : ids) says(found(id));
    says(device::Done{{"gpu"}});
    look(ids);
  }
  void look(std::vector<const char*> ids) {
    EXPECT_EQ(host.on_time(now), Action::kLook);
    for (const char* id : ids) says(state(id));
    says(device::Done{});
    EXPECT_EQ(host.on_time(now), Action::kNone);
  }
  // "A+ B-! C?": healthy, unhealthy, unknown.
  std::string health() {
    std::string out;
    for (const auto& device : host.devices())
      out += (out.empty() ? "" : " ") + device.found.id + "+-?"[static_cast<int>(device.state.health)];
    return out;
  }
  // It is to be ended, and is.
  void killed() {
    EXPECT_EQ(host.on_time(now), Action::kKill);
    EXPECT_EQ(host.on_time(now + 1'000'000), Action::kNone) << "until it has ended";
    host.ended("was ended by signal 9", now);
  }

  std::int64_t now = 1'000;
  DeviceHost host{"cuda", true, 30'000};
};

TEST_F(AgentDeviceHost, LooksAtWhatItFoundAgainAndAgain) {
  EXPECT_FALSE(host.settled());
  begin({"A", "B"});
  EXPECT_TRUE(host.settled());
  EXPECT_EQ(health(), "A+ B+");
  EXPECT_EQ(host.kinds(), std::vector<std::string>{"gpu"});
  EXPECT_EQ(host.next_ms(), now + 30'000);
  now += 30'000;
  EXPECT_EQ(host.on_time(now), Action::kLook);
  says(state("A"));
  says(state("B", DeviceHealth::kUnhealthy, "Xid 79"));
  says(device::Done{});
  EXPECT_EQ(health(), "A+ B-");
  EXPECT_EQ(host.devices()[1].state.why, "Xid 79");
  now += 30'000;
  look({"A", "B"});
  EXPECT_EQ(health(), "A+ B+");
}

TEST_F(AgentDeviceHost, OneThatIsNotToldOfIsGone) {
  begin({"A", "B"});
  now += 30'000;
  look({"A"});
  EXPECT_EQ(health(), "A+ B-");
}

TEST_F(AgentDeviceHost, ACrashIsABadTimeForItsDevicesOnly) {
  begin({"A", "B"});
  host.ended("was ended by signal 11", now);
  EXPECT_EQ(health(), "A? B?");
  EXPECT_EQ(host.trouble(), "the device plugin cuda was ended by signal 11");
  EXPECT_EQ(host.devices()[0].state.why, host.trouble());
  EXPECT_EQ(host.on_time(now), Action::kNone) << "not at once";
  now += DeviceHost::kFirstPauseMs;
  begin({"B", "A", "C"});
  EXPECT_EQ(health(), "A+ B+ C+") << "each in its place";
  EXPECT_EQ(host.trouble(), "");
}

TEST_F(AgentDeviceHost, CrashesAreAnsweredEverMoreSlowly) {
  std::int64_t waited = 0;
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(host.on_time(now), Action::kSpawn);
    host.spawned(now);
    EXPECT_EQ(host.on_time(now), Action::kBegin);
    host.ended("was ended by signal 11", now);
    EXPECT_TRUE(host.settled());
    waited = host.next_ms() - now;
    now = host.next_ms();
  }
  EXPECT_EQ(waited, DeviceHost::kLongestPauseMs);
  begin({"A"});
  host.ended("was ended by signal 11", now);
  EXPECT_EQ(host.next_ms() - now, DeviceHost::kFirstPauseMs) << "it had worked";
}

TEST_F(AgentDeviceHost, OneThatDoesNotAnswerIsEnded) {
  begin({"A"});
  now += 30'000;
  EXPECT_EQ(host.on_time(now), Action::kLook);
  now += DeviceHost::kAnswerMs - 1;
  EXPECT_EQ(host.on_time(now), Action::kNone);
  now += 1;
  killed();
  EXPECT_EQ(health(), "A?");
  EXPECT_EQ(host.trouble(), "the device plugin cuda does not answer");
  now += DeviceHost::kFirstPauseMs;
  begin({"A"});
}

TEST_F(AgentDeviceHost, ADiscoveryThatNeverEndsIsOver) {
  EXPECT_EQ(host.on_time(now), Action::kSpawn);
  host.spawned(now);
  EXPECT_EQ(host.on_time(now), Action::kBegin);
  says(found("A"));
  EXPECT_EQ(health(), "") << "nothing counts before the answer is whole";
  EXPECT_FALSE(host.settled());
  now += DeviceHost::kBeginMs;
  killed();
  EXPECT_TRUE(host.settled());
}

TEST_F(AgentDeviceHost, LiesAreItsEnd) {
  const std::vector<std::function<void()>> lies = {
      [&] {
        host.heard(Error{"bad_frame", "a frame is too long"}, now);
      },
      [&] { says(state("Z")); },
      [&] { says(state("A")), says(state("A")); },
      [&] { says(found("B")); },
      [&] {
        says(device::Failed{false, {}, "the driver is broken"});
      },
  };
  for (const auto& lie : lies) {
    host = DeviceHost("cuda", true, 30'000);
    begin({"A"});
    now += 30'000;
    EXPECT_EQ(host.on_time(now), Action::kLook);
    lie();
    EXPECT_EQ(health(), "A?");
    says(state("A"));
    EXPECT_EQ(health(), "A?") << "nobody listens any more";
    killed();
  }
}

TEST_F(AgentDeviceHost, AbsentIsNoTroubleUnlessItWasNamed) {
  host = DeviceHost("rocm", false, 30'000);
  EXPECT_EQ(host.on_time(now), Action::kSpawn);
  host.spawned(now);
  EXPECT_EQ(host.on_time(now), Action::kBegin);
  says(device::Failed{true, {"gpu"}, "there is no librocm_smi64"});
  EXPECT_TRUE(host.settled());
  EXPECT_EQ(host.trouble(), "");
  EXPECT_EQ(host.on_time(now), Action::kKill);
  host.ended("was ended by signal 9", now);
  EXPECT_EQ(host.on_time(now + 1'000'000'000), Action::kNone) << "for good";

  host = DeviceHost("rocm", true, 30'000);
  EXPECT_EQ(host.on_time(now), Action::kSpawn);
  host.spawned(now);
  EXPECT_EQ(host.on_time(now), Action::kBegin);
  says(device::Failed{true, {"gpu"}, "there is no librocm_smi64"});
  EXPECT_EQ(host.trouble(), "the device plugin rocm says: there is no librocm_smi64");
  EXPECT_EQ(host.kinds(), std::vector<std::string>{"gpu"});
  killed();
  EXPECT_EQ(host.on_time(now + DeviceHost::kFirstPauseMs), Action::kSpawn);
}

}  // namespace
}  // namespace bai::agent
