#include "step/pmix_frames.h"

#include <gtest/gtest.h>

namespace bai::step {
namespace {

TEST(PmixFrames, AreTakenWhole) {
  const std::string two =
      encode_pmix_frame(PmixFrameType::kMessage, "abc") + encode_pmix_frame(PmixFrameType::kReady, "");
  for (size_t size = 0; size < 8; ++size) {
    std::string_view part = std::string_view(two).substr(0, size);
    auto frame = take_pmix_frame(&part);
    ASSERT_TRUE(frame.ok());
    EXPECT_FALSE(frame->has_value());
    EXPECT_EQ(part.size(), size);
  }
  std::string_view rest = two;
  auto frame = take_pmix_frame(&rest);
  ASSERT_TRUE(frame.ok() && *frame);
  EXPECT_EQ((*frame)->type, PmixFrameType::kMessage);
  EXPECT_EQ((*frame)->body, "abc");
  frame = take_pmix_frame(&rest);
  ASSERT_TRUE(frame.ok() && *frame);
  EXPECT_EQ((*frame)->body, "");
  EXPECT_TRUE(rest.empty());
}

TEST(PmixFrames, TooLongAFrameIsRefusedBeforeItCame) {
  std::string_view head("\xff\xff\xff\xff\x02", 5);
  EXPECT_FALSE(take_pmix_frame(&head).ok());
}

TEST(PmixFrames, AWorldComesBackAsItWas) {
  PmixPlan plan;
  plan.nspace = "bai.7.0.x";
  plan.job = "7.0";
  plan.uid = 1000;
  plan.gid = 100;
  plan.node_index = 1;
  plan.node_names = {"n1", "n2"};
  plan.rank_nodes = {0, 1, 0};
  plan.directory = "/d";
  auto back = decode_pmix_plan(encode_pmix_plan(plan));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, plan);
  plan.rank_nodes = {2};
  EXPECT_FALSE(decode_pmix_plan(encode_pmix_plan(plan)).ok());
  EXPECT_FALSE(decode_pmix_plan("").ok());
}

TEST(PmixFrames, AnEnvironmentIsOfVariables) {
  const PmixEnvironment environment = {{0, {"A=1", "B="}}, {5, {}}};
  auto back = decode_pmix_environment(encode_pmix_environment(environment));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, environment);
  EXPECT_FALSE(decode_pmix_environment(encode_pmix_environment({{0, {"none"}}})).ok());
  EXPECT_FALSE(decode_pmix_environment(encode_pmix_environment({{0, {std::string("A=\0", 3)}}})).ok());
  EXPECT_FALSE(
      decode_pmix_environment(encode_pmix_environment({{0, std::vector<std::string>(100, "A=1")}})).ok());
}

}  // namespace
}  // namespace bai::step
