#include "controller/node_table.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rand.h"

namespace bai::controller {
namespace {

NodePtr named(const std::string& name, std::uint32_t cpus = 1) {
  auto node = std::make_shared<Node>();
  node->name = Istr(name);
  node->declared.cpus = cpus;
  return node;
}

std::vector<std::string> names(const NodeTable& table) {
  std::vector<std::string> out;
  table.for_each([&out](const Node& node) { out.push_back(node.name.str()); });
  return out;
}

TEST(NodeTable, FindsWhatWasPutInOrder) {
  EXPECT_EQ(NodeTable().find("n1"), nullptr);
  EXPECT_EQ(NodeTable().size(), 0u);
  const auto table = NodeTable().with({named("n2"), named("n1"), named("n10"), named("n1", 7)}, {});
  EXPECT_EQ(names(table), (std::vector<std::string>{"n1", "n10", "n2"}));
  EXPECT_EQ(table.find("n1")->declared.cpus, 7u);
  EXPECT_EQ(table.find("n0"), nullptr);
  EXPECT_EQ(table.find("n3"), nullptr);
}

TEST(NodeTable, AnEarlierTableStaysAsItWas) {
  const auto before = NodeTable().with({named("a", 1), named("b", 1)}, {});
  const auto after = before.with({named("a", 2), named("c")}, {Istr("b"), Istr("unknown")});
  EXPECT_EQ(names(before), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(before.find("a")->declared.cpus, 1u);
  EXPECT_EQ(names(after), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(after.find("a")->declared.cpus, 2u);
  EXPECT_TRUE(names(after.with({}, {Istr("a"), Istr("c")})).empty());
}

// Many rounds against a map, through splits of chunks and chunks that get empty.
TEST(NodeTable, IsAMap) {
  Rng random(3);
  std::map<std::string, std::uint32_t> model;
  NodeTable table;
  for (std::uint32_t round = 0; round < 400; ++round) {
    std::vector<NodePtr> put;
    std::vector<Istr> gone;
    const bool grow = round < 200;
    for (std::uint64_t n = random.below(grow ? 40 : 10); n > 0; --n) {
      const std::string name = "n" + std::to_string(random.below(3000));
      put.push_back(named(name, round));
      model[name] = round;
    }
    for (std::uint64_t n = random.below(grow ? 5 : 40); n > 0; --n) {
      const std::string name = "n" + std::to_string(random.below(3000));
      gone.emplace_back(name);
      model.erase(name);
    }
    table = table.with(put, gone);
    ASSERT_EQ(table.size(), model.size());
  }
  std::map<std::string, std::uint32_t> left;
  table.for_each([&left](const Node& node) { left[node.name.str()] = node.declared.cpus; });
  EXPECT_EQ(left, model);
  for (const auto& [name, cpus] : model) EXPECT_EQ(table.find(name)->declared.cpus, cpus);
}

}  // namespace
}  // namespace bai::controller
