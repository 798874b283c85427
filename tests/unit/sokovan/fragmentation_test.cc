// Placement by fragmentation: on cases worked out by hand.
#include <gtest/gtest.h>

#include "cluster.h"

namespace bai::sokovan {
namespace {

struct Gpus {
  Toy toy;
  Gpus() {
    Partition p;
    p.name = "p";
    p.is_default = true;
    p.scheduling.placement = "fragmentation";
    p.nodes = {"a", "b"};
    toy.partition(std::move(p));
  }
  void node(const std::string& name, std::uint32_t cpus, std::uint32_t gpus, const char* type = "t") {
    NodeSet set;
    set.name = name;
    set.cpus = cpus;
    set.mem_mib = 1000;
    set.usable = true;
    if (gpus) {
      DeviceGroup group;
      group.kind = "gpu";
      group.type = type;
      group.count = gpus;
      set.devices.push_back(group);
    }
    toy.nodes[name] = set;
    toy.scheduler.apply(set);
  }
  // The node on which a job of one task starts, and its first GPU.
  std::string place(std::uint32_t cpus, DeviceAmount gpu_milli, const char* type = "") {
    auto spec = Toy::spec(1, 60);
    spec->request.cpus_per_task = cpus;
    if (gpu_milli) {
      RequestExtras extras;
      extras.devices.push_back({"gpu", type, gpu_milli, DevicePer::kNode});
      spec->request.set_extras(std::move(extras));
    }
    const auto id = toy.submit(spec);
    if (toy.run() != std::vector<JobId>{id}) return "";
    const auto& share = toy.jobs.at(id)->allocation->nodes[0];
    return share.node.str() + (share.devices.empty() ? "" : ":" + std::to_string(share.devices[0].index));
  }
};

TEST(Fragmentation, shares_keep_together_where_whole_ones_are_usual) {
  Gpus g;
  g.node("a", 64, 2);
  g.node("b", 64, 2);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(g.place(1, 1000), "a:0");
    g.toy.end(g.toy.last_id);
  }
  EXPECT_EQ(g.place(1, 400), "a:0");
  EXPECT_EQ(g.place(1, 400), "a:0");
  EXPECT_EQ(g.place(1, 2000), "b:0");
}

TEST(Fragmentation, cpus_are_taken_where_gpus_do_not_need_them) {
  Gpus g;
  g.node("a", 8, 4);
  g.node("b", 9, 0);
  EXPECT_EQ(g.place(1, 1000), "a:0");
  EXPECT_EQ(g.place(5, 0), "b");  // the tightest would be a
  EXPECT_EQ(g.place(5, 0), "a");
}

TEST(Fragmentation, who_takes_any_gpu_leaves_the_wanted_model) {
  Gpus g;
  g.node("a", 64, 8, "wanted");
  g.node("b", 64, 8, "other");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(g.place(1, 1000, "wanted"), "a:" + std::to_string(i));
  for (int i = 0; i < 8; ++i) EXPECT_EQ(g.place(1, 1000), "b:" + std::to_string(i));
}

TEST(Fragmentation, what_is_learned_ages_and_stays_bounded) {
  Gpus g;
  g.node("a", 1000, 8);
  g.node("b", 1000, 8);
  for (std::uint32_t i = 1; i < 6000; ++i) {
    auto spec = Toy::spec(1, 60);
    spec->request.cpus_per_task = 1 + i % 1000;
    RequestExtras extras;
    extras.devices.push_back({"gpu", "", 1 + i % 999, DevicePer::kNode});
    spec->request.set_extras(std::move(extras));
    g.toy.end(g.toy.submit(spec));
  }
  EXPECT_EQ(g.place(1, 1000), "a:0");
}

}  // namespace
}  // namespace bai::sokovan
