#include "agent/machine.h"

#include <gtest/gtest.h>

#include "node.h"

namespace bai::agent {
namespace {

TEST(AgentMachine, LaunchesOnceHoweverOftenItIsTold) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(OrderIn{orders({launch(kJob7), launch(kJob7)})});
  EXPECT_EQ(node.spawned, std::vector{kJob7});
  node.step_ends(kJob7, exited(0));
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_EQ(node.spawned.size(), 1u);
  EXPECT_EQ(node.prepared, 1);
}

TEST(AgentMachine, ManyLaunchesShareOneSync) {
  Node node;
  const int before = node.syncs;
  std::vector<wire::LaunchOrder> many;
  for (JobId id = 1; id <= 100; ++id) many.push_back(launch({id, 1}));
  node.give(OrderIn{orders(many)});
  EXPECT_EQ(node.spawned.size(), 100u);
  EXPECT_EQ(node.syncs, before + 1);
}

TEST(AgentMachine, TellsRunningAndEndUntilItMayForget) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_TRUE(node.told.empty());  // a claim alone waits for the next tick
  node.give(StepRunning{kJob7, Time{5}});
  ASSERT_EQ(node.told.size(), 1u);
  EXPECT_EQ(node.told[0].phase, AttemptPhase::kRunning);
  node.step_ends(kJob7, exited(3));
  ASSERT_EQ(node.told.size(), 2u);
  EXPECT_EQ(node.told[1].phase, AttemptPhase::kEnded);
  EXPECT_EQ(node.told[1].exit, (ExitStatus{3, 0}));
  node.tick(1000);
  EXPECT_EQ(node.told.size(), 2u);
  node.tick(3000);
  EXPECT_EQ(node.told.size(), 3u);
  node.give(OrderIn{forgetting(kJob7)});
  EXPECT_EQ(node.discarded, std::vector{kJob7});
  EXPECT_EQ(node.machine->attempt_count(), 0u);
  node.tick(3000);
  node.tick(3000);
  EXPECT_EQ(node.told.size(), 3u);
  node.boot();
  EXPECT_EQ(node.machine->attempt_count(), 0u);
}

TEST(AgentMachine, AnEndIsRepeatedLessAndLessOften) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(StepRunning{kJob7, Time{5}});
  node.step_ends(kJob7, exited(0));
  node.told.clear();
  for (int second = 0; second < 600; ++second) node.tick(1000);
  EXPECT_GE(node.told.size(), 10u);
  EXPECT_LE(node.told.size(), 16u);
  node.connect();  // a new session begins anew
  node.told.clear();
  for (int second = 0; second < 10; ++second) node.tick(1000);
  EXPECT_EQ(node.told.size(), 2u);
}

TEST(AgentMachine, AClaimIsToldAtTheNextTick) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.tick();
  ASSERT_EQ(node.told.size(), 1u);
  EXPECT_EQ(node.told[0].phase, AttemptPhase::kClaimed);
}

TEST(AgentMachine, NeverForgetsWhatHasNotEnded) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(OrderIn{forgetting(kJob7)});
  EXPECT_EQ(node.machine->attempt_count(), 1u);
  EXPECT_TRUE(node.discarded.empty());
}

TEST(AgentMachine, ARefusedLaunchIsAnEndWithAReason) {
  Node node;
  node.refusal = Error{"unknown_user", "node n1 does not know uid 1234"};
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_TRUE(node.spawned.empty());
  ASSERT_EQ(node.told.size(), 1u);
  EXPECT_EQ(node.told[0].end, AttemptEnd::kLaunchFailed);
  EXPECT_NE(node.told[0].message.find("uid 1234"), std::string::npos);
  node.boot();
  EXPECT_EQ(node.machine->report(kJob7)->end, AttemptEnd::kLaunchFailed);
}

