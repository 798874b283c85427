#include "agent/virtual_node.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace bai::agent {
namespace {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

constexpr AttemptKey kJob7{7, 1};

Lineage lineage() {
  Lineage l;
  l.cluster.bytes.fill(1);
  l.epoch = 3;
  l.lsn = 100;
  l.last_job_id = 9;
  return l;
}

wire::LaunchOrder launch(AttemptKey key, std::string_view comment, Seconds limit = kUnlimited,
                         Time deadline = {}) {
  JobExtras extras;
  extras.comment = Istr(comment);
  extras.deadline = deadline;
  auto spec = std::make_shared<JobSpec>();
  spec->set_extras(std::move(extras));
  auto job = std::make_shared<Job>();
  job->id = key.job;
  job->attempt = key.attempt;
  job->spec = spec;
  wire::LaunchOrder order;
  order.key = key;
  order.job = job;
  order.time_limit = limit;
  return order;
}

// A virtual node with a session, and what it has told.
class Virtual {
 public:
  Virtual() : node_(start(), now, mono_ms) {
    give(SessionUp{});
    wire::AgentWelcome welcome;
    welcome.lineage = lineage();
    give(OrderIn{welcome});
  }

  void give(InputBody body) { take(node_.handle(now, mono_ms, std::move(body))); }
  void order(wire::LaunchOrder launch) {
    wire::AgentOrders orders;
    orders.lineage = lineage();
    orders.launches.push_back(std::move(launch));
    give(OrderIn{std::move(orders)});
  }
  void signal(AttemptKey key, std::uint16_t signum, bool kill = false, bool batch_only = false) {
    wire::AgentOrders orders;
    orders.lineage = lineage();
    wire::SignalOrder one;
    one.key = key;
    one.generation = ++generation_;
    one.signal = signum;
    one.now = kill;
    one.batch_only = batch_only;
    orders.signals.push_back(one);
    give(OrderIn{std::move(orders)});
  }
  // As the emulator does: woken when something is due, not later.
  void pass(std::int64_t ms) {
    const std::int64_t until = mono_ms + ms;
    while (auto next = node_.next_ms()) {
      if (*next > until) break;
      go_to(*next);
      take(node_.on_time(now, mono_ms));
    }
    go_to(until);
  }
  const wire::AttemptReport* told(AttemptKey key) const {
    auto it = told_.find(key);
    return it == told_.end() ? nullptr : &it->second;
  }
  bool ended(AttemptKey key) const { return told(key) && told(key)->phase == AttemptPhase::kEnded; }
  bool runs(AttemptKey key) const { return told(key) && told(key)->phase == AttemptPhase::kRunning; }

  Time now = Time::from_seconds(1'000'000);
  std::int64_t mono_ms = 5'000;
  int messages = 0;
  wire::AgentRegister registered;

 private:
  static MachineStart start() {
    MachineStart s;
    s.facts.node = "n1";
    s.boot_id = "boot";
    return s;
  }
  void go_to(std::int64_t ms) {
    now.us += (ms - mono_ms) * 1000;
    mono_ms = ms;
  }
  void take(const VirtualOutput& out) {
    for (const auto& body : out.sends) {
      if (auto* hello = std::get_if<wire::AgentRegister>(&body)) registered = *hello;
      auto* news = std::get_if<wire::AgentAttempts>(&body);
      if (!news) continue;
      ++messages;
      for (const auto& report : news->attempts) told_[report.key] = report;
    }
  }

