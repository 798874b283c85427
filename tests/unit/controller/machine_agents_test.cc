// Agents: who is taken, what they report, who fell silent.
#include "cluster.h"

namespace bai::controller {
namespace {

using wire::AttemptEnd;
using wire::AttemptPhase;

std::string refusal(const Output& out) {
  for (const auto& order : out.effects.orders)
    if (auto* refused = std::get_if<wire::AgentRefused>(&order.order)) return refused->error.error.code;
  return "";
}

TEST(MachineAgents, WelcomesAndSendsTheConfigurationWhenItDiffers) {
  Cluster c;
  auto same = c.register_agent("n1");
  auto& welcome = std::get<wire::AgentWelcome>(same.effects.orders.at(0).order);
  EXPECT_EQ(welcome.cluster_name, "test");
  EXPECT_TRUE(welcome.config_text.empty());
  auto other = c.register_agent("n2", {}, [](auto& hello) { hello.config_hash = 1; });
  EXPECT_FALSE(std::get<wire::AgentWelcome>(other.effects.orders.at(0).order).config_text.empty());
}

TEST(MachineAgents, RefusesStrangers) {
  Cluster c;
  EXPECT_EQ(refusal(c.register_agent("n9")), "unknown_node");
  EXPECT_EQ(refusal(c.register_agent("n1", {}, [](auto& hello) { hello.seen.cluster.bytes.fill(9); })),
            "other_cluster");
  c.give(FromAgent{77, wire::AgentHeartbeat{}});  // without a word who it is
  EXPECT_EQ(c.closed, std::vector<ConnId>{77});
}

TEST(MachineAgents, TakesUnlistedNodesWithDynamicNodes) {
  Cluster c(make_config("DynamicNodes=yes\n"));
  EXPECT_EQ(refusal(c.register_agent("n9")), "");
  EXPECT_EQ(c.node("n9").declared.cpus, 4u);
}

TEST(MachineAgents, StopsWhenTheDatabaseIsBehindWhatAnAgentHasSeen) {
  Cluster c;
  c.up();
  c.submit();
  auto out = c.register_agent("n1", {}, [&](auto& hello) {
    hello.seen = c.state->lineage;
    hello.seen.lsn += 100;
  });
  EXPECT_EQ(refusal(out), "database_behind");
  c.restart();
  EXPECT_EQ(refusal(c.register_agent("n1", {},
                                     [&](auto& hello) {
                                       hello.seen = c.state->lineage;
                                       hello.seen.epoch++;
                                     })),
            "old_controller");
  EXPECT_NE(c.trouble, "");
  auto body = c.ask(user(1000), wire::SubmitRequest{});
  EXPECT_EQ(std::get<wire::ErrorBody>(body).error.code, "not_admitting");
  c.restart();
  c.conns.clear();
  auto good = c.register_agent("n1", {}, [&](auto& hello) { hello.seen = c.state->lineage; });
  EXPECT_EQ(refusal(good), "");
}

TEST(MachineAgents, ASmallerNodeIsDrainedUnlessItIsInvented) {
  Cluster c;
  c.register_agent("n1", {}, [](auto& hello) { hello.found.cpus = 2; });
  EXPECT_TRUE(c.node("n1").drain);
  EXPECT_NE(c.node("n1").reason.view().find("Low CPUs"), std::string_view::npos);
  c.register_agent("n2", {}, [](auto& hello) {
    hello.found.mem_mib = 10;
    hello.invented = true;
  });
  EXPECT_FALSE(c.node("n2").drain);
  c.restart();
  c.conns.clear();
  c.register_agent("n1");
  EXPECT_TRUE(c.node("n1").drain) << "the decision is durable";
}

TEST(MachineAgents, AnEndIsForgottenOnlyWithItsCommit) {
  Cluster c;
  c.up();
  JobId id = c.submit();
  auto key = c.key(id);
  c.runs(id);
  EXPECT_TRUE(c.forgotten.empty());
  c.ends(id);
  EXPECT_EQ(c.forgotten, std::vector<wire::AttemptKey>{key});
  EXPECT_EQ(c.state_of(id), JobState::kCompleted);
  c.tell("n1", Cluster::report(key, AttemptPhase::kEnded));  // it did not hear
  EXPECT_EQ(c.forgotten.size(), 2u);
}

TEST(MachineAgents, EveryEndHasItsState) {
  struct Case {
    AttemptEnd end;
    ExitStatus exit;
    JobState state;
    Reason reason;
  };
  for (const Case& one :
       {Case{AttemptEnd::kExited, {}, JobState::kCompleted, Reason::kNone},
        Case{AttemptEnd::kExited, {2, 0}, JobState::kFailed, Reason::kNonZeroExitCode},
        Case{AttemptEnd::kSignalled, {0, 11}, JobState::kFailed, Reason::kRaisedSignal},
        Case{AttemptEnd::kTimeout, {0, 15}, JobState::kTimeout, Reason::kTimeLimit},
        Case{AttemptEnd::kDeadline, {0, 15}, JobState::kDeadline, Reason::kDeadline},
        Case{AttemptEnd::kCancelled, {0, 15}, JobState::kCancelled, Reason::kNone},
        Case{AttemptEnd::kLaunchFailed, {1, 0}, JobState::kFailed, Reason::kJobLaunchFailure},
        Case{AttemptEnd::kShepherdLost, {0, 9}, JobState::kFailed, Reason::kSystemFailure}}) {
    Cluster c;
    c.up();
    JobId id = c.submit();
    c.runs(id);
    c.ends(id, one.exit, one.end);
    EXPECT_EQ(c.state_of(id), one.state);
    EXPECT_EQ(c.reason(id), one.reason);
    EXPECT_EQ(c.find(id)->exit, one.exit);
  }
}

TEST(MachineAgents, AReboot) {
  Cluster c;
  c.up();
  JobId again = c.submit([](auto& s) { s.spec.requeue = Requeue::kYes; });
  JobId once = c.submit([](auto& s) { s.spec.requeue = Requeue::kNo; });
  for (JobId id : {again, once}) {
    c.runs(id);
    c.ends(id, {0, 9}, AttemptEnd::kNodeRebooted);
  }
  EXPECT_EQ(c.state_of(once), JobState::kNodeFail);
  EXPECT_EQ(c.state_of(again), JobState::kConfiguring);
  EXPECT_EQ(c.find(again)->attempt, 2u);
  EXPECT_EQ((c.state->ended.at({again, 1})->state), JobState::kNodeFail);
}

TEST(MachineAgents, SilenceIsNotRespondingThenLost) {
  Cluster c;
  c.up();
  JobId id = c.submit([](auto& s) { s.spec.requeue = Requeue::kNo; });
  c.runs(id);
  std::string node = c.node_of(id), other = node == "n1" ? "n2" : "n1";
  for (int i = 0; i < 45; ++i) {
    c.pass(1, false);
    if (i % 10 == 0) c.give(FromAgent{c.conns[other], wire::AgentHeartbeat{}});
  }
  EXPECT_FALSE(c.node(node).responding);
  EXPECT_EQ(c.state_of(id), JobState::kRunning) << "not responding is not lost";
  for (int i = 0; i < 260; ++i) {
    c.pass(1, false);
    if (i % 10 == 0) c.give(FromAgent{c.conns[other], wire::AgentHeartbeat{}});
  }
  EXPECT_EQ(c.state_of(id), JobState::kNodeFail);
  EXPECT_EQ(c.node(node).condition, NodeCondition::kDown);

  // It comes back with the attempt still running: ended before new work comes.
  c.update_node(other, {{"state", "drain"}, {"reason", "test"}});
  c.signals.clear();
  c.register_agent(node, {Cluster::report({id, 1}, AttemptPhase::kRunning)});
  ASSERT_EQ(c.signals.size(), 1u);
  EXPECT_EQ(c.signals[0].key, (wire::AttemptKey{id, 1}));
  EXPECT_TRUE(c.signals[0].now);
  JobId next = c.submit();
  EXPECT_EQ(c.state_of(next), JobState::kPending);
  c.tell(node, Cluster::report({id, 1}, AttemptPhase::kEnded, AttemptEnd::kCancelled));
  EXPECT_EQ(c.state_of(next), JobState::kConfiguring);
}

TEST(MachineAgents, AForgottenJobsAttemptIsEndedAnUnknownOneIsLeft) {
  Cluster c;
  c.up();
  JobId id = c.submit();
  c.complete(id);
  c.pass(400);
  EXPECT_EQ(c.find(id), nullptr);
  c.signals.clear();
  c.register_agent("n1", {Cluster::report({id, 1}, AttemptPhase::kRunning)});
  EXPECT_EQ(c.signals.size(), 1u);
  c.signals.clear();
  c.register_agent("n1", {Cluster::report({id + 100, 1}, AttemptPhase::kRunning)});
  EXPECT_TRUE(c.signals.empty());
}

TEST(MachineAgents, MostSilentAtOnceTripsTheBreaker) {
  Cluster c(make_config("", "NodeName=n[1-4] CPUs=4 RealMemory=1000\n"));
  c.up();
  JobId id = c.submit();
  c.runs(id);
  c.pass(1000, false);
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  for (const char* name : {"n1", "n2", "n3", "n4"}) EXPECT_NE(c.node(name).condition, NodeCondition::kDown);
}

TEST(MachineAgents, AfterAStallEveryNodeHasAFullGrace) {
  Cluster c;
  c.up();
  JobId id = c.submit();
  c.runs(id);
  c.mono_ms += 3'600'000;
  c.give(Tick{});
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  EXPECT_TRUE(c.node(c.node_of(id)).responding);
}

// A registration may be long on its way, and say less than its node knows by now.
TEST(MachineAgents, ALateRegistrationDecidesNothing) {
  Cluster c;
  c.up();
  JobId id = c.submit([](auto& s) { s.spec.requeue = Requeue::kYes; });
  c.runs(id);
  c.signals.clear();
  c.register_agent(c.node_of(id));
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  EXPECT_EQ(c.find(id)->attempt, 1u);
  ASSERT_EQ(c.signals.size(), 1u) << "the node is told to end it";
  c.ends(id, {}, AttemptEnd::kNeverStarted);  // one without a trace
  EXPECT_EQ(c.find(id)->attempt, 2u);
}

TEST(MachineAgents, LaunchesAndTerminationsAreRepeatedUntilAnswered) {
  Cluster c;
  c.up();
  JobId id = c.submit();
  EXPECT_EQ(c.launches.size(), 1u);
  c.pass(6);
  EXPECT_EQ(c.launches.size(), 2u);
  c.runs(id);
  c.pass(20);
  EXPECT_EQ(c.launches.size(), 2u);
  c.cancel(id);
  EXPECT_EQ(c.signals.size(), 1u);
  c.pass(6);
  ASSERT_EQ(c.signals.size(), 2u);
  EXPECT_EQ(c.signals[0].generation, c.signals[1].generation);
  c.restart();
  c.conns.clear();
  c.signals.clear();
  c.register_agent("n1", {Cluster::report({id, 1}, AttemptPhase::kRunning)});
  c.register_agent("n2");
  c.pass(6);
  ASSERT_FALSE(c.signals.empty()) << "a restart goes on with it";
  EXPECT_GT(c.signals[0].generation, 1ull << 40);
  c.ends(id, {0, 15}, AttemptEnd::kCancelled);
  EXPECT_EQ(c.state_of(id), JobState::kCancelled);
}

}  // namespace
}  // namespace bai::controller