TEST(AgentMachine, WhatCannotBeDoneNowIsNotClaimed) {
  Node node;
  node.later = Error{"munge_unavailable", "munged is not answering"};
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_EQ(node.told.back().phase, AttemptPhase::kPreparing);
  EXPECT_NE(node.told.back().message.find("munged"), std::string::npos);
  EXPECT_EQ(node.prepared, 1);
  node.tick(60'000);
  EXPECT_EQ(node.prepared, 1) << "the controller asks again";
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_EQ(node.prepared, 2);
  node.later.reset();
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_EQ(node.spawned.size(), 1u);
  EXPECT_EQ(node.machine->report(kJob7)->message, "");
  node.later = Error{"munge_unavailable", "munged is not answering"};
  node.give(OrderIn{orders({launch({8, 1})})});
  node.boot();
  EXPECT_EQ(node.machine->report({8, 1}), nullptr);
}

// MUNGE or a name service may take long: the agent says that it is at it, and what comes meanwhile counts.
TEST(AgentMachine, AnswersWhileALaunchIsPrepared) {
  Node node;
  node.slow = true;
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_TRUE(node.told.empty());
  node.give(OrderIn{orders({launch(kJob7)})});  // said again
  ASSERT_EQ(node.told.size(), 1u);
  EXPECT_EQ(node.told[0].phase, AttemptPhase::kPreparing);
  EXPECT_EQ(node.prepared, 1);
  node.give(SessionDown{});
  node.connect();
  ASSERT_EQ(node.registered.attempts.size(), 1u);
  EXPECT_EQ(node.registered.attempts[0].phase, AttemptPhase::kPreparing);
  node.give(OrderIn{signalling(kJob7, 1, SIGUSR1)});
  node.give(Prepared{node.waiting, "mark", {}, {}});
  EXPECT_EQ(node.spawned, std::vector<AttemptKey>{kJob7});
  EXPECT_TRUE(node.requests.empty());

  node.give(OrderIn{orders({launch({8, 1})})});
  node.give(OrderIn{ending({8, 1}, 1)});
  EXPECT_EQ(node.told.back().end, AttemptEnd::kNeverStarted) << "it does not wait for MUNGE";
  node.give(Prepared{node.waiting, "mark", {}, {}});
  EXPECT_EQ(node.spawned.size(), 1u);
  EXPECT_EQ(node.last.discard, std::vector<AttemptKey>{node.waiting});
  EXPECT_EQ(node.machine->report({8, 1})->phase, AttemptPhase::kEnded);

  node.give(OrderIn{orders({launch({9, 1})})});
  node.give(Prepared{node.waiting, "", {}, Error{"munge_unavailable", "munged is not answering"}});
  node.give(OrderIn{ending({9, 1}, 1)});
  EXPECT_EQ(node.told.back().end, AttemptEnd::kNeverStarted);

  node.give(OrderIn{orders({launch({10, 1})})});
  node.give(OrderIn{ending({10, 1}, 1)});
  node.give(OrderIn{forgetting({10, 1})});
  node.give(Prepared{node.waiting, "mark", {}, {}});
  EXPECT_EQ(node.machine->report({10, 1}), nullptr);
  EXPECT_EQ(node.last.discard, std::vector<AttemptKey>{node.waiting});
}

// ---- restarts

TEST(AgentMachine, DyingBeforeTheClaimLeavesNothing) {
  Node node;
  node.die_before_journal = true;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.die_before_journal = false;
  node.boot();
  EXPECT_EQ(node.machine->attempt_count(), 0u);
  node.connect();
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_EQ(node.spawned.size(), 1u);
}

TEST(AgentMachine, DyingBetweenClaimAndForkNeverForksThatAttempt) {
  Node node;
  node.die_after_journal = true;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.die_after_journal = false;
  node.boot();
  node.connect();
  ASSERT_EQ(node.registered.attempts.size(), 1u);
  EXPECT_EQ(node.registered.attempts[0].end, AttemptEnd::kNeverStarted);
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_TRUE(node.spawned.empty());
}

TEST(AgentMachine, ALiveShepherdIsTakenOn) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.boot();
  node.connect();
  ASSERT_EQ(node.registered.attempts.size(), 1u);
  EXPECT_EQ(node.registered.attempts[0].phase, AttemptPhase::kClaimed);
  node.give(StepRunning{kJob7, Time{9}});
  EXPECT_EQ(node.told.back().phase, AttemptPhase::kRunning);
  node.give(OrderIn{orders({launch(kJob7)})});
  EXPECT_EQ(node.spawned.size(), 1u);
}

