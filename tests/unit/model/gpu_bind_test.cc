#include "model/gpu_bind.h"

#include <gtest/gtest.h>

#include "model/device_state.h"

namespace bai {
namespace {

IdSet sockets(std::initializer_list<std::uint32_t> list) {
  IdSet out;
  for (auto id : list) out.insert(id);
  return out;
}

// "0,1|2|": the GPUs of each task.
std::string bound(const char* how, const std::vector<GpuPlace>& gpus, const std::vector<IdSet>& tasks) {
  auto bind = parse_gpu_bind(how);
  if (!bind.ok()) return "refused";
  std::string out;
  for (const auto& task : bind_gpus(*bind, gpus, tasks)) {
    for (std::size_t i = 0; i < task.size(); ++i) out += (i ? "," : "") + std::to_string(task[i]);
    out += "|";
  }
  return out;
}

const std::vector<GpuPlace> kFour = {{0, 0}, {1, 0}, {2, 1}, {3, 1}};
const std::vector<IdSet> kTasks = {sockets({0}), sockets({0}), sockets({1}), sockets({1})};

TEST(GpuBind, BindsAsSrunsManualSays) {
  EXPECT_EQ(bound("", kFour, kTasks), "||||");
  EXPECT_EQ(bound("none", kFour, kTasks), "||||");
  EXPECT_EQ(bound("closest", kFour, kTasks), "0,1|0,1|2,3|2,3|");
  EXPECT_EQ(bound("single:1", kFour, {sockets({0, 1}), sockets({0, 1}), sockets({0, 1})}), "0|1|2|");
  EXPECT_EQ(bound("single:2", kFour, {sockets({0, 1}), sockets({0, 1}), sockets({0, 1})}), "0|0|1|");
  EXPECT_EQ(bound("single:1", kFour, {sockets({0}), sockets({0}), sockets({0})}), "0|1|0|")
      << "of the near ones";
  EXPECT_EQ(bound("per_task:2", kFour, {sockets({0}), sockets({0})}), "0,1|2,3|");
  EXPECT_EQ(bound("per_task:3", kFour, {sockets({0}), sockets({0})}), "0,1,2|0,1,3|") << "round about";
  EXPECT_EQ(bound("map_gpu:3,0", kFour, kTasks), "3|0|3|0|");
  EXPECT_EQ(bound("map_gpu:0*2,1", kFour, kTasks), "0|0|1|0|");
  EXPECT_EQ(bound("mask_gpu:0x3,0xc", kFour, kTasks), "0,1|2,3|0,1|2,3|");
}

TEST(GpuBind, NumbersAreThoseOfTheGpus) {
  EXPECT_EQ(bound("map_gpu:6,4", {{4, 0}, {6, 0}}, {{}, {}}), "1|0|");
  EXPECT_EQ(bound("map_gpu:0", {{4, 0}, {6, 0}}, {{}, {}}), "||") << "what the step has not binds nothing";
}

TEST(GpuBind, FarOnesServeWhereNoneIsNear) {
  EXPECT_EQ(bound("closest", {{0, 1}}, {sockets({0})}), "0|");
  EXPECT_EQ(bound("closest", {{0, kNoSocket}, {1, 1}}, {sockets({0})}), "0|");
  EXPECT_EQ(bound("closest", kFour, {{}}), "0,1,2,3|") << "nobody knows where the task is";
  EXPECT_EQ(bound("closest", {}, {{}}), "|");
}

TEST(GpuBind, RefusesWhatIsNoBinding) {
  for (const char* how : {"nearest", "single:0", "single:x", "per_task:", "map_gpu:", "map_gpu:a",
                          "mask_gpu:0x", "mask_gpu:0", "map_gpu:0*99999999", "verbose,x", "single:1:2"})
    EXPECT_EQ(bound(how, kFour, kTasks), "refused") << how;
  auto verbose = parse_gpu_bind("verbose,map_gpu:0,1");
  ASSERT_TRUE(verbose.ok());
  EXPECT_TRUE(verbose->verbose);
  EXPECT_EQ(verbose->list.size(), 2u);
}

}  // namespace
}  // namespace bai
