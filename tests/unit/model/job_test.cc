#include "model/job.h"

#include <gtest/gtest.h>

#include "base/archive.h"
#include "model/node.h"

namespace bai {
namespace {

TEST(Job, display_id) {
  Job job;
  job.id = 7;
  EXPECT_EQ(display_id(job), "7");
  job.array_id = 5;
  job.array_task = 3;
  EXPECT_EQ(display_id(job), "5_3");
  auto head = std::make_shared<ArrayHead>();
  head->waiting.insert(1, 9);
  head->max_running = 2;
  job.id = 5;
  job.array_task = kNoTask;
  job.array = head;
  EXPECT_EQ(display_id(job), "5_[1-9%2]");
}

TEST(Job, extras_are_absent_when_default) {
  JobSpec spec;
  EXPECT_FALSE(spec.extras().begin.is_set());
  JobExtras extras;
  extras.comment = "x";
  spec.set_extras(extras);
  EXPECT_EQ(spec.extras().comment, "x");
  spec.set_extras(JobExtras{});
  EXPECT_EQ(spec.extras_or_null, nullptr);
}

TEST(Job, allocation_sums) {
  Allocation allocation;
  allocation.nodes = {{"n2", 4, 100}, {"n1", 2, 50}, {"n10", 1, 1}};
  EXPECT_EQ(allocation.cpus(), 7u);
  EXPECT_EQ(allocation.mem_mib(), 151u);
  EXPECT_EQ(allocation.hostlist(), "n[1-2,10]");
}

TEST(Job, record_survives_its_encoding) {
  Job job;
  job.id = 9;
  auto spec = std::make_shared<JobSpec>();
  spec->name = "x";
  JobExtras extras;
  extras.dependencies.list.push_back({DependencyKind::kAfterOk, 4, kNoTask, 0, DependencyState::kWaiting});
  spec->set_extras(extras);
  job.spec = spec;
  auto allocation = std::make_shared<Allocation>();
  allocation->nodes = {{"n1", 4, 100}};
  job.allocation = allocation;
  auto back = decode<Job>(encode(job));
  ASSERT_TRUE(back.ok()) << back.error().text();
  EXPECT_EQ(back->spec->name, "x");
  EXPECT_EQ(back->spec->extras().dependencies.list.at(0).job, 4u);
  EXPECT_EQ(back->allocation->hostlist(), "n1");
  EXPECT_EQ(back->array, nullptr);
}

LaunchRecord record() {
  LaunchRecord out;
  out.args = {"a", "b"};
  out.script = hash256("script");
  out.environment = hash256("environment");
  return out;
}

JobSpec signed_spec() {
  JobSpec spec;
  spec.workdir = "/home";
  spec.uid = 1;
  spec.gid = 2;
  spec.std_out = "out";
  spec.std_err = "err";
  return spec;
}

TEST(Launch, digest_covers_every_field) {
  const Uuid cluster = *Uuid::parse("00112233445566778899aabbccddeeff");
  const auto good = record().digest(signed_spec(), cluster);
  EXPECT_EQ(good, record().digest(signed_spec(), cluster));
  EXPECT_NE(good, record().digest(signed_spec(), Uuid{}));
  auto other = record();
  other.args = {"ab", ""};  // the same bytes, cut elsewhere
  EXPECT_NE(good, other.digest(signed_spec(), cluster));
  other = record(), other.script = hash256("other");
  EXPECT_NE(good, other.digest(signed_spec(), cluster));
  other = record(), other.environment = hash256("other");
  EXPECT_NE(good, other.digest(signed_spec(), cluster));
  other = record(), other.nonce.bytes[0] = 1;
  EXPECT_NE(good, other.digest(signed_spec(), cluster));
}

TEST(Launch, digest_covers_who_runs_where_and_what_is_opened) {
  const auto good = record().digest(signed_spec(), Uuid{});
  using Change = void (*)(JobSpec&);
  for (Change change :
       {Change([](JobSpec& s) { s.workdir = "/root"; }), Change([](JobSpec& s) { s.uid = 0; }),
        Change([](JobSpec& s) { s.gid = 0; }), Change([](JobSpec& s) { s.std_out = "../out"; }),
        Change([](JobSpec& s) { s.std_err = Istr(); }),
        Change([](JobSpec& s) { s.open_mode = OpenMode::kTruncate; }), Change([](JobSpec& s) {
          JobExtras extras;
          extras.std_in = "secret";
          s.set_extras(std::move(extras));
        })}) {
    JobSpec spec = signed_spec();
    change(spec);
    EXPECT_NE(good, record().digest(spec, Uuid{}));
  }
  JobSpec updated = signed_spec();  // what `update` may change
  updated.name = "other";
  updated.partition = "other";
  updated.time_limit = 5;
  updated.request.tasks = 9;
  EXPECT_EQ(good, record().digest(updated, Uuid{}));
}

TEST(Launch, every_leaf_leads_to_the_root) {
  for (std::size_t n : {1, 2, 3, 4, 5, 7, 8, 9, 100}) {
    std::vector<Hash256> leaves;
    for (std::size_t i = 0; i < n; ++i) leaves.push_back(hash256(std::to_string(i)));
    const auto tree = sign_together(leaves);
    ASSERT_EQ(tree.paths.size(), n);
    for (std::size_t i = 0; i < n; ++i) {
      LaunchRecord leaf;
      leaf.path = tree.paths[i];
      leaf.index = static_cast<std::uint32_t>(i);
      EXPECT_EQ(leaf.root(leaves[i]), tree.root) << n << " " << i;
      EXPECT_NE(leaf.root(hash256("forged")), tree.root);
      if (n == 1) continue;
      leaf.index ^= 1;
      EXPECT_NE(leaf.root(leaves[i]), tree.root);
    }
  }
  EXPECT_TRUE(sign_together({}).root.is_zero());
}

TEST(Launch, an_inner_node_is_no_leaf) {
  const std::vector<Hash256> leaves = {hash256("a"), hash256("b")};
  const auto tree = sign_together(leaves);
  EXPECT_NE(sign_together({tree.root}).root, tree.root);
  EXPECT_NE(sign_together({leaves[0]}).root, leaves[0]);
}

Node node(std::uint32_t used, std::uint32_t jobs, std::uint32_t completing) {
  Node out;
  out.declared.cpus = 8;
  out.condition = NodeCondition::kUp;
  out.responding = true;
  out.cpus_used = used;
  out.jobs = jobs;
  out.completing = completing;
  return out;
}

std::string words(const Node& n) {
  return node_state_word(n) + " " + node_state_compact(n) + " " + node_state_long(n);
}

// From a stranger: backwards, each range would move all that came before it.
TEST(Serialize, ranges_of_ids_come_in_order) {
  using Ranges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  IdSet ids;
  ids.insert(1, 3);
  ids.insert(5);
  ids.insert(0xfffffffe, 0xffffffff);
  EXPECT_EQ(encode(ids), encode(Ranges{{1, 3}, {5, 5}, {0xfffffffe, 0xffffffff}}));
  EXPECT_EQ(*decode<IdSet>(encode(ids)), ids);
  for (const Ranges& bad : {Ranges{{5, 5}, {1, 3}}, Ranges{{1, 3}, {3, 5}}, Ranges{{1, 3}, {4, 5}},
                            Ranges{{3, 1}}, Ranges{{1, 0xffffffff}, {0, 0}}})
    EXPECT_FALSE(decode<IdSet>(encode(bad)));
  Ranges many;
  for (std::uint32_t i = 1'000'000; i > 0; --i) many.emplace_back(2 * i, 2 * i);
  EXPECT_FALSE(decode<IdSet>(encode(many)));
}

TEST(NodeState, as_slurm_prints_them) {
  EXPECT_EQ(words(node(0, 0, 0)), "idle idle IDLE");
  EXPECT_EQ(words(node(4, 1, 0)), "mixed mix MIXED");
  EXPECT_EQ(words(node(8, 1, 0)), "allocated alloc ALLOCATED");
  EXPECT_EQ(words(node(8, 2, 1)), "allocated+ alloc+ ALLOCATED+COMPLETING");
  EXPECT_EQ(words(node(1, 1, 1)), "completing comp IDLE+COMPLETING");
  Node n = node(0, 0, 0);
  n.drain = true;
  EXPECT_EQ(words(n), "drained drain IDLE+DRAIN");
  n = node(4, 1, 0);
  n.drain = true;
  EXPECT_EQ(words(n), "draining drng MIXED+DRAIN");
  n = node(0, 0, 0);
  n.responding = false;
  EXPECT_EQ(words(n), "idle* idle* IDLE+NOT_RESPONDING");
  n.condition = NodeCondition::kDown;
  EXPECT_EQ(words(n), "down* down* DOWN+NOT_RESPONDING");
  n.condition = NodeCondition::kUnknown;
  EXPECT_EQ(words(n), "unknown* unk* UNKNOWN+NOT_RESPONDING");
  n.condition = NodeCondition::kFuture;
  EXPECT_EQ(words(n), "future futr FUTURE");
  n = node(1, 1, 0);
  n.exclusive_use = true;
  EXPECT_EQ(words(n), "allocated alloc ALLOCATED");
}

}  // namespace
}  // namespace bai