TEST(AgentMachine, AnEndInTheMeantimeIsReported) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.statuses[kJob7] = exited(4);
  node.boot();
  node.connect();
  ASSERT_EQ(node.registered.attempts.size(), 1u);
  EXPECT_EQ(node.registered.attempts[0].end, AttemptEnd::kExited);
  EXPECT_EQ(node.registered.attempts[0].exit.code, 4);
}

TEST(AgentMachine, AnEndIsToldAtOnceAndInTheJournalSoon) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  const int syncs = node.syncs;
  node.step_ends(kJob7, exited(4));
  EXPECT_EQ(node.syncs, syncs);
  EXPECT_EQ(node.told.back().phase, AttemptPhase::kEnded);
  // What the shepherd left is gone after a reboot; the journal is not.
  node.statuses.clear();
  node.shepherds.clear();
  for (std::string boot : {"boot-2", "boot-3"}) {
    node.boot(boot);
    node.connect();
    ASSERT_EQ(node.registered.attempts.size(), 1u);
    EXPECT_EQ(node.registered.attempts[0].end, AttemptEnd::kExited);
    EXPECT_EQ(node.registered.attempts[0].exit.code, 4);
  }
}

TEST(AgentMachine, ADeadShepherdsRemainsAreEndedFirst) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.shepherds[kJob7] = FoundAttempt::Shepherd::kDead;
  node.boot();
  EXPECT_EQ(node.buried, std::vector{kJob7});
  node.connect();
  EXPECT_EQ(node.registered.attempts.at(0).phase, AttemptPhase::kClaimed);
  node.give(StepLost{kJob7, true, "bai-stepd was lost"});
  EXPECT_EQ(node.told.back().end, AttemptEnd::kShepherdLost);
  node.boot();
  EXPECT_EQ(node.machine->report(kJob7)->end, AttemptEnd::kShepherdLost);
}

TEST(AgentMachine, AShepherdThatNeverBeganIsNoStart) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(StepLost{kJob7, false, "killed at once"});
  EXPECT_EQ(node.told.back().end, AttemptEnd::kNeverStarted);
}

TEST(AgentMachine, ClaimsOfAnEarlierBootAreOver) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.boot("boot-2");
  node.connect();
  EXPECT_EQ(node.registered.attempts.at(0).end, AttemptEnd::kNodeRebooted);
}

// ---- lineage

TEST(AgentMachine, RemembersTheClusterBeforeItActs) {
  Node node;
  EXPECT_EQ(decode_journal(node.disk).lineage.epoch, 3u);
  node.connect(lineage(4));
  EXPECT_EQ(decode_journal(node.disk).lineage.epoch, 4u);
  node.boot();
  node.connect(lineage(4));
  EXPECT_EQ(node.registered.seen.epoch, 4u);
  EXPECT_EQ(node.registered.seen.cluster, cluster_id(1));
}

TEST(AgentMachine, ClaimsCarryTheHighestIdSeen) {
  Node node;
  node.give(OrderIn{orders({launch({90, 1})})});
  node.boot();
  EXPECT_EQ(node.machine->seen().last_job_id, 90u);
}

TEST(AgentMachine, RefusesAnOlderController) {
  Node node(false);
  node.connect(lineage(5));
  node.give(OrderIn{orders({launch(kJob7)}, lineage(4))});
  EXPECT_EQ(node.prepared, 0);
  node.give(OrderIn{orders({launch(kJob7)}, lineage(5))});  // that session is over
  EXPECT_EQ(node.prepared, 0);
  for (int i = 0; i < 6; ++i) node.tick();
  EXPECT_EQ(node.reconnects, 1);
  node.give(SessionDown{});
  node.connect(lineage(5));
  node.give(OrderIn{orders({launch(kJob7)}, lineage(5))});
  EXPECT_EQ(node.spawned.size(), 1u);
}

