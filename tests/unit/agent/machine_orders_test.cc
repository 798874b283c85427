// What a controller orders of an attempt that is there, or not yet: to end, a signal, a standstill, a limit.
#include <gtest/gtest.h>
#include <signal.h>

#include "node.h"

namespace bai::agent {
namespace {

TEST(AgentMachine, AnOrderToEndIsAnsweredEachTimeAndPassedOnOnce) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(StepRunning{kJob7, Time{5}});
  for (std::size_t times = 1; times <= 3; ++times) {
    node.told.clear();
    node.give(OrderIn{ending(kJob7, 4)});
    ASSERT_EQ(node.told.size(), 1u);
    EXPECT_EQ(node.told[0].phase, AttemptPhase::kRunning);
    EXPECT_EQ(node.requests.size(), 1u);
  }
}

TEST(AgentMachine, ALimitIsPassedOnOnceAndAgainByANewAgent) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(StepRunning{kJob7, Time{5}});
  wire::AgentOrders limit;
  limit.lineage = lineage();
  limit.limits = {{kJob7, 300}};
  const auto limits = [&] {
    std::vector<std::uint64_t> out;
    for (const auto& [key, request] : std::exchange(node.requests, {}))
      if (const auto* set = std::get_if<step::SetTimeLimitRequest>(&request))
        out.push_back(set->time_limit_s);
    return out;
  };
  node.give(OrderIn{limit});
  node.give(OrderIn{limit});
  EXPECT_EQ(limits(), std::vector<std::uint64_t>{300});
  node.boot();  // it may have died before the shepherd heard it
  node.connect();
  node.give(OrderIn{limit});
  EXPECT_EQ(limits(), std::vector<std::uint64_t>{300});
}

TEST(AgentMachine, ACancelOvertakesItsLaunch) {
  Node node;
  node.give(OrderIn{ending(kJob7, 1)});
  ASSERT_EQ(node.told.size(), 1u);
  EXPECT_EQ(node.told[0].end, AttemptEnd::kNeverStarted);
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_EQ(node.prepared, 0);
  node.boot();  // the tombstone lasts
  node.connect();
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_TRUE(node.spawned.empty());
  EXPECT_EQ(node.told.back().end, AttemptEnd::kNeverStarted);
  node.give(OrderIn{forgetting(kJob7)});
  EXPECT_EQ(node.machine->attempt_count(), 0u);
}

TEST(AgentMachine, ACancelInTheSameMessageStopsTheLaunch) {
  Node node;
  auto both = orders({launch(kJob7)});
  both.signals = ending(kJob7, 1).signals;
  node.give(OrderIn{both});
  EXPECT_TRUE(node.spawned.empty());
  EXPECT_EQ(node.told.back().end, AttemptEnd::kNeverStarted);
}

TEST(AgentMachine, SignalsForTheUnknownAreNotTombstones) {
  Node node;
  node.give(OrderIn{signalling(kJob7, 1, SIGUSR1)});
  EXPECT_EQ(node.machine->attempt_count(), 0u);
  EXPECT_TRUE(node.requests.empty());
}

TEST(AgentMachine, ActsOncePerGeneration) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(OrderIn{signalling(kJob7, 5, SIGUSR1)});
  node.give(OrderIn{signalling(kJob7, 5, SIGUSR1)});
  node.give(OrderIn{signalling(kJob7, 4, SIGUSR1)});
  ASSERT_EQ(node.requests.size(), 1u);
  node.boot();  // remembered with the attempt
  node.connect();
  node.give(OrderIn{signalling(kJob7, 5, SIGUSR1)});
  EXPECT_EQ(node.requests.size(), 1u);
  node.give(OrderIn{signalling(kJob7, 6, SIGUSR2)});
  ASSERT_EQ(node.requests.size(), 2u);
  EXPECT_EQ(std::get<step::SignalRequest>(node.requests[1].request).signum,
            static_cast<std::uint32_t>(SIGUSR2));

  // An end is a state: a new agent passes it on again, whatever signals came before.
  node.give(OrderIn{ending(kJob7, 3)});
  node.give(OrderIn{ending(kJob7, 3)});
  ASSERT_EQ(node.requests.size(), 3u);
  EXPECT_TRUE(std::holds_alternative<step::TerminateRequest>(node.requests[2].request));
  node.give(OrderIn{ending(kJob7, 7, true)});
  ASSERT_EQ(node.requests.size(), 4u);
  EXPECT_TRUE(std::holds_alternative<step::KillRequest>(node.requests[3].request));
}

