// Prologs and epilogs in the controller's machine: what waits for them, what their failures mean, and what a restart makes of it.
#include "cluster.h"
#include "model/hooks.h"

namespace bai::controller {
namespace {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

constexpr wire::NodeHooks kBoth = wire::kHasProlog | wire::kHasEpilog;

class Hooked : public Cluster {
 public:
  explicit Hooked(const std::string& extra = "", wire::NodeHooks hooks = kBoth)
      : Cluster(make_config(extra)), hooks_(hooks) {
    come();
  }
  void come() {
    for (const char* name : {"n1", "n2"})
      register_agent(name, {}, [this](auto& hello) { hello.hooks = hooks_; });
  }
  AttemptKey hook(JobId id, StepId step) const { return {id, find(id)->attempt, step}; }
  // Of launches that were sent: how often this one.
  long sent(AttemptKey key) const {
    return std::count_if(launches.begin(), launches.end(), [&](const auto& l) { return l.key == key; });
  }
  void hook_ends(const std::string& node, AttemptKey key, std::uint8_t code = 0,
                 const std::string& message = "") {
    auto r = report(key, AttemptPhase::kEnded, AttemptEnd::kExited, {code, 0});
    r.message = message;
    tell(node, r);
  }
  static void on_two(wire::Submission& s) { s.spec.request.min_nodes = 2; }
  static void allocation(wire::Submission& s) {
    JobExtras extras = s.spec.extras();
    extras.no_batch = true;
    s.spec.set_extras(std::move(extras));
  }
  // The controller's programs that were asked for in the last output.
  std::vector<Hook> beside(const Output& out) const {
    std::vector<Hook> kinds;
    for (const auto& one : out.effects.hooks) kinds.push_back(one.hook);
    return kinds;
  }