TEST(AgentMachine, RefusesAnotherCluster) {
  Node node;
  node.boot();
  node.connect(lineage(9, 2));
  EXPECT_FALSE(node.machine->welcomed());
  node.give(OrderIn{ending(kJob7, 1)});
  EXPECT_EQ(node.machine->attempt_count(), 0u);
  EXPECT_EQ(node.machine->seen().cluster, cluster_id(1));
}

// ---- the session

TEST(AgentMachine, NewsOutlivesALostSession) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(SessionDown{});
  node.step_ends(kJob7, exited(0));
  EXPECT_TRUE(node.told.empty());
  node.connect();
  ASSERT_EQ(node.registered.attempts.size(), 1u);
  EXPECT_EQ(node.registered.attempts[0].phase, AttemptPhase::kEnded);
}

TEST(AgentMachine, WhatWasNotSentIsSaidAgain) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7)})});
  node.give(StepRunning{kJob7, Time{5}});
  node.told.clear();
  node.give(SendFailed{});
  ASSERT_EQ(node.told.size(), 1u);
  EXPECT_EQ(node.told[0].phase, AttemptPhase::kRunning);
}

TEST(AgentMachine, BeatsWithinTheTimeItWasTold) {
  Node node;
  int beats = 0;
  for (int i = 0; i < 40; ++i) {
    node.tick();
    beats += node.last.heartbeat;
  }
  EXPECT_GE(beats, 4);
  EXPECT_LE(beats, 5);
}

// However close together they came.
TEST(AgentMachine, HeartbeatsOfManyNodesAreSpread) {
  std::map<int, int> first;  // by second
  for (int n = 0; n < 1000; ++n) {
    MachineStart start;
    start.facts.node = "n" + std::to_string(1000 + n);
    start.one_of_many = true;
    Output out;
    Machine machine(std::move(start), Input{Time{}, 0, Tick{}}, out);
    machine.handle(Input{Time{}, 0, SessionUp{}}, out);
    wire::AgentWelcome welcome;
    welcome.lineage = lineage();
    welcome.heartbeat_s = 10;
    machine.handle(Input{Time{}, 0, OrderIn{welcome}}, out);
    EXPECT_TRUE(out.heartbeat);
    for (int s = 1; s <= 10; ++s) {
      Output later;
      machine.handle(Input{Time{}, s * 1000, Tick{}}, later);
      if (!later.heartbeat) continue;
      ++first[s];
      break;
    }
  }
  for (int s = 1; s <= 9; ++s) EXPECT_GT(first[s], 50) << s;
}

TEST(AgentMachine, ConfigurationsAreTakenAndReported) {
  Node node;
  wire::AgentConfig config;
  config.config_hash = 42;
  config.config_text = "ClusterName=x\n";
  node.give(OrderIn{config});
  EXPECT_EQ(node.last.config_text, "ClusterName=x\n");
  EXPECT_EQ(node.machine->config_hash(), 42u);
  EXPECT_TRUE(node.last.heartbeat);
}

TEST(AgentMachine, SnapshotIsTheJournal) {
  Node node;
  node.give(OrderIn{orders({launch(kJob7), launch({8, 2})})});
  node.give(OrderIn{signalling(kJob7, 5, SIGUSR1)});
  node.give(OrderIn{ending({9, 1}, 6)});
  const auto a = decode_journal(node.disk), b = decode_journal(node.machine->snapshot());
  EXPECT_EQ(a.attempts, b.attempts);
  EXPECT_EQ(b.attempts.size(), 3u);
  EXPECT_EQ(a.lineage.epoch, b.lineage.epoch);
}

}  // namespace
}  // namespace bai::agent