  VirtualNode node_;
  std::map<AttemptKey, wire::AttemptReport> told_;
  std::uint64_t generation_ = 0;
};

TEST(EmulatedRun, IsAWordOfTheComment) {
  EXPECT_EQ(*emulated_run_ms("emulate:0"), 0);
  EXPECT_EQ(*emulated_run_ms("emulate:2.5"), 2500);
  EXPECT_EQ(*emulated_run_ms("from trace 7, emulate:60 and more"), 60'000);
  EXPECT_FALSE(emulated_run_ms("")->has_value());
  EXPECT_FALSE(emulated_run_ms("no-emulate:5")->has_value());
  for (const char* wrong : {"emulate:", "emulate:x", "emulate:-1", "emulate:1e3", "emulate:99999999999"})
    EXPECT_EQ(emulated_run_ms(wrong).error().code, "bad_comment") << wrong;
}

TEST(VirtualNode, RunsForTheSecondsAskedFor) {
  Virtual node;
  node.order(launch(kJob7, "emulate:2.5", 60));
  EXPECT_TRUE(node.runs(kJob7));
  node.pass(2'499);
  EXPECT_FALSE(node.ended(kJob7));
  node.pass(1);
  ASSERT_TRUE(node.ended(kJob7));
  const auto& end = *node.told(kJob7);
  EXPECT_EQ(end.end, AttemptEnd::kExited);
  EXPECT_EQ(end.exit, ExitStatus{});
  EXPECT_EQ(end.ended.us - end.started.us, 2'500'000);
}

TEST(VirtualNode, NoTimeAtAllIsOneMessage) {
  Virtual node;
  node.order(launch(kJob7, "emulate:0"));
  ASSERT_TRUE(node.ended(kJob7));
  EXPECT_EQ(node.told(kJob7)->end, AttemptEnd::kExited);
  EXPECT_TRUE(node.told(kJob7)->started.is_set());
  EXPECT_EQ(node.messages, 1);
}

TEST(VirtualNode, TheTimeLimitEndsIt) {
  Virtual node;
  node.order(launch(kJob7, "", 60));
  node.order(launch({8, 1}, "emulate:61", 60));
  node.order(launch({9, 1}, "emulate:60", 60));
  node.order(launch({10, 1}, ""));
  node.pass(59'999);
  for (JobId id : {7, 8, 9, 10}) EXPECT_TRUE(node.runs({id, 1})) << id;
  node.pass(1);
  EXPECT_EQ(node.told(kJob7)->end, AttemptEnd::kTimeout);
  EXPECT_EQ(node.told({8, 1})->end, AttemptEnd::kTimeout);
  EXPECT_EQ(node.told({9, 1})->end, AttemptEnd::kExited);
  node.pass(100'000'000);
  EXPECT_TRUE(node.runs({10, 1}));
}

TEST(VirtualNode, ATimeLimitMayChange) {
  Virtual node;
  node.order(launch(kJob7, "", 60));
  node.pass(30'000);
  node.order(launch(kJob7, "", 100));
  node.pass(69'999);
  EXPECT_FALSE(node.ended(kJob7));
  node.pass(1);
  EXPECT_EQ(node.told(kJob7)->end, AttemptEnd::kTimeout);
  node.order(launch({8, 1}, "emulate:500", 1000));
  node.pass(10'000);
  node.order(launch({8, 1}, "emulate:500", 5));  // gone by
  ASSERT_TRUE(node.ended({8, 1}));
  EXPECT_EQ(node.told({8, 1})->end, AttemptEnd::kTimeout);
}

TEST(VirtualNode, ADeadlineEndsIt) {
  Virtual node;
  Time deadline = node.now;
  deadline.us += 10'000'000;
  node.order(launch(kJob7, "emulate:60", 600, deadline));
  node.pass(10'000);
  ASSERT_TRUE(node.ended(kJob7));
  EXPECT_EQ(node.told(kJob7)->end, AttemptEnd::kDeadline);
}

TEST(VirtualNode, IsCancelledAndSignalled) {
  Virtual node;
  for (JobId id : {7, 8, 9, 10}) node.order(launch({id, 1}, "emulate:60"));
  node.signal(kJob7, 0);
  EXPECT_EQ(node.told(kJob7)->end, AttemptEnd::kCancelled);
  EXPECT_EQ(node.told(kJob7)->exit.signal, SIGTERM);
  node.signal({8, 1}, 0, true);
  EXPECT_EQ(node.told({8, 1})->exit.signal, SIGKILL);
  node.signal({9, 1}, SIGSTOP);
  node.signal({9, 1}, SIGCONT);
  EXPECT_TRUE(node.runs({9, 1}));
  node.signal({9, 1}, SIGUSR1);
  ASSERT_TRUE(node.ended({9, 1}));
  EXPECT_EQ(node.told({9, 1})->end, AttemptEnd::kSignalled);
  EXPECT_EQ(node.told({9, 1})->exit.signal, SIGUSR1);
  EXPECT_TRUE(node.runs({10, 1}));
}

TEST(VirtualNode, ARepeatedOrderStartsNothing) {
  Virtual node;
  node.order(launch(kJob7, "emulate:10"));
  node.pass(9'000);
  node.order(launch(kJob7, "emulate:10"));
  node.pass(1'000);
  ASSERT_TRUE(node.ended(kJob7));
  node.order(launch(kJob7, "emulate:10"));
  EXPECT_TRUE(node.ended(kJob7));
  node.signal({8, 1}, 0);  // overtakes its launch
  node.order(launch({8, 1}, "emulate:10"));
  EXPECT_EQ(node.told({8, 1})->end, AttemptEnd::kNeverStarted);
}

TEST(VirtualNode, AWrongCommentIsALaunchThatFailed) {
  Virtual node;
  node.order(launch(kJob7, "emulate:soon"));
  ASSERT_TRUE(node.ended(kJob7));
  EXPECT_EQ(node.told(kJob7)->end, AttemptEnd::kLaunchFailed);
  EXPECT_NE(node.told(kJob7)->message.find("emulate:soon"), std::string::npos);
}

TEST(VirtualNode, ALostSessionLosesNothing) {
  Virtual node;
  node.order(launch(kJob7, "emulate:10"));
  node.order(launch({8, 1}, "emulate:60"));
  node.give(SessionDown{});
  node.pass(20'000);
  EXPECT_FALSE(node.ended(kJob7));  // not told
  node.give(SessionUp{});
  ASSERT_EQ(node.registered.attempts.size(), 2u);
  EXPECT_EQ(node.registered.attempts[0].phase, AttemptPhase::kEnded);
  EXPECT_EQ(node.registered.attempts[0].end, AttemptEnd::kExited);
  EXPECT_EQ(node.registered.attempts[1].phase, AttemptPhase::kRunning);
}

TEST(VirtualNode, TimeDoesNotRunWhileAStepStandsStill) {
  Virtual node;
  node.order(launch(kJob7, "emulate:10"));
  node.pass(4'000);
  wire::AgentOrders orders;
  orders.lineage = lineage();
  orders.suspends.push_back({kJob7, 5, true});
  node.give(OrderIn{orders});
  EXPECT_EQ(node.told(kJob7)->suspend_generation, 5u);
  node.pass(60'000);
  EXPECT_FALSE(node.ended(kJob7));
  orders.suspends[0] = {kJob7, 6, false};
  node.give(OrderIn{orders});
  EXPECT_EQ(node.told(kJob7)->suspend_generation, 6u);
  node.pass(5'999);
  EXPECT_FALSE(node.ended(kJob7));
  node.pass(1);
  EXPECT_TRUE(node.ended(kJob7));
}

TEST(VirtualNode, AStepTakesAsLongAsItsOwnCommentSaysElseItsJobs) {
  const AttemptKey first{7, 1, 0}, second{7, 1, 1};
  Virtual node;
  auto order = launch(first, "emulate:10");
  auto step = std::make_shared<Step>();
  step->job = 7;
  step->attempt = 1;
  order.step = step;
  node.order(order);
  order.key = second;
  order.run.comment = "emulate:2";
  node.order(order);
  node.pass(2'000);
  EXPECT_TRUE(node.ended(second));
  EXPECT_FALSE(node.ended(first));
  node.pass(8'000);
  EXPECT_TRUE(node.ended(first));
}

}  // namespace
}  // namespace bai::agent
