#include "device/protocol.h"

#include <gtest/gtest.h>

#include <random>

#include "device/device_plugin.h"
#include "step/record.h"

namespace bai::device {
namespace {

Found found() {
  Found out;
  out.id = "GPU-1";
  out.kind = "gpu";
  out.type = "a100";
  out.model = "NVIDIA A100";
  out.local_cpus = "0-15,32";
  out.numa_node = 1;
  out.mem_mib = 40'960;
  out.shares = out.mps = true;
  out.files = {{"/dev/nvidia0", {false, 195, 0}}, {"/dev/nvidia-caps/nvidia-cap3", {false, 507, 3}}};
  out.environment = {"CUDA_VISIBLE_DEVICES=%d", "X="};
  return out;
}

State state() {
  State out;
  out.id = "GPU-1";
  out.health = DeviceHealth::kUnhealthy;
  out.why = "Xid 79";
  out.use_percent = 35;
  out.mem_used_mib = 1'200;
  out.power_mw = 250'000;
  out.processes = {{4711, 1'000}, {4712, 0}};
  return out;
}

std::vector<FromHost> all() {
  Found plain;
  plain.id = "x";
  plain.kind = "tpu";
  State unknown;
  unknown.id = "x";
  return {found(),
          plain,
          state(),
          unknown,
          Done{{"gpu", "tpu"}},
          Done{},
          Failed{true, {"gpu"}, "there is no driver"}};
}

TEST(DeviceProtocol, BothWays) {
  for (const auto& message : all()) {
    auto back = decode_from_host(encode(message));
    ASSERT_TRUE(back.ok()) << back.error().text();
    EXPECT_EQ(*back, message);
  }
  auto begin =
      decode_to_host(encode(ToHost(Begin{"cuda", "/usr/lib/bai/device_cuda.so", "/etc/bai/devices"})));
  ASSERT_TRUE(begin.ok());
  EXPECT_EQ(std::get<Begin>(*begin).file, "/usr/lib/bai/device_cuda.so");
  auto look = decode_to_host(encode(ToHost(Look{})));
  ASSERT_TRUE(look.ok());
  EXPECT_TRUE(std::holds_alternative<Look>(*look));
}

bool refused(const FromHost& message) { return !decode_from_host(encode(message)).ok(); }

TEST(DeviceProtocol, RefusesWhatIsTooMuchOrNoText) {
  const auto changed = [](auto&& change) {
    Found f = found();
    change(f);
    return refused(f);
  };
  EXPECT_FALSE(changed([](Found&) {}));
  EXPECT_TRUE(changed([](Found& f) { f.id = ""; }));
  EXPECT_TRUE(changed([](Found& f) { f.id = std::string(BAI_DEVICE_MOST_TEXT + 1, 'x'); }));
  EXPECT_TRUE(changed([](Found& f) { f.model = "a\nb"; }));
  EXPECT_TRUE(changed([](Found& f) { f.model = "\xff"; }));
  EXPECT_TRUE(changed([](Found& f) { f.kind = "g p u"; }));
  EXPECT_TRUE(changed([](Found& f) { f.type = "a:b"; }));
  EXPECT_TRUE(changed([](Found& f) { f.environment = {"no variable"}; }));
  EXPECT_TRUE(changed([](Found& f) { f.environment = {"LD PRELOAD=x"}; }));
  EXPECT_TRUE(changed([](Found& f) { f.environment.assign(BAI_DEVICE_MOST_WORDS + 1, "A=b"); }));
  EXPECT_TRUE(changed([](Found& f) { f.files.assign(BAI_DEVICE_MOST_WORDS + 1, f.files[0]); }));
  EXPECT_TRUE(changed([](Found& f) { f.mem_mib = UINT64_MAX; }));
  State s = state();
  s.use_percent = 101;
  EXPECT_TRUE(refused(s));
  s = state();
  s.health = static_cast<DeviceHealth>(3);
  EXPECT_TRUE(refused(s));
  s = state();
  s.processes.assign(BAI_DEVICE_MOST_USERS + 1, {1, 1});
  EXPECT_TRUE(refused(s));
  EXPECT_TRUE(refused(Done{{"a", "b b"}}));
  EXPECT_TRUE(refused(Done{std::vector<std::string>(17, "gpu")}));
}

// Whatever bytes come, the answer is a message that can be sent, or a refusal.
TEST(DeviceProtocol, BearsGarbage) {
  std::mt19937 random(1);
  const auto feed = [](const std::string& bytes) {
    auto decoded = decode_from_host(bytes);
    if (decoded.ok()) {
      EXPECT_TRUE(decode_from_host(encode(*decoded)).ok());
    }
    (void)decode_to_host(bytes);
  };
  for (const auto& message : all()) {
    const std::string good = encode(message);
    for (std::size_t cut = 0; cut < good.size(); ++cut) feed(good.substr(0, cut));
    for (int i = 0; i < 2'000; ++i) {
      std::string bad = good;
      for (int n = static_cast<int>(random() % 4) + 1; n > 0; --n)
        bad[random() % bad.size()] = static_cast<char>(random());
      feed(bad);
    }
  }
  for (int i = 0; i < 2'000; ++i) {
    std::string noise(random() % 64, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    feed(noise);
  }
  feed(std::string(kMaxFrame + 1, 'x'));
}

}  // namespace
}  // namespace bai::device
