#include "agent/machine.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace bai::agent {
namespace {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

constexpr AttemptKey kJob7{7, 1};

Uuid cluster_id(std::uint8_t n) {
  Uuid id;
  id.bytes.fill(n);
  return id;
}

Lineage lineage(std::uint64_t epoch = 3, std::uint8_t cluster = 1) {
  Lineage l;
  l.cluster = cluster_id(cluster);
  l.epoch = epoch;
  l.lsn = 100;
  l.last_job_id = 7;
  return l;
}

wire::LaunchOrder launch(AttemptKey key) {
  wire::LaunchOrder order;
  order.key = key;
  Job job;
  job.id = key.job;
  job.attempt = key.attempt;
  order.job = std::make_shared<const Job>(std::move(job));
  return order;
}

wire::AgentOrders orders(std::vector<wire::LaunchOrder> launches, Lineage by = lineage()) {
  wire::AgentOrders o;
  o.lineage = by;
  o.launches = std::move(launches);
  return o;
}

wire::AgentOrders ending(AttemptKey key, std::uint64_t generation, bool now = false) {
  wire::AgentOrders o;
  o.lineage = lineage();
  wire::SignalOrder s;
  s.key = key;
  s.generation = generation;
  s.now = now;
  o.signals.push_back(s);
  return o;
}

wire::AgentOrders signalling(AttemptKey key, std::uint64_t generation, std::uint16_t signum) {
  auto o = ending(key, generation);
  o.signals[0].signal = signum;
  return o;
}

wire::AgentOrders forgetting(AttemptKey key) {
  wire::AgentOrders o;
  o.lineage = lineage();
  o.forget.push_back(key);
  return o;
}

// An agent without a disk: what is durable is `disk`, what would run is `running`.
class Node {
 public:
  explicit Node(bool connected = true) {
    boot();
    if (connected) connect();
  }

  // A new agent on what the last one left.
  void boot(std::string boot_id = "boot-1") {
    boot_ = std::move(boot_id);
    JournalContents journal = decode_journal(disk);
    EXPECT_FALSE(journal.damaged);
    MachineStart start;
    start.facts.node = "n1";
    start.boot_id = boot_;
    start.seen = journal.lineage;
    for (const auto& [key, record] : journal.attempts) {
      FoundAttempt found;
      found.record = record;
      if (record.boot_id == boot_ && shepherds.contains(key)) found.shepherd = shepherds[key];
      if (statuses.contains(key)) found.status = statuses[key];
      start.found.push_back(std::move(found));
    }
    Output out;
    machine.emplace(std::move(start), Input{now, mono_ms, Tick{}}, out);
    carry_out(out);
  }

  void connect(Lineage by = lineage()) {
    give(SessionUp{});
    wire::AgentWelcome welcome;
    welcome.lineage = by;
    welcome.heartbeat_s = 10;
    give(OrderIn{welcome});
  }

  // Everything in one turn; what has to wait for the disk is dropped when `lose_disk`.
  void give(InputBody body) {
    Output out;
    machine->handle(Input{now, mono_ms, std::move(body)}, out);
    while (!out.prepare.empty()) {
      auto order = out.prepare.front();
      out.prepare.erase(out.prepare.begin());
      prepared++;
      if (slow) {
        waiting = order.key;
        continue;
      }
      Prepared answer{order.key, "mark", refusal, later};
      machine->handle(Input{now, mono_ms, answer}, out);
    }
    machine->flush(mono_ms, out);
    carry_out(out);
  }

  void tick(std::int64_t ms = 1000) {
    mono_ms += ms;
    now.us += ms * 1000;
    give(Tick{});
  }

  void carry_out(Output& out) {
    last = out;
    if (die_before_journal) return;
    disk += out.journal;
    if (out.sync) syncs++;
    if (die_after_journal) return;
    for (auto& [key, mark] : out.spawn) {
      spawned.push_back(key);
      shepherds[key] = FoundAttempt::Shepherd::kAlive;
    }
    for (auto& r : out.urgent) requests.push_back(r);
    for (auto& r : out.requests) requests.push_back(r);
    for (auto& key : out.bury) buried.push_back(key);
    for (auto& key : out.discard) {
      discarded.push_back(key);
      statuses.erase(key);
      shepherds.erase(key);
    }
    for (auto& body : out.sends) {
      if (auto* news = std::get_if<wire::AgentAttempts>(&body))
        for (auto& report : news->attempts) told.push_back(report);
      if (auto* hello = std::get_if<wire::AgentRegister>(&body)) registered = *hello;
    }
    reconnects += out.reconnect;
  }

  void step_ends(AttemptKey key, const step::StepStatus& status) {
    statuses[key] = status;
    give(StepEnded{key, status});
  }

  std::optional<Machine> machine;
  std::string disk;
  std::map<AttemptKey, FoundAttempt::Shepherd> shepherds;
  std::map<AttemptKey, step::StepStatus> statuses;
  std::optional<Error> refusal;
  std::optional<Error> later;
  bool slow = false;  // preparing takes its time: `waiting` is not answered by itself
  AttemptKey waiting;
  bool die_before_journal = false, die_after_journal = false;
  int prepared = 0, syncs = 0, reconnects = 0;
  std::vector<AttemptKey> spawned, discarded, buried;
  std::vector<ToStep> requests;
  std::vector<wire::AttemptReport> told;
  wire::AgentRegister registered;
  Output last;
  Time now = Time::from_seconds(1'000'000);
  std::int64_t mono_ms = 5'000;

 private:
  std::string boot_;
};

step::StepStatus exited(std::uint32_t code) {
  step::StepStatus s;
  s.exit_code = code;
  s.start_us = 1;
  s.end_us = 2;
  return s;
}

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
