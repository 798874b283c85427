#include "sokovan/sokovan.h"

#include <gtest/gtest.h>

#include "cluster.h"

namespace bai::sokovan {
namespace {

using Ids = std::vector<JobId>;

Toy two_nodes() {
  Toy toy;
  toy.node("n1", 4);
  toy.node("n2", 4);
  toy.partition("p");
  return toy;
}

std::shared_ptr<JobSpec> with(std::shared_ptr<JobSpec> spec, const std::function<void(JobSpec&)>& change) {
  change(*spec);
  return spec;
}

TEST(Sokovan, starts_by_priority_then_submission) {
  Toy toy = two_nodes();
  const auto a = toy.submit(Toy::spec(4)), b = toy.submit(Toy::spec(4), 200),
             c = toy.submit(Toy::spec(4), 150);
  EXPECT_EQ(toy.run(), (Ids{b, c}));
  EXPECT_EQ(toy.reasons.at(a), Reason::kResources);
  toy.end(b);
  EXPECT_EQ(toy.run(), (Ids{a}));
}

// Between full passes, too.
TEST(Sokovan, when_the_planned_job_starts_the_next_is_planned_before_others_pass_it) {
  Toy toy;
  SchedulingSettings settings;
  settings.planned_starts = 1;
  settings.cheap_pass_steps = 0;
  toy.scheduler.apply(SettingsSet{settings});
  toy.node("n1", 4);
  toy.partition("p");
  const auto first = toy.submit(Toy::spec(4, 100)), second = toy.submit(Toy::spec(3, 60));
  auto whole = Toy::spec(1, 60);
  whole->request.cpus_per_task = 4;  // nothing that it could use comes free
  const auto third = toy.submit(whole), small = toy.submit(Toy::spec(1, 1000));
  EXPECT_EQ(toy.run(), (Ids{first}));
  EXPECT_EQ(toy.expected.at(second), toy.now + 100);
  toy.now = toy.now + 10;
  toy.end(first);
  EXPECT_EQ(toy.run(), (Ids{second}));
  EXPECT_EQ(toy.expected.at(third), toy.now + 60);
  EXPECT_FALSE(toy.running(small));
}

TEST(Sokovan, a_planned_start_that_stands_and_comes_late_keeps_its_place) {
  Toy toy;
  toy.node("n1", 4);
  Partition p;
  p.name = "p";
  p.scheduling.policy = SchedulingPolicy::kConservative;
  p.nodes.emplace_back("n1");
  toy.partition(p);
  const auto first = toy.submit(Toy::spec(4, 100)), second = toy.submit(Toy::spec(4, 60)),
             third = toy.submit(Toy::spec(4, 60));
  EXPECT_EQ(toy.run(), (Ids{first}));
  EXPECT_EQ(toy.expected.at(third), toy.now + 160);
  toy.now = toy.now + 101;
  toy.end(first);
  EXPECT_EQ(toy.run(), (Ids{second}));
  EXPECT_EQ(toy.expected.at(third), toy.now + 60);
}

// Nor do they take what it could have, when it could not be had while it was planned.
TEST(Sokovan, a_node_that_comes_back_is_planned_for_who_is_first_then) {
  Toy toy;
  SchedulingSettings settings;
  settings.planned_starts = 1;
  settings.cheap_pass_steps = 0;
  toy.scheduler.apply(SettingsSet{settings});
  toy.node("n1", 4);
  toy.node("n2", 4);
  toy.partition("p");
  const auto running = toy.submit(Toy::spec(8, 100, 2));
  EXPECT_EQ(toy.run(), (Ids{running}));
  toy.usable("n2", false);
  const auto wide = toy.submit(Toy::spec(8, 60, 2)), narrow = toy.submit(Toy::spec(4, 60));
  toy.run();
  EXPECT_EQ(toy.reasons.at(wide), Reason::kReqNodeNotAvail);
  EXPECT_EQ(toy.expected.at(narrow), toy.now + 100);
  toy.usable("n2", true);
  toy.run();
  EXPECT_EQ(toy.expected.at(wide), toy.now + 100);
}

TEST(Sokovan, first_fit_follows_weight_then_configuration) {
  Toy toy;
  toy.node("b", 4, 1000, {}, 5);
  toy.node("a", 4);
  toy.node("c", 4);
  toy.partition("p", {"b", "c", "a"});
  const auto first = toy.submit(Toy::spec(4)), second = toy.submit(Toy::spec(4)),
             third = toy.submit(Toy::spec(4));
  toy.run();
  EXPECT_EQ(toy.jobs.at(first)->allocation->hostlist(), "c");
  EXPECT_EQ(toy.jobs.at(second)->allocation->hostlist(), "a");
  EXPECT_EQ(toy.jobs.at(third)->allocation->hostlist(), "b");
}

TEST(Sokovan, lays_tasks_out) {
  Toy toy;
  for (auto name : {"n1", "n2", "n3"}) toy.node(name, 8);
  toy.partition("p");
  auto shares = [&](std::shared_ptr<JobSpec> spec) {
    const auto id = toy.submit(std::move(spec));
    toy.run();
    std::string out;
    if (toy.running(id)) {
      for (const auto& share : toy.jobs.at(id)->allocation->nodes)
        out += share.node.str() + ":" + std::to_string(share.cpus) + " ";
      toy.end(id);
    }
    return out;
  };
  EXPECT_EQ(shares(Toy::spec(10)), "n1:8 n2:2 ");
  EXPECT_EQ(shares(Toy::spec(1, 60, 3)), "n1:1 n2:1 n3:1 ");
  EXPECT_EQ(shares(Toy::spec(8, 60, 2)), "n1:7 n2:1 ");
  EXPECT_EQ(shares(with(Toy::spec(3), [](JobSpec& s) { s.request.cpus_per_task = 4; })), "n1:8 n2:4 ");
  EXPECT_EQ(shares(with(Toy::spec(4), [](JobSpec& s) { s.request.tasks_per_node = 2; })), "n1:2 n2:2 ");
  EXPECT_EQ(shares(with(Toy::spec(1), [](JobSpec& s) { s.request.exclusive = true; })), "n1:8 ");
  EXPECT_EQ(shares(with(Toy::spec(2), [](JobSpec& s) { s.request.nodes_wanted = "n3"; })), "n3:2 ");
  EXPECT_EQ(shares(with(Toy::spec(2, 60, 2), [](JobSpec& s) { s.request.nodes_wanted = "n3"; })),
            "n3:1 n1:1 ");
  EXPECT_EQ(shares(with(Toy::spec(2), [](JobSpec& s) { s.request.nodes_excluded = "n[1-2]"; })), "n3:2 ");
  EXPECT_EQ(shares(with(Toy::spec(20), [](JobSpec& s) { s.request.max_nodes = 2; })), "");
}

TEST(Sokovan, uses_as_few_nodes_as_fit) {
  Toy toy;
  toy.node("n1", 2);
  toy.node("n2", 8);
  toy.node("n3", 8);
  toy.partition("p");
  const auto id = toy.submit(Toy::spec(16));
  toy.run();
  EXPECT_EQ(toy.jobs.at(id)->allocation->hostlist(), "n[2-3]");
}

TEST(Sokovan, memory_per_node_per_cpu_and_default) {
  Toy toy;
  toy.node("n1", 8, 1000);
  Partition p;
  p.name = "p";
  p.nodes = {"n1"};
  p.default_mem_per_cpu_mib = 300;
  toy.partition(p);
  const auto by_default = toy.submit(Toy::spec(2));
  const auto per_node = toy.submit(with(Toy::spec(1), [](JobSpec& s) { s.request.mem_per_node_mib = 401; }));
  const auto per_cpu = toy.submit(with(Toy::spec(2), [](JobSpec& s) { s.request.mem_per_cpu_mib = 200; }));
  toy.run();
  EXPECT_TRUE(toy.running(by_default));
  EXPECT_FALSE(toy.running(per_node));
  EXPECT_EQ(toy.reasons.at(per_node), Reason::kResources);
  EXPECT_EQ(toy.jobs.at(by_default)->allocation->mem_mib(), 600u);
  EXPECT_TRUE(toy.running(per_cpu));  // ends by the time the blocked one starts
  toy.end(by_default);
  toy.end(per_cpu);
  const auto all =
      toy.submit(with(Toy::spec(1), [](JobSpec& s) { s.request.mem_per_node_mib = kAllMemory; }), 500);
  toy.run();
  EXPECT_EQ(toy.jobs.at(all)->allocation->mem_mib(), 1000u);
  EXPECT_FALSE(toy.running(per_node));
}

TEST(Sokovan, constraints) {
  Toy toy;
  toy.node("n1", 4, 1000, {"a"});
  toy.node("n2", 4, 1000, {"a", "b"});
  toy.node("n3", 4, 1000, {"c"});
  toy.partition("p");
  auto where = [&](const char* constraint) -> std::string {
    const auto id = toy.submit(with(Toy::spec(), [&](JobSpec& s) { s.request.constraint = constraint; }));
    toy.run();
    if (!toy.running(id)) return std::string(name(toy.reasons.at(id)));
    auto hosts = toy.jobs.at(id)->allocation->hostlist();
    toy.end(id);
    return hosts;
  };
  EXPECT_EQ(where("a"), "n1");
  EXPECT_EQ(where("a&b"), "n2");
  EXPECT_EQ(where("c|b"), "n2");
  EXPECT_EQ(where("d"), "BadConstraints");
}

TEST(Sokovan, licences_are_counted_and_not_stolen) {
  Toy toy = two_nodes();
  toy.scheduler.apply(LicensesSet{{{"x", 3}}});
  auto wants = [](const char* licenses, Seconds limit) {
    return with(Toy::spec(1, limit), [&](JobSpec& s) { s.request.licenses = licenses; });
  };
  const auto one = toy.submit(wants("x", 60));
  toy.run();
  const auto three = toy.submit(wants("x:3", 60)), two = toy.submit(wants("x:2", 61)),
             quick = toy.submit(wants("x", 60));
  toy.run();
  EXPECT_TRUE(toy.running(one));
  EXPECT_EQ(toy.reasons.at(three), Reason::kLicenses);
  EXPECT_EQ(toy.expected.at(three), toy.now + 60);
  EXPECT_FALSE(toy.running(two));  // would keep the other one waiting
  EXPECT_TRUE(toy.running(quick));
  toy.end(one);
  toy.end(quick);
  toy.run();
  EXPECT_TRUE(toy.running(three));
}

TEST(Sokovan, reasons_of_partitions) {
  Toy toy = two_nodes();
  Partition p = *toy.partitions.at("p");
  p.max_time = 60;
  p.max_nodes = 1;
  toy.partition(p);
  const auto slow = toy.submit(Toy::spec(1, 120)), wide = toy.submit(Toy::spec(2, 60, 2)),
             large = toy.submit(Toy::spec(9, 60));
  const auto fine = toy.submit(Toy::spec());
  toy.run();
  EXPECT_EQ(toy.reasons.at(slow), Reason::kPartitionTimeLimit);
  EXPECT_EQ(toy.reasons.at(wide), Reason::kPartitionNodeLimit);
  EXPECT_EQ(toy.reasons.at(large), Reason::kPartitionConfig);
  EXPECT_TRUE(toy.running(fine));
  p.state = PartitionState::kDown;
  toy.partition(p);
  const auto late = toy.submit(Toy::spec());
  toy.run();
  EXPECT_EQ(toy.reasons.at(late), Reason::kPartitionDown);
  p.state = PartitionState::kUp;
  p.max_time = kUnlimited;
  toy.partition(p);
  toy.run();
  EXPECT_TRUE(toy.running(late));
  EXPECT_TRUE(toy.running(slow));
}

TEST(Sokovan, a_node_of_one_user_takes_no_others_jobs) {
  Toy toy;
  toy.node("n1", 4), toy.partition("p");
  auto job = [](std::uint32_t uid, bool own) {
    auto spec = Toy::spec();
    spec->uid = uid;
    spec->request.exclusive_user = own;
    return spec;
  };
  const auto plain = toy.submit(job(1, false));
  const auto own = toy.submit(job(1, true)), others_own = toy.submit(job(2, true)),
             other = toy.submit(job(2, false));
  toy.run();
  EXPECT_TRUE(toy.running(plain) && toy.running(own)) << "the same user's";
  EXPECT_FALSE(toy.running(others_own) || toy.running(other));
  toy.end(own);
  toy.run();
  EXPECT_TRUE(toy.running(other)) << "nobody minds any more";
  EXPECT_FALSE(toy.running(others_own));
  toy.end(plain);
  toy.run();
  EXPECT_TRUE(toy.running(others_own)) << "all that is there is the same user's";
  EXPECT_FALSE(toy.overcommitted());
}

TEST(Sokovan, a_partition_bounds_memory_on_each_node) {
  Toy toy;
  toy.node("n1", 8), toy.node("n2", 8), toy.partition("p");
  Partition p = *toy.partitions.at("p");
  p.max_mem_per_node_mib = 200;
  toy.partition(p);
  auto spec = Toy::spec(3);
  spec->request.mem_per_cpu_mib = 100;
  const auto spread = toy.submit(spec);
  auto one = std::make_shared<JobSpec>(*spec);
  one->request.max_nodes = 1;
  const auto never = toy.submit(one);
  auto all = Toy::spec();
  all->request.mem_per_node_mib = kAllMemory;
  const auto whole = toy.submit(all);
  toy.run();
  ASSERT_TRUE(toy.running(spread));
  EXPECT_EQ(toy.jobs.at(spread)->allocation->nodes.size(), 2u);
  EXPECT_EQ(toy.reasons.at(never), Reason::kPartitionConfig);
  EXPECT_EQ(toy.reasons.at(whole), Reason::kPartitionConfig);
}

TEST(Sokovan, holds_begin_times_and_dependencies) {
  Toy toy = two_nodes();
  Job held = toy.pending(Toy::spec());
  held.hold = Hold::kUser;
  toy.feed(held);
  Job dependent = toy.pending(Toy::spec());
  toy.feed(dependent, false);
  auto later = Toy::spec();
  JobExtras extras;
  extras.begin = toy.now + 100;
  later->set_extras(extras);
  const auto begins = toy.submit(later);
  EXPECT_EQ(toy.run(), Ids{});
  EXPECT_EQ(toy.reasons.at(held.id), Reason::kJobHeldUser);
  EXPECT_EQ(toy.reasons.at(dependent.id), Reason::kDependency);
  EXPECT_EQ(toy.reasons.at(begins), Reason::kBeginTime);
  EXPECT_EQ(toy.scheduler.decide(toy.now, {}).next_wakeup, extras.begin);
  toy.now = extras.begin;
  EXPECT_EQ(toy.run(), Ids{begins});
  held.hold = Hold::kNone;
  toy.feed(held);
  toy.feed(dependent, true);
  EXPECT_EQ(toy.run(), (Ids{held.id, dependent.id}));
}

TEST(Sokovan, arrays_split_and_keep_their_limit) {
  Toy toy = two_nodes();
  const auto head = toy.submit_array(Toy::spec(), 5, 2);
  const auto first = toy.run();
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(toy.jobs.at(first[0])->array_task, 0u);
  EXPECT_EQ(toy.jobs.at(first[1])->array_task, 1u);
  EXPECT_EQ(toy.reasons.at(head), Reason::kJobArrayTaskLimit);
  const auto other = toy.submit(Toy::spec());
  EXPECT_EQ(toy.run(), Ids{other});  // a stopped array blocks nobody
  toy.end(first[0]);
  const auto next = toy.run();
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(toy.jobs.at(next[0])->array_task, 2u);
  toy.end(first[1]);
  toy.end(next[0]);
  const auto last = toy.run();
  ASSERT_EQ(last.size(), 2u);
  EXPECT_EQ(last[1], head);  // the last task took the head's id
  EXPECT_EQ(toy.scheduler.pending(), 0u);
  EXPECT_EQ(toy.scheduler.running(), 3u);
}

TEST(Sokovan, a_decided_start_keeps_its_resources) {
  Toy toy;
  toy.node("n1", 1);
  toy.partition("p");
  const auto a = toy.submit(Toy::spec());
  auto decisions = toy.scheduler.decide(toy.now, {});
  ASSERT_EQ(decisions.starts.size(), 1u);
  const auto b = toy.submit(Toy::spec());
  EXPECT_TRUE(toy.scheduler.decide(toy.now, {}).starts.empty());
  toy.feed(*toy.jobs.at(a));  // refused: it is pending again
  decisions = toy.scheduler.decide(toy.now, {});
  ASSERT_EQ(decisions.starts.size(), 1u);
  EXPECT_EQ(decisions.starts[0].job, a);
  toy.scheduler.apply(JobGone{a});
  decisions = toy.scheduler.decide(toy.now, {});
  ASSERT_EQ(decisions.starts.size(), 1u);
  EXPECT_EQ(decisions.starts[0].job, b);
}

TEST(Sokovan, backfills_only_what_does_not_delay) {
  Toy toy = two_nodes();
  const auto running = toy.submit(Toy::spec(4, 100));
  toy.run();
  const auto wide = toy.submit(Toy::spec(8, 60, 2));
  const auto slow = toy.submit(Toy::spec(1, 101)), quick = toy.submit(Toy::spec(1, 100));
  toy.run();
  EXPECT_EQ(toy.reasons.at(wide), Reason::kResources);
  EXPECT_EQ(toy.expected.at(wide), toy.now + 100);
  EXPECT_FALSE(toy.running(slow));
  EXPECT_TRUE(toy.running(quick));
  EXPECT_EQ(toy.reasons.at(slow), Reason::kPriority);
  toy.now = toy.now + 100;
  toy.end(running);
  toy.end(quick);
  EXPECT_EQ(toy.run(), Ids{wide});
}

TEST(Sokovan, who_waits_for_jobs_without_limits_is_delayed_by_limited_ones_only) {
  Toy toy = two_nodes();
  const auto running = toy.submit(Toy::spec(4, kUnlimited));
  toy.run();
  const auto wide = toy.submit(Toy::spec(8, kUnlimited, 2));
  const auto endless = toy.submit(Toy::spec(1, kUnlimited)), small = toy.submit(Toy::spec(1, 10));
  toy.run();
  EXPECT_FALSE(toy.running(endless));
  EXPECT_TRUE(toy.running(small));
  EXPECT_FALSE(toy.expected.at(wide).is_set());
  toy.end(running);
  toy.end(small);
  toy.run();
  EXPECT_TRUE(toy.running(wide));
}

TEST(Sokovan, partition_lists_take_the_first_that_fits) {
  Toy toy = two_nodes();
  toy.partition("p", {"n1"});
  toy.partition("q", {"n2"});
  auto either = with(Toy::spec(4), [](JobSpec& s) { s.partition = "p,q"; });
  const auto a = toy.submit(either), b = toy.submit(either);
  toy.run();
  EXPECT_EQ(toy.jobs.at(a)->allocation->partition, "p");
  EXPECT_EQ(toy.jobs.at(b)->allocation->partition, "q");
}

TEST(Sokovan, down_nodes_do_not_block_others) {
  Toy toy = two_nodes();
  toy.usable("n2", false);
  const auto wide = toy.submit(Toy::spec(2, 60, 2)), small = toy.submit(Toy::spec(1, kUnlimited));
  toy.run();
  EXPECT_EQ(toy.reasons.at(wide), Reason::kReqNodeNotAvail);
  EXPECT_TRUE(toy.running(small));
  toy.usable("n2", true);
  toy.run();
  EXPECT_TRUE(toy.running(wide));
}

TEST(Sokovan, nothing_changed_costs_nothing) {
  Toy toy = two_nodes();
  for (int i = 0; i < 1000; ++i) toy.submit(Toy::spec(8));
  toy.run();
  EXPECT_EQ(toy.scheduler.decide(toy.now, {}).jobs_tried, 0u);
  toy.submit(Toy::spec(8));
  const auto decisions = toy.scheduler.decide(toy.now, {});
  EXPECT_EQ(decisions.jobs_tried, 0u);  // equal to what just failed
  ASSERT_EQ(decisions.waiting.size(), 1u);
  EXPECT_EQ(decisions.waiting[0].reason, Reason::kPriority);
}

TEST(Sokovan, a_small_budget_gives_the_same_starts) {
  for (std::uint32_t starts : {1u, 3u}) {
    Toy toy = two_nodes();
    for (std::uint32_t i = 1; i < 8; ++i) toy.submit(Toy::spec(i % 3 + 1), i * 10);
    Toy same = two_nodes();
    for (std::uint32_t i = 1; i < 8; ++i) same.submit(Toy::spec(i % 3 + 1), i * 10);
    Budget budget;
    budget.max_starts = starts;
    budget.max_jobs = 2;
    EXPECT_EQ(toy.run(budget), same.run());
  }
}

TEST(Sokovan, feasible_says_what_is_missing) {
  Toy toy;
  toy.node("n1", 8, 1000);
  toy.node("n2", 4, 2000);
  toy.partition("p");
  auto says = [&](std::shared_ptr<JobSpec> spec) {
    Job job;
    job.spec = spec;
    auto status = toy.scheduler.feasible(job);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(says(Toy::spec(12)), "");
  EXPECT_EQ(says(Toy::spec(13)), "13 CPUs are wanted; all nodes together have 12");
  EXPECT_EQ(says(with(Toy::spec(1), [](JobSpec& s) { s.request.cpus_per_task = 64; })),
            "no node has 64 CPUs; the largest has 8");
  EXPECT_EQ(says(with(Toy::spec(1), [](JobSpec& s) { s.request.mem_per_node_mib = 4096; })),
            "no node has 4G of memory; the largest has 2000M");
  EXPECT_EQ(says(Toy::spec(3, 60, 3)), "3 nodes are wanted; there are 2");
  EXPECT_EQ(says(with(Toy::spec(1), [](JobSpec& s) { s.partition = "q"; })), "there is no partition 'q'");
  EXPECT_EQ(says(with(Toy::spec(1), [](JobSpec& s) { s.request.nodes_wanted = "n9"; })),
            "there is no node n9");
  EXPECT_EQ(says(with(Toy::spec(1), [](JobSpec& s) { s.request.licenses = "y"; })),
            "there is no licence 'y'");
}

TEST(Sokovan, would_start_now_or_when_something_ends) {
  Toy toy = two_nodes();
  Job job;
  job.spec = Toy::spec(8);
  Time when;
  auto start = toy.scheduler.would_start(job, toy.now, &when);
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(start->allocation->hostlist(), "n[1-2]");
  EXPECT_EQ(when, toy.now);
  toy.submit(Toy::spec(1, 30));
  toy.run();
  start = toy.scheduler.would_start(job, toy.now, &when);
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(when, toy.now + 30);
}

TEST(Sokovan, requeue_and_node_loss) {
  Toy toy;
  toy.node("n1", 4);
  toy.partition("p");
  const auto a = toy.submit(Toy::spec(4));
  toy.run();
  Job job = *toy.jobs.at(a);
  job.state = JobState::kPending;
  job.allocation.reset();
  toy.usable("n1", false);
  toy.feed(job);
  EXPECT_EQ(toy.run(), Ids{});
  EXPECT_EQ(toy.scheduler.running(), 0u);
  toy.usable("n1", true);
  EXPECT_EQ(toy.run(), Ids{a});
}

}  // namespace
}  // namespace bai::sokovan
