// Prologs and epilogs in the agent's machine: when they begin, what waits for them, and what an agent that was killed between makes of it.
#include "agent/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "model/hooks.h"

namespace bai::agent {
namespace {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

constexpr AttemptKey kBatch{7, 1}, kFirst{7, 1, 0}, kProlog{7, 1, kPrologStep}, kEpilog{7, 1, kEpilogStep};
using Keys = std::vector<AttemptKey>;

// A node whose disk is `disk`; what it prepares and spawns is noted.
class Node {
 public:
  explicit Node(wire::NodeHooks hooks = wire::kHasProlog | wire::kHasEpilog) : hooks_(hooks) { boot(); }

  void boot(const std::string& boot_id = "boot-1") {
    MachineStart start;
    start.facts.node = "n1";
    start.facts.hooks = hooks_;
    start.boot_id = boot_id;
    const auto journal = decode_journal(disk);
    start.seen = journal.lineage;
    for (const auto& [key, record] : journal.attempts) {
      FoundAttempt found;
      found.record = record;
      if (record.boot_id == boot_id && spawned_now.count(key))
        found.shepherd = FoundAttempt::Shepherd::kAlive;
      start.found.push_back(std::move(found));
    }
    Output out;
    machine.emplace(std::move(start), Input{{}, ms, Tick{}}, out);
    carry_out(out);
    give(SessionUp{});
    wire::AgentWelcome welcome;
    welcome.lineage = lineage();
    give(OrderIn{welcome});
  }
  void give(InputBody body) {
    Output out;
    machine->handle(Input{{}, ms, std::move(body)}, out);
    while (!out.prepare.empty()) {
      const auto order = out.prepare.front();
      out.prepare.erase(out.prepare.begin());
      prepared.push_back(order.key);
      machine->handle(Input{{}, ms, Prepared{order.key, "mark", refusal, later}}, out);
    }
    machine->flush(ms, out);
    carry_out(out);
  }
  void carry_out(const Output& out) {
    disk += out.journal;
    if (die_before_spawn) return;
    for (const auto& [key, mark] : out.spawn) spawned.push_back(key), spawned_now.insert(key);
    for (const auto& key : out.discard) discarded.push_back(key);
    for (const auto& body : out.sends)
      if (auto* news = std::get_if<wire::AgentAttempts>(&body))
        for (const auto& report : news->attempts) told[report.key] = report, ++times[report.key];
  }
  void order(Keys keys) {
    wire::AgentOrders orders;
    orders.lineage = lineage();
    for (const auto& key : keys) {
      wire::LaunchOrder one;
      one.key = key;
      Job job;
      job.id = key.job;
      job.attempt = key.attempt;
      one.job = std::make_shared<const Job>(std::move(job));
      orders.launches.push_back(std::move(one));
    }
    give(OrderIn{orders});
  }
  void cancel(AttemptKey key) {
    wire::AgentOrders orders;
    orders.lineage = lineage();
    orders.signals.push_back({key, ++generation, 0, false, false, AttemptEnd::kCancelled});
    give(OrderIn{orders});
  }
  void ends(AttemptKey key, std::uint32_t code = 0) {
    step::StepStatus status;
    status.exit_code = code;
    spawned_now.erase(key);
    give(StepEnded{key, status});
  }
  void tick(std::int64_t by) {
    ms += by;
    give(Tick{});
  }
  static Lineage lineage() {
    Lineage l;
    l.cluster.bytes.fill(1);
    l.epoch = 3;
    return l;
  }

  std::optional<Machine> machine;
  std::string disk;
  std::optional<Error> refusal, later;
  bool die_before_spawn = false;
  Keys prepared, spawned, discarded;
  std::set<AttemptKey> spawned_now;
  std::map<AttemptKey, wire::AttemptReport> told;
  std::map<AttemptKey, int> times;
  std::uint64_t generation = 0;
  std::int64_t ms = 5000;

