#include "sokovan/admission.h"

#include <gtest/gtest.h>

#include <functional>

namespace bai::sokovan {
namespace {

class Admitting : public ::testing::Test {
 protected:
  Admitting() {
    node("n1", 64, 20000);
    node("n2", 64, 20000);
    node("big", 8, 90000, {"fast"});
    partition("main", {"n1", "n2"});
    partition("all", {"n1", "n2", "big"});
  }
  void node(const char* name, std::uint32_t cpus, std::uint64_t mem, std::vector<std::string> features = {},
            bool usable = true) {
    NodeSet set;
    set.name = name;
    set.cpus = cpus;
    set.mem_mib = mem;
    set.features = std::move(features);
    set.usable = usable;
    admission.apply(set);
  }
  void partition(const char* name, std::vector<Istr> nodes) {
    auto p = std::make_shared<Partition>();
    p->name = name;
    p->nodes = std::move(nodes);
    admission.apply(PartitionSet{p});
  }
  Status ask(const std::function<void(ResourceRequest&)>& change, const char* partition = "main") {
    JobSpec spec;
    spec.partition = partition;
    change(spec.request);
    return admission.check(spec, searches);
  }
  // "code: message: remedy", or "yes".
  std::string said(const std::function<void(ResourceRequest&)>& change, const char* partition = "main") {
    const auto status = ask(change, partition);
    return status ? "yes"
                  : status.error().code + ": " + status.error().message + ": " + status.error().remedy;
  }
  Admission admission;
  std::uint32_t searches = 1'000'000;
};

TEST_F(Admitting, says_what_no_node_has_and_the_nearest_that_could_run) {
  EXPECT_EQ(said([](auto&) {}), "yes");
  EXPECT_EQ(
      said([](auto& r) { r.cpus_per_task = 65; }),
      "node_cpus: no node has 65 CPUs; the largest has 64: the most that could run: --cpus-per-task=64");
  EXPECT_EQ(said([](auto& r) { r.mem_per_node_mib = 30000; }),
            "node_memory: no node has 30000M of memory; the largest has 20000M: the most that could run: "
            "--mem=20000M");
  EXPECT_EQ(said([](auto& r) { r.min_nodes = r.tasks = 3; }),
            "node_config: 3 nodes are wanted; there are 2: the most that could run: --nodes=2");
  EXPECT_EQ(said([](auto& r) { r.tasks = 200; }),
            "node_config: 200 CPUs are wanted; all nodes together have 128: the most that could run: "
            "--ntasks=128");
  EXPECT_EQ(said([](auto& r) { r.tasks = 65, r.max_nodes = 1; }),
            "node_config: no node has 65 CPUs; the largest has 64: the most that could run: --ntasks=64");
  EXPECT_EQ(said([](auto& r) { r.tasks = 100, r.mem_per_cpu_mib = 1000; }),
            "node_config: no nodes together can hold 100 tasks of this shape: the most that could run: "
            "--ntasks=40");
}

TEST_F(Admitting, one_node_must_have_all_that_a_task_needs) {
  EXPECT_EQ(said([](auto& r) { r.cpus_per_task = 10, r.mem_per_node_mib = 50000; }, "all"),
            "node_memory: no nodes together can hold 1 task of this shape: the most that could run: "
            "--mem=20000M");
}

TEST_F(Admitting, features_that_no_node_has) {
  EXPECT_EQ(said([](auto& r) { r.constraint = "fast"; }, "all"), "yes");
  const auto status = ask([](auto& r) { r.constraint = "fast"; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, "bad_constraint");
  // The nodes with the feature are too small: that is another matter.
  const auto small = ask([](auto& r) { r.constraint = "fast", r.cpus_per_task = 9; }, "all");
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, "node_cpus");
  EXPECT_EQ(small.error().remedy, "the most that could run: --cpus-per-task=8");
}

TEST_F(Admitting, what_is_promised_could_run) {
  for (std::uint32_t cpus : {1u, 7u, 70u})
    for (std::uint64_t mem : {0u, 900u, 25000u})
      for (std::uint32_t nodes : {1u, 2u, 5u})
        for (std::uint32_t tasks : {1u, 5u, 77u, 900u}) {
          auto change = [&](ResourceRequest& r) {
            r.cpus_per_task = cpus, r.mem_per_node_mib = mem, r.min_nodes = nodes;
            r.tasks = std::max(tasks, nodes);
          };
          const auto status = ask(change);
          if (status) continue;
          ASSERT_FALSE(status.error().remedy.empty());
          ResourceRequest nearest;
          change(nearest);
          const std::string& remedy = status.error().remedy;
          auto read = [&](const char* option, auto& into) {
            const auto at = remedy.find(option);
            if (at != remedy.npos) into = std::stoul(remedy.substr(at + std::string(option).size()));
          };
          read("--cpus-per-task=", nearest.cpus_per_task);
          read("--mem=", nearest.mem_per_node_mib);
          const bool follow = nearest.tasks == nearest.min_nodes;  // as without --ntasks
          read("--nodes=", nearest.min_nodes);
          if (follow) nearest.tasks = nearest.min_nodes;
          read("--ntasks=", nearest.tasks);
          EXPECT_TRUE(ask([&](auto& r) { r = nearest; })) << remedy;
        }
}

TEST_F(Admitting, a_node_that_is_down_counts_and_asks_nothing_anew) {
  EXPECT_FALSE(ask([](auto& r) { r.cpus_per_task = 65; }));
  const auto before = searches;
  node("n1", 64, 20000, {}, false);
  EXPECT_EQ(said([](auto& r) { r.cpus_per_task = 64; }), "yes");
  EXPECT_FALSE(ask([](auto& r) { r.cpus_per_task = 65; }));
  EXPECT_EQ(searches, before - 1);
}

TEST_F(Admitting, costs_no_more_than_can_be_afforded) {
  auto cpus = [](std::uint32_t n) { return [n](ResourceRequest& r) { r.cpus_per_task = n; }; };
  searches = Admission::kForAnswers;
  EXPECT_EQ(said(cpus(65)), "node_config: no node has 65 CPUs; the largest has 64: ask for less")
      << "no nearest";
  EXPECT_EQ(searches, Admission::kForAnswers - 1);
  searches = 1;
  EXPECT_FALSE(ask(cpus(66)));
  EXPECT_EQ(searches, 0u);
  EXPECT_TRUE(ask(cpus(67))) << "left to the scheduler";
  searches = 2 * Admission::kForAnswers;
  EXPECT_EQ(ask(cpus(66)).error().remedy, "the most that could run: --cpus-per-task=64")
      << "not remembered without it";
  EXPECT_FALSE(ask(cpus(67)));
  const auto before = searches;
  EXPECT_FALSE(ask(cpus(67)));
  EXPECT_EQ(searches, before) << "remembered";
  EXPECT_GT(before, 2 * Admission::kForAnswers - 200);
}

TEST_F(Admitting, answers_change_with_nodes_and_partitions) {
  EXPECT_FALSE(ask([](auto& r) { r.cpus_per_task = 65; }));
  node("n1", 65, 20000);
  EXPECT_TRUE(ask([](auto& r) { r.cpus_per_task = 65; }));
  admission.apply(NodeGone{"n1"});
  EXPECT_FALSE(ask([](auto& r) { r.cpus_per_task = 65; }));
  EXPECT_FALSE(ask([](auto& r) { r.mem_per_node_mib = 90000; }));
  partition("main", {"big"});
  EXPECT_TRUE(ask([](auto& r) { r.mem_per_node_mib = 90000; }));
}

TEST_F(Admitting, a_node_that_has_not_said_how_large_it_is_may_be_large_enough) {
  node("later", 0, 0);
  partition("main", {"n1", "later"});
  EXPECT_TRUE(ask([](auto& r) { r.cpus_per_task = 1000; }));
}

}  // namespace
}  // namespace bai::sokovan
