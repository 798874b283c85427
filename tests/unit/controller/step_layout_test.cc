#include "controller/step_layout.h"

#include <gtest/gtest.h>

namespace bai::controller {
namespace {

std::vector<StepRoom> rooms(std::vector<std::uint32_t> cpus) {
  std::vector<StepRoom> out;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    StepRoom room;
    room.has.node = "n" + std::to_string(i + 1);
    room.has.cpus = cpus[i];
    room.has.mem_mib = 1000;
    out.push_back(room);
  }
  return out;
}

std::string shown(const Result<std::optional<std::vector<StepShare>>>& laid) {
  if (!laid.ok()) return laid.error().code;
  if (!*laid) return "busy";
  std::string out;
  for (const auto& share : **laid) {
    out += (out.empty() ? "" : " ") + share.node.str() + "/" + std::to_string(share.cpus) + ":";
    for (std::size_t i = 0; i < share.ranks.size(); ++i)
      out += (i ? "," : "") + std::to_string(share.ranks[i]);
  }
  return out;
}

TEST(StepLayout, one_task_a_node_by_default) {
  EXPECT_EQ(shown(lay_out({}, rooms({4, 4}))), "n1/4:0 n2/4:1");
}

TEST(StepLayout, blocks_fill_nodes_after_one_each) {
  StepSpec spec;
  spec.tasks = 6;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n1/4:0,1,2,3 n2/4:4,5");
  spec.tasks_per_node = 3;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n1/4:0,1,2 n2/4:3,4,5");
}

TEST(StepLayout, cyclic_plane_and_arbitrary) {
  StepSpec spec;
  spec.tasks = 5;
  spec.distribution = Distribution::kCyclic;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n1/4:0,2,4 n2/4:1,3");
  spec.distribution = Distribution::kPlane;
  spec.plane = 2;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n1/4:0,1,4 n2/4:2,3");
  spec.distribution = Distribution::kArbitrary;
  spec.hosts = {"n2", "n1", "n2", "n2", "n1"};
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n1/4:1,4 n2/4:0,2,3");
  spec.hosts[0] = "n9";
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "bad_node");
}

TEST(StepLayout, fewer_tasks_than_nodes_use_as_many_nodes_as_tasks) {
  StepSpec spec;
  spec.tasks = 1;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n1/4:0");
}

TEST(StepLayout, exact_steps_share_a_node_and_others_wait_for_all_of_it) {
  auto job = rooms({4});
  StepSpec exact;
  exact.tasks = 1;
  exact.cpus_per_task = 3;
  exact.exact = true;
  auto laid = lay_out(exact, job);
  EXPECT_EQ(shown(laid), "n1/3:0");
  Step step;
  step.spec = exact;
  step.nodes = **laid;
  take(job, step);
  EXPECT_EQ(shown(lay_out(exact, job)), "busy");
  EXPECT_EQ(shown(lay_out({}, job)), "busy");
  StepSpec over;
  over.overlap = true;
  EXPECT_EQ(shown(lay_out(over, job)), "n1/4:0");
  exact.cpus_per_task = 1;
  EXPECT_EQ(shown(lay_out(exact, job)), "n1/1:0");
  give(job, step);
  EXPECT_EQ(shown(lay_out({}, job)), "n1/4:0");
}

TEST(StepLayout, what_can_never_be_is_refused_at_once) {
  StepSpec spec;
  spec.tasks = 9;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "step_too_large");
  spec.overcommit = true;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n1/4:0,1,2,3,4 n2/4:5,6,7,8");
  spec = {};
  spec.min_nodes = 3;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "step_too_large");
  spec = {};
  spec.mem_mib = 2000;
  EXPECT_EQ(shown(lay_out(spec, rooms({4}))), "step_too_large");
  spec = {};
  spec.relative = true;
  spec.first_node = 2;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "bad_request");
}

TEST(StepLayout, wanted_excluded_and_relative_nodes) {
  StepSpec spec;
  spec.tasks = 1;
  spec.nodes_wanted = "n2";
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4, 4}))), "n2/4:0");
  spec.nodes_wanted = "n7";
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "bad_node");
  spec.nodes_wanted = "n1,n2,n3";  // more than there are tasks
  for (const auto how : {Distribution::kBlock, Distribution::kCyclic}) {
    spec.tasks = 2;
    spec.distribution = how;
    EXPECT_EQ(shown(lay_out(spec, rooms({4, 4, 4, 4}))), "n1/4:0 n2/4:1");
  }
  spec.tasks = 1;
  spec.nodes_wanted = Istr();
  spec.nodes_excluded = "n1";
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4}))), "n2/4:0");
  spec.nodes_excluded = Istr();
  spec.relative = true;
  spec.first_node = 2;
  EXPECT_EQ(shown(lay_out(spec, rooms({4, 4, 4}))), "n3/4:0");
}

TEST(StepLayout, devices_are_counted_where_asked_for) {
  auto job = rooms({4});
  job[0].has.devices = {{"gpu", "a", 0, 1000}, {"gpu", "a", 1, 1000}};
  StepSpec spec;
  spec.tasks = 1;
  spec.exact = true;
  spec.devices = {{"gpu", "", 1000, DevicePer::kNode}};
  auto first = lay_out(spec, job);
  ASSERT_TRUE(first.ok() && *first);
  EXPECT_EQ((**first)[0].devices[0].index, 0u);
  Step step;
  step.spec = spec;
  step.nodes = **first;
  take(job, step);
  auto second = lay_out(spec, job);
  ASSERT_TRUE(second.ok() && *second);
  EXPECT_EQ((**second)[0].devices[0].index, 1u);
  take(job, step);
  spec.devices[0].amount = 3000;
  EXPECT_EQ(shown(lay_out(spec, job)), "step_too_large");
}

}  // namespace
}  // namespace bai::controller