 private:
  wire::NodeHooks hooks_;
};

TEST(MachineHooks, WithoutAnyAnEndIsAnEnd) {
  Hooked c("", 0);
  const JobId id = c.submit();
  c.complete(id);
  EXPECT_EQ(c.state_of(id), JobState::kCompleted);
}

TEST(MachineHooks, TheEndWaitsForAllEpilogs) {
  Hooked c;
  const JobId id = c.submit(Hooked::on_two);
  c.runs(id);
  c.ends(id, {3, 0});
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  EXPECT_EQ(c.find(id)->exit, (ExitStatus{3, 0}));  // which the epilogs are told
  const auto epilog = c.hook(id, kEpilogStep);
  EXPECT_EQ(c.sent(epilog), 2);
  c.hook_ends("n1", epilog);
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  EXPECT_EQ(c.node("n1").jobs, 1u);
  c.hook_ends("n2", epilog);
  EXPECT_EQ(c.state_of(id), JobState::kFailed);
  EXPECT_EQ(c.node("n1").jobs, 0u);
  EXPECT_EQ(std::count(c.forgotten.begin(), c.forgotten.end(), epilog), 2);
}

TEST(MachineHooks, WhatRanAndLeftNoTraceIsNotStartedAgainForItsEpilog) {
  Hooked c;
  const JobId id = c.submit([](auto& s) { s.spec.requeue = Requeue::kNo; });
  c.runs(id);
  c.ends(id, {}, AttemptEnd::kNeverStarted);
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.hook_ends("n1", c.hook(id, kEpilogStep));
  EXPECT_EQ(c.state_of(id), JobState::kNodeFail);
}

TEST(MachineHooks, AFailedEpilogDrainsItsNodeAndTheJobEndsAsItDid) {
  Hooked c;
  const JobId id = c.submit();
  c.runs(id);
  c.ends(id);
  c.hook_ends(c.node_of(id), c.hook(id, kEpilogStep), 1, "exit status 1: scratch is full");
  EXPECT_EQ(c.state_of(id), JobState::kCompleted);
  EXPECT_TRUE(c.node("n1").drain);
  EXPECT_EQ(c.node("n1").reason.view(), "Epilog error: exit status 1: scratch is full");
}

TEST(MachineHooks, AFailedPrologDrainsItsNodeAndHoldsTheJob) {
  Hooked c;
  const JobId id = c.submit();
  const std::string node = c.node_of(id);
  c.hook_ends(node, c.hook(id, kPrologStep), 3, "exit status 3: no /scratch");
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.ends(id, {1, 0}, AttemptEnd::kPrologFailed);
  c.hook_ends(node, c.hook(id, kEpilogStep));
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  EXPECT_EQ(c.reason(id), Reason::kJobHeldAdmin);
  EXPECT_EQ(c.find(id)->hold, Hold::kAdmin);
  EXPECT_TRUE(c.node(node).drain);
  EXPECT_EQ(c.node(node).reason.view(), "Prolog error: exit status 3: no /scratch");
}

TEST(MachineHooks, TheLaunchsReportIsEnoughToKnowThatThePrologFailed) {
  Hooked c("", wire::kHasProlog);
  const JobId id = c.submit();
  const std::string node = c.node_of(id);
  c.ends(id, {1, 0}, AttemptEnd::kPrologFailed);
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  EXPECT_EQ(c.find(id)->hold, Hold::kAdmin);
  EXPECT_TRUE(c.node(node).drain);
}

TEST(MachineHooks, WhatMayNotBeRequeuedEnds) {
  Hooked c("", wire::kHasProlog);
  const JobId id = c.submit([](auto& s) { s.spec.requeue = Requeue::kNo; });
  c.hook_ends(c.node_of(id), c.hook(id, kPrologStep), 3, "exit status 3");
  c.ends(id, {1, 0}, AttemptEnd::kPrologFailed);
  EXPECT_EQ(c.state_of(id), JobState::kFailed);
  EXPECT_EQ(c.reason(id), Reason::kJobLaunchFailure);
}

TEST(MachineHooks, ARefusedLaunchDrainsNoNode) {
  Hooked c("", wire::kHasProlog);
  const JobId id = c.submit();
  auto refused = c.report(c.hook(id, kPrologStep), AttemptPhase::kEnded, AttemptEnd::kLaunchFailed, {1, 0});
  c.tell("n1", refused);
  EXPECT_FALSE(c.node("n1").drain);
}

TEST(MachineHooks, WithAllocTheLaunchWaitsForThePrologsOfAllNodes) {
  Hooked c("PrologFlags=Alloc\n");
  const JobId id = c.submit(Hooked::on_two);
  const auto prolog = c.hook(id, kPrologStep);
  EXPECT_EQ(c.sent(prolog), 2);
  EXPECT_EQ(c.sent(c.key(id)), 0);
  c.hook_ends("n1", prolog);
  c.hook_ends("n1", prolog);  // said twice
  EXPECT_EQ(c.sent(c.key(id)), 0);
  c.pass(6, false);  // asked again
  EXPECT_EQ(c.sent(prolog), 3);
  c.hook_ends("n2", prolog);
  EXPECT_EQ(c.sent(c.key(id)), 1);
  c.runs(id);
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
}

TEST(MachineHooks, WithAllocAnAllocationBeginsAfterItsPrologs) {
  Hooked c("PrologFlags=Alloc\n");
  const JobId id = c.submit(Hooked::allocation);
  EXPECT_EQ(c.state_of(id), JobState::kConfiguring);
  c.pass(3, false);
  c.hook_ends(c.node_of(id), c.hook(id, kPrologStep));
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  EXPECT_EQ(c.find(id)->started, c.now);  // its time limit begins now
}

TEST(MachineHooks, ACancelAmongThePrologsWaitsForThemAndForTheEpilogs) {
  Hooked c("PrologFlags=Alloc\n");
  const JobId id = c.submit(Hooked::on_two);
  EXPECT_EQ(c.cancel(id), "");
  const auto prolog = c.hook(id, kPrologStep), epilog = c.hook(id, kEpilogStep);
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.hook_ends("n1", prolog);
  EXPECT_EQ(c.sent(epilog), 0);
  c.hook_ends("n2", prolog);
  EXPECT_EQ(c.sent(epilog), 2);
  c.hook_ends("n1", epilog);
  c.hook_ends("n2", epilog);
  EXPECT_EQ(c.state_of(id), JobState::kCancelled);
  EXPECT_EQ(c.sent(c.key(id)), 0);
}

TEST(MachineHooks, WhatHasEndedCannotBeCancelledInItsEpilog) {
  Hooked c;
  const JobId id = c.submit();
  c.runs(id);
  c.ends(id);
  EXPECT_EQ(c.cancel(id), "already_finished");
  c.update_node("n1", {{"state", "down"}, {"reason", "r"}});
  c.hook_ends("n1", c.hook(id, kEpilogStep));
  EXPECT_EQ(c.state_of(id), JobState::kCompleted);
}

TEST(MachineHooks, ALostNodesEpilogIsNotWaitedFor) {
  Hooked c("AgentdTimeout=5\nAgentdHeartbeat=2\nAgentdLostTimeout=20\n");
  const JobId id = c.submit(Hooked::on_two);
  c.runs(id);
  c.ends(id);
  const auto epilog = c.hook(id, kEpilogStep);
  c.hook_ends("n1", epilog);
  c.give(Closed{c.conns.at("n2")});
  c.conns.erase("n2");
  for (int i = 0; i < 25; ++i) {
    c.pass(1, false);
    c.give(FromAgent{c.conns.at("n1"), wire::AgentHeartbeat{0, 0, 0, "", {}, kBoth, ""}});
  }
  EXPECT_EQ(c.state_of(id), JobState::kCompleted);
}

TEST(MachineHooks, WhenANodeIsLostTheOthersEpilogsStillRun) {
  Hooked c("AgentdTimeout=5\nAgentdHeartbeat=2\nAgentdLostTimeout=20\n");
  for (const char* lost : {"n2", "n1"}) {  // another than the batch script's, then that
    const std::string well = std::string(lost) == "n1" ? "n2" : "n1";
    const JobId id = c.submit([](auto& s) {
      Hooked::on_two(s);
      s.spec.requeue = Requeue::kNo;
    });
    c.runs(id);
    c.give(Closed{c.conns.at(lost)});
    c.conns.erase(lost);
    for (int i = 0; i < 25; ++i) {
      c.pass(1, false);
      c.give(FromAgent{c.conns.at(well), wire::AgentHeartbeat{0, 0, 0, "", {}, kBoth, ""}});
    }
    EXPECT_EQ(c.state_of(id), JobState::kCompleting) << lost;
    if (well == "n1") c.tell(well, c.report(c.key(id), AttemptPhase::kEnded, AttemptEnd::kCancelled, {0, 9}));
    EXPECT_EQ(c.sent(c.hook(id, kEpilogStep)) > 0, true) << lost;
    c.hook_ends(well, c.hook(id, kEpilogStep));
    EXPECT_EQ(c.state_of(id), JobState::kNodeFail) << lost;
    c.come();
  }
}

TEST(MachineHooks, ARestartAsksForTheEpilogsAgain) {
  Hooked c;
  const JobId id = c.submit(Hooked::on_two);
  c.runs(id);
  c.ends(id, {3, 0});
  const auto epilog = c.hook(id, kEpilogStep);
  c.hook_ends("n1", epilog);
  c.restart();
  c.launches.clear();
  // The first node to come brings the script's end; the other one is waited for.
  auto ended = c.report(c.key(id), AttemptPhase::kEnded, AttemptEnd::kExited, {3, 0});
  auto over = c.report(epilog, AttemptPhase::kEnded);
  c.register_agent("n1", {over, ended}, [](auto& hello) { hello.hooks = kBoth; });
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.tell("n1", over);  // it answers the repeated order
  c.register_agent("n2", {}, [](auto& hello) { hello.hooks = kBoth; });
  c.pass(6, false);
  EXPECT_GT(c.sent(epilog), 0);
  c.hook_ends("n2", epilog);
  EXPECT_EQ(c.state_of(id), JobState::kFailed);
  EXPECT_EQ(c.find(id)->exit, (ExitStatus{3, 0}));
}

TEST(MachineHooks, ARestartAmongThePrologsGoesOnWithThem) {
  Hooked c("PrologFlags=Alloc\n");
  const JobId batch = c.submit(), allocation = c.submit(Hooked::allocation);
  c.restart();
  c.launches.clear();
  c.come();
  c.pass(6, false);
  for (JobId id : {batch, allocation}) {
    EXPECT_GT(c.sent(c.hook(id, kPrologStep)), 0);
    c.hook_ends(c.node_of(id), c.hook(id, kPrologStep));
  }
  EXPECT_EQ(c.sent(c.key(batch)), 1);
  EXPECT_EQ(c.state_of(allocation), JobState::kRunning);
}

TEST(MachineHooks, TheControllersPrologComesFirst) {
  Hooked c("PrologCtld=/p\nPrologFlags=Alloc\n", wire::kHasProlog);
  const JobId id = c.submit();
  EXPECT_EQ(c.state_of(id), JobState::kConfiguring);
  EXPECT_EQ(c.find(id)->detail.view(), kPrologRuns);
  EXPECT_TRUE(c.launches.empty());
  c.restart();  // whether it ended is not known: it runs again
  c.come();
  EXPECT_TRUE(c.launches.empty());
  c.give(HookDone{Hook::kPrologCtld, id, 99, "of another start"});
  c.give(HookDone{Hook::kPrologCtld, id, 1, ""});
  EXPECT_EQ(c.sent(c.hook(id, kPrologStep)), 1);
  EXPECT_EQ(c.find(id)->detail.view(), "");
  c.hook_ends(c.node_of(id), c.hook(id, kPrologStep));
  EXPECT_EQ(c.sent(c.key(id)), 1);
}

TEST(MachineHooks, ItsFailureHoldsTheJobAndEndsAnAllocation) {
  Hooked c("PrologCtld=/p\n", 0);
  const JobId batch = c.submit(), allocation = c.submit(Hooked::allocation);
  for (JobId id : {batch, allocation})
    c.give(HookDone{Hook::kPrologCtld, id, 1, "exit status 1: no licence"});
  EXPECT_EQ(c.state_of(batch), JobState::kPending);
  EXPECT_EQ(c.find(batch)->hold, Hold::kAdmin);
  EXPECT_EQ(c.find(batch)->detail.view(), "the controller's prolog failed: exit status 1: no licence");
  EXPECT_EQ(c.state_of(allocation), JobState::kFailed);
  EXPECT_TRUE(c.launches.empty());
  EXPECT_FALSE(c.node("n1").drain);
}

TEST(MachineHooks, ACancelWaitsForTheControllersProlog) {
  Hooked c("PrologCtld=/p\n", 0);
  const JobId id = c.submit();
  c.cancel(id);
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.give(HookDone{Hook::kPrologCtld, id, 1, ""});
  EXPECT_EQ(c.state_of(id), JobState::kCancelled);
}

TEST(MachineHooks, TheControllersEpilogComesLastAndChangesNothing) {
  Hooked c("EpilogCtld=/p\n", wire::kHasEpilog);
  const JobId id = c.submit();
  c.runs(id);
  c.ends(id);
  c.hook_ends(c.node_of(id), c.hook(id, kEpilogStep));
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.give(HookDone{Hook::kEpilogCtld, id, 1, "exit status 1"});
  EXPECT_EQ(c.state_of(id), JobState::kCompleted);
  Hooked only("EpilogCtld=/p\n", 0);
  const JobId other = only.submit();
  only.runs(other);
  EXPECT_EQ(only.beside(only.ends(other)), std::vector{Hook::kEpilogCtld});
  only.give(HookDone{Hook::kEpilogCtld, other, 1, ""});
  EXPECT_EQ(only.state_of(other), JobState::kCompleted);
}

TEST(MachineHooks, AnUnhealthyNodeIsDrainedOnce) {
  Hooked c;
  auto unhealthy = [&](const std::string& why) {
    c.give(FromAgent{c.conns.at("n1"), wire::AgentHeartbeat{0, 0, 0, "", {}, kBoth, why}});
  };
  unhealthy("no /scratch");
  unhealthy("no /home");
  EXPECT_TRUE(c.node("n1").drain);
  EXPECT_EQ(c.node("n1").reason.view(), "no /scratch");
  c.update_node("n1", {{"state", "resume"}});
  unhealthy("");
  EXPECT_FALSE(c.node("n1").drain);
  c.register_agent("n2", {}, [](auto& hello) { hello.unhealthy = "no disk"; });
  EXPECT_EQ(c.node("n2").reason.view(), "no disk");
}

}  // namespace
}  // namespace bai::controller
