// Plugins: what they are asked, that their order counts, and which are refused.
#include "sokovan/plugins.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/env.h"
#include "cluster.h"
#include "sokovan/placement_plugin.h"

namespace bai::sokovan {
namespace {

struct Asked {
  std::string name, features;
  bai_placement_node node{};
  bai_placement_share share{};
};
std::vector<Asked>& asked() {
  static std::vector<Asked> all;
  return all;
}
std::int64_t note(const bai_placement_node* node, const bai_placement_share* share) {
  Asked a{node->name, "", *node, *share};
  for (auto feature = node->features; *feature; ++feature) a.features += std::string(*feature) + ";";
  asked().push_back(a);
  return node->name[1] == '3' ? -1 : node->name[1];
}
const bai_placement kNote{BAI_PLACEMENT_VERSION, "note", note};

TEST(PlacementPlugin, is_told_of_nodes_and_shares_and_its_order_counts) {
  Toy toy;
  toy.scheduler = Scheduler([](std::string_view name) -> Result<const bai_placement*> {
    EXPECT_EQ(name, "note");
    return &kNote;
  });
  for (const auto* name : {"n1", "n2", "n3", "n4"})
    toy.node(name, 8, 1000, {"f", "g"}, name[1] == '4' ? 0 : 1);
  for (auto& [name, set] : toy.nodes) {
    set.devices.push_back({});
    set.devices[0].kind = "gpu", set.devices[0].count = 2;
    toy.scheduler.apply(set);
  }
  toy.scheduler.apply(TopologySet{{{"s1", {"n1", "n2"}, {}}, {"s2", {"n3"}, {}}}});
  Partition p;
  p.name = "p";
  p.is_default = true;
  for (const auto& [name, set] : toy.nodes) p.nodes.emplace_back(name);
  p.scheduling.placement = "plugin:note";
  toy.partition(p);
  auto spec = Toy::spec(6);
  RequestExtras extras;
  extras.devices.push_back({"gpu", "", 500, DevicePer::kNode});
  spec->request.mem_per_node_mib = 300;
  spec->request.set_extras(extras);
  std::vector<std::string> order;
  for (int i = 0; i < 4; ++i) {
    toy.submit(spec);
    for (auto id : toy.run()) order.push_back(toy.jobs.at(id)->allocation->nodes.at(0).node.str());
  }
  EXPECT_EQ(order, (std::vector<std::string>{"n4", "n3", "n1", "n2"})) << "weight first, then as it says";
  const auto of_n1 =
      std::find_if(asked().begin(), asked().end(), [](const Asked& a) { return a.name == "n1"; });
  ASSERT_NE(of_n1, asked().end());
  const auto& first = *of_n1;
  EXPECT_EQ(first.features, "f;g;");
  EXPECT_EQ(first.node.leaf_switch, 0);
  EXPECT_EQ(first.node.cpus, 8);
  EXPECT_EQ(first.node.memory_free_mib, 1000);
  EXPECT_EQ(first.node.gpus, 2000);
  EXPECT_EQ(first.node.gpus_free, 2000);
  EXPECT_EQ(first.share.cpus, 6);
  EXPECT_EQ(first.share.memory_mib, 300);
  EXPECT_EQ(first.share.gpus, 500);
}

TEST(PlacementPlugin, one_that_cannot_be_loaded_is_refused_with_the_reason) {
  const std::string dir = ::testing::TempDir() + "plugins" + std::to_string(getpid());
  ASSERT_TRUE(Env::real().make_dirs(dir));
  const auto why = [&](std::string_view name) {
    auto loaded = load_placement("/nowhere:" + dir, name);
    return loaded ? "loaded" : loaded.error().text();
  };
  EXPECT_NE(why("x").find("there is no placement_x.so"), std::string::npos) << why("x");
  const std::string file = dir + "/placement_x.so";
  ASSERT_TRUE(Env::real().write_file_atomic(file, "text", 0644));
  EXPECT_NE(why("x").find(file), std::string::npos) << why("x");
  ASSERT_EQ(chmod(file.c_str(), 0666), 0);
  EXPECT_NE(why("x").find("everybody may write it"), std::string::npos) << why("x");
  unlink(file.c_str());
  rmdir(dir.c_str());
}

}  // namespace
}  // namespace bai::sokovan