 private:
  wire::NodeHooks hooks_;
};

TEST(AgentHooks, WithoutOneNothingWaits) {
  Node node(0);
  node.order({kBatch});
  EXPECT_EQ(node.spawned, Keys{kBatch});
}

TEST(AgentHooks, TheFirstLaunchBringsThePrologAndAllWaitForIt) {
  Node node;
  node.order({kBatch});
  node.order({kBatch, kFirst});
  EXPECT_EQ(node.spawned, Keys{kProlog});
  EXPECT_EQ(node.told[kBatch].phase, AttemptPhase::kPreparing);
  node.ends(kProlog);
  EXPECT_EQ(node.spawned, (Keys{kProlog, kFirst, kBatch}));
  node.order({{7, 1, 1}});  // a later step
  EXPECT_EQ(node.spawned.back(), (AttemptKey{7, 1, 1}));
  node.order({{7, 2}});  // another start
  EXPECT_EQ(node.spawned.back(), (AttemptKey{7, 2, kPrologStep}));
}

TEST(AgentHooks, ThePrologMayBeOrderedBeforeTheLaunch) {
  Node node;
  node.order({kProlog});
  node.ends(kProlog);
  EXPECT_EQ(node.told[kProlog].phase, AttemptPhase::kEnded);
  node.order({kProlog, kBatch});
  EXPECT_EQ(node.spawned, (Keys{kProlog, kBatch}));
}

TEST(AgentHooks, AFailedPrologEndsWhatWaits) {
  Node node;
  node.order({kBatch, kFirst});
  node.ends(kProlog, 3);
  for (const auto& key : {kBatch, kFirst}) {
    EXPECT_EQ(node.told[key].end, AttemptEnd::kPrologFailed);
    EXPECT_EQ(node.told[key].message, "the prolog failed on n1");
  }
  EXPECT_EQ(node.told[kProlog].exit.code, 3);
  EXPECT_EQ(node.spawned, Keys{kProlog});
  node.boot();  // the journal's copy says the same
  EXPECT_EQ(node.machine->report(kBatch)->end, AttemptEnd::kPrologFailed);
}

TEST(AgentHooks, AJobThatIsRefusedIsNoFailureOfThePrologs) {
  Node node;
  node.refusal = Error{"bad_signature", "it was not signed"};
  node.order({kBatch});
  EXPECT_EQ(node.told[kProlog].end, AttemptEnd::kLaunchFailed);
  EXPECT_EQ(node.told[kBatch].end, AttemptEnd::kLaunchFailed);
  EXPECT_EQ(node.told[kBatch].message, "it was not signed");
}

TEST(AgentHooks, APrologThatCannotBeginNowIsTriedAgainWithItsLaunch) {
  Node node;
  node.later = Error{"munge_unavailable", "munged is not answering"};
  node.order({kBatch});
  EXPECT_TRUE(node.spawned.empty());
  node.later.reset();
  node.order({kBatch});
  EXPECT_EQ(node.spawned, Keys{kProlog});
  EXPECT_EQ(node.prepared, (Keys{kProlog, kProlog}));
}

TEST(AgentHooks, ACancelDoesNotWaitForAPrologThatCannotBegin) {
  Node node;
  node.later = Error{"munge_unavailable", "munged is not answering"};
  node.order({kBatch});
  node.cancel(kBatch);
  EXPECT_EQ(node.told[kBatch].end, AttemptEnd::kNeverStarted);
  EXPECT_EQ(node.told[kBatch].phase, AttemptPhase::kEnded);
  EXPECT_EQ(node.prepared, Keys{kProlog}) << "nor is that tried again for it";
  node.later.reset();
  node.order({kEpilog});  // and the epilog finds nothing that lives
  EXPECT_EQ(node.spawned, Keys{kEpilog});
}

TEST(AgentHooks, AStepThatIsCancelledLeavesThePrologToTheOther) {
  Node node;
  node.later = Error{"munge_unavailable", "munged is not answering"};
  node.order({kBatch, kFirst});
  node.cancel(kFirst);
  EXPECT_EQ(node.told[kFirst].end, AttemptEnd::kNeverStarted);
  node.later.reset();
  node.order({kBatch});
  EXPECT_EQ(node.spawned, Keys{kProlog});
  node.ends(kProlog);
  EXPECT_EQ(node.spawned, (Keys{kProlog, kBatch}));
}

TEST(AgentHooks, ACancelWaitsForTheProlog) {
  Node node;
  node.order({kBatch});
  node.cancel(kBatch);
  EXPECT_EQ(node.told[kBatch].phase, AttemptPhase::kPreparing);
  node.ends(kProlog);
  EXPECT_EQ(node.told[kBatch].end, AttemptEnd::kNeverStarted);
  EXPECT_EQ(node.spawned, Keys{kProlog});
}

TEST(AgentHooks, AnEpilogWaitsUntilNothingElseIsLeft) {
  Node node;
  node.order({kBatch});
  node.ends(kProlog);
  node.order({kFirst});
  node.order({kEpilog});
  node.ends(kBatch);
  EXPECT_EQ(std::count(node.spawned.begin(), node.spawned.end(), kEpilog), 0);
  node.ends(kFirst);
  EXPECT_EQ(node.spawned.back(), kEpilog);
  node.ends(kEpilog, 1);
  EXPECT_EQ(node.told[kEpilog].exit.code, 1);
  node.order({kEpilog});
  EXPECT_EQ(std::count(node.spawned.begin(), node.spawned.end(), kEpilog), 1);
}

TEST(AgentHooks, APrologsEndIsToldOnceAnEpilogsUntilItIsForgotten) {
  Node node;
  node.order({kBatch});
  node.ends(kProlog);
  node.ends(kBatch);
  node.order({kEpilog});
  node.ends(kEpilog);
  const int prolog = node.times[kProlog], epilog = node.times[kEpilog];
  node.tick(4000);
  EXPECT_EQ(node.times[kProlog], prolog);
  EXPECT_EQ(node.times[kEpilog], epilog + 1);
}

TEST(AgentHooks, AnAgentThatIsKilledMeanwhileFindsThePrologAgain) {
  Node node;
  node.order({kBatch});
  node.boot();
  node.order({kBatch});
  EXPECT_EQ(node.spawned, Keys{kProlog});
  node.ends(kProlog);
  EXPECT_EQ(node.spawned, (Keys{kProlog, kBatch}));
  node.boot();
  node.order({{7, 1, 1}});
  EXPECT_EQ(std::count(node.spawned.begin(), node.spawned.end(), kProlog), 1);
}

TEST(AgentHooks, OneThatWasClaimedAndNeverBeganRunsAfterAll) {
  Node node;
  node.die_before_spawn = true;
  node.order({kBatch});
  node.die_before_spawn = false;
  node.boot();
  EXPECT_EQ(node.machine->report(kProlog), nullptr);
  node.order({kBatch});
  EXPECT_EQ(node.spawned, Keys{kProlog});
}

TEST(AgentHooks, AfterARebootThePrologRunsAnew) {
  Node node;
  node.order({kBatch});
  node.ends(kProlog);
  node.spawned_now.clear();
  node.boot("boot-2");
  EXPECT_EQ(node.machine->report(kProlog), nullptr);
  EXPECT_EQ(node.machine->report(kBatch)->end, AttemptEnd::kNodeRebooted);
}

TEST(AgentHooks, AFailedHealthCheckIsToldOnce) {
  Node node;
  node.machine->set_unhealthy("no /scratch");
  Output out;
  node.machine->handle(Input{{}, node.ms + 1000, Tick{}}, out);
  EXPECT_TRUE(out.heartbeat);
  EXPECT_EQ(node.machine->take_unhealthy(), "no /scratch");
  EXPECT_EQ(node.machine->take_unhealthy(), "");
}

}  // namespace
}  // namespace bai::agent