TEST(AgentMachine, ANewTimeLimitGoesToTheShepherd) {
  Node node;
  auto order = launch(kJob7);
  order.time_limit = 60;
  node.give(OrderIn{orders({order})});
  node.give(OrderIn{orders({order})});
  EXPECT_TRUE(node.requests.empty());
  order.time_limit = 120;
  node.give(OrderIn{orders({order})});
  ASSERT_EQ(node.requests.size(), 1u);
  EXPECT_EQ(std::get<step::SetTimeLimitRequest>(node.requests[0].request).time_limit_s, 120u);
}

wire::AgentOrders standing(AttemptKey key, std::uint64_t generation, bool suspended) {
  wire::AgentOrders o;
  o.lineage = lineage();
  o.suspends.push_back({key, generation, suspended});
  return o;
}

// The last suspend or resume that the shepherd was asked for; 0: none.
std::uint64_t asked(const Node& node, bool* suspended = nullptr) {
  std::uint64_t out = 0;
  for (const auto& to : node.requests)
    if (auto* suspend = std::get_if<step::SuspendRequest>(&to.request)) {
      out = suspend->generation;
      if (suspended) *suspended = suspend->suspended;
    }
  return out;
}

TEST(AgentMachine, ASuspendIsDurableBeforeTheShepherdHearsOfItAndIsToldWhenItIsDone) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(StepRunning{kJob7, node.now});
  node.die_before_journal = true;
  node.give(OrderIn{standing(kJob7, 5, true)});
  EXPECT_EQ(asked(node), 0u);
  node.die_before_journal = false;
  node.boot();
  node.connect();
  EXPECT_EQ(asked(node), 0u);
  node.give(OrderIn{standing(kJob7, 5, true)});
  bool suspended = false;
  EXPECT_EQ(asked(node, &suspended), 5u);
  EXPECT_TRUE(suspended);
  EXPECT_EQ(node.machine->report(kJob7)->suspend_generation, 0u);
  node.give(StepStands{kJob7, 5});
  node.tick();
  EXPECT_EQ(node.told.back().suspend_generation, 5u);
  // A repeat gets the news again, an older one nothing.
  node.told.clear();
  node.requests.clear();
  node.give(OrderIn{standing(kJob7, 5, true)});
  node.tick();
  ASSERT_EQ(node.told.size(), 1u);
  EXPECT_EQ(node.told.back().suspend_generation, 5u);
  node.give(OrderIn{standing(kJob7, 4, false)});
  EXPECT_EQ(asked(node), 0u);
}

TEST(AgentMachine, ALaterAgentSaysItToTheShepherdAgain) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(StepRunning{kJob7, node.now});
  node.die_after_journal = true;
  node.give(OrderIn{standing(kJob7, 5, true)});
  node.die_after_journal = false;
  EXPECT_EQ(asked(node), 0u);
  node.boot();
  EXPECT_EQ(asked(node), 5u);
  node.connect();
  EXPECT_EQ(node.registered.attempts.at(0).suspend_generation, 0u);
  node.give(StepStands{kJob7, 5});
  node.tick();
  EXPECT_EQ(node.told.back().suspend_generation, 5u);
  bool suspended = true;
  node.give(OrderIn{standing(kJob7, 6, false)});
  EXPECT_EQ(asked(node, &suspended), 6u);
  EXPECT_FALSE(suspended);
  // An answer to the one before is not one to this.
  EXPECT_EQ(node.machine->report(kJob7)->suspend_generation, 5u);
}

TEST(AgentMachine, ASuspendOfWhatIsNotHereLeavesNothing) {
  Node node;
  node.give(OrderIn{standing(kJob7, 5, true)});
  EXPECT_EQ(node.machine->attempt_count(), 0u);
  node.give(OrderIn{orders({launch(kJob7)})});
  node.step_ends(kJob7, exited(0));
  node.give(OrderIn{standing(kJob7, 6, true)});
  EXPECT_EQ(asked(node), 0u);
}

TEST(AgentMachine, AnEndWithAGraceGoesToTheShepherdWhole) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  auto order = ending(kJob7, 5);
  order.signals[0].as = AttemptEnd::kPreempted;
  order.signals[0].grace_s = 60;
  order.signals[0].notice = wire::Notice::kOwnSignal;
  node.give(OrderIn{order});
  auto* terminate = std::get_if<step::TerminateRequest>(&node.requests.back().request);
  ASSERT_TRUE(terminate);
  EXPECT_EQ(terminate->grace_ms, 60'000);
  EXPECT_EQ(terminate->notice, step::Notice::kOwnSignal);
  EXPECT_EQ(terminate->reason, step::EndReason::kPreempted);
}

}  // namespace
}  // namespace bai::agent
