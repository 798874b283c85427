// Suspending and resuming, the notice before a job leaves its nodes, and steps whose launch a controller did not live to send.
#include "cluster.h"

namespace bai::controller {
namespace {

constexpr auto kSuspend = wire::JobAction::kSuspend;
constexpr auto kResume = wire::JobAction::kResume;

JobId running(Cluster& c, const std::function<void(wire::Submission&)>& change = {}) {
  const JobId id = c.submit(change);
  c.runs(id);
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  c.suspends.clear();
  c.signals.clear();
  return id;
}

void done(Cluster& c, JobId id, std::uint64_t generation) {
  auto report = Cluster::report(c.key(id), wire::AttemptPhase::kRunning);
  report.suspend_generation = generation;
  c.tell(c.node_of(id), report);
}

std::shared_ptr<const ClusterConfig> graceful(const std::string& extra = "") {
  return make_config(extra, "NodeName=n[1-2] CPUs=4 RealMemory=1000\n",
                     "PartitionName=main Nodes=ALL Default=YES GraceTime=30\n");
}

std::function<void(wire::Submission&)> with_signal(bool batch_only) {
  return [=](wire::Submission& s) {
    JobExtras extras = s.spec.extras();
    extras.signal = {10, batch_only, 60};
    s.spec.set_extras(std::move(extras));
  };
}

wire::StepRequest step_request(JobId job) {
  wire::StepRequest request;
  request.job = job;
  request.spec.tasks = 1;
  request.launch.args = {"hostname"};
  return request;
}

TEST(MachineSuspend, OnlyRunningJobsAndOnlyByOperators) {
  Cluster c;
  c.up();
  const JobId waits = c.submit([](wire::Submission& s) { s.hold = true; });
  EXPECT_EQ(c.code(kSuspend, {waits, kNoTask}, root()), "not_running");
  const JobId id = c.submit();
  EXPECT_EQ(c.code(kSuspend, {id, kNoTask}, root()), "in_transition");
  c.runs(id);
  EXPECT_EQ(c.code(kSuspend, {id, kNoTask}, user(1000)), "not_permitted");
  EXPECT_EQ(c.code(kResume, {id, kNoTask}, root()), "not_suspended");
  EXPECT_EQ(c.code(kSuspend, {id, kNoTask}, root()), "");
  EXPECT_EQ(c.state_of(id), JobState::kSuspended);
  EXPECT_EQ(c.code(kSuspend, {id, kNoTask}, root()), "not_running");
  EXPECT_EQ(c.code(kResume, {id, kNoTask}, user(1000)), "not_permitted");
  EXPECT_EQ(c.code(kResume, {id, kNoTask}, root()), "");
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  c.ends(id);
  EXPECT_EQ(c.code(kSuspend, {id, kNoTask}, root()), "already_finished");
  EXPECT_EQ(c.code(kSuspend, {999, kNoTask}, root()), "no_such_job");
  // A task that waits stays in its array.
  const JobId array = c.array(0, 3, 0, [](wire::Submission& s) { s.hold = true; });
  EXPECT_EQ(c.code(kSuspend, {array, 2}, root()), "not_running");
  EXPECT_EQ(c.task(array, 2), nullptr);
}

TEST(MachineSuspend, IsSaidUntilItIsDoneAlsoByALaterController) {
  Cluster c;
  c.up();
  const JobId id = running(c);
  c.act(kSuspend, {id, kNoTask}, root());
  ASSERT_EQ(c.suspends.size(), 1u);
  EXPECT_EQ(c.suspends[0].key, c.key(id));
  EXPECT_TRUE(c.suspends[0].suspended);
  const auto generation = c.suspends[0].generation;
  c.pass(11);
  EXPECT_EQ(c.suspends.size(), 3u);
  c.restart();
  EXPECT_EQ(c.state_of(id), JobState::kSuspended);
  c.suspends.clear();
  c.register_agent("n1", {Cluster::report(c.key(id), wire::AttemptPhase::kRunning)});
  c.register_agent("n2");
  ASSERT_GE(c.suspends.size(), 1u);
  EXPECT_EQ(c.suspends[0].generation, generation);
  done(c, id, generation);
  c.suspends.clear();
  c.pass(30);
  EXPECT_TRUE(c.suspends.empty());
  c.act(kResume, {id, kNoTask}, root());
  ASSERT_EQ(c.suspends.size(), 1u);
  EXPECT_FALSE(c.suspends[0].suspended);
  EXPECT_GT(c.suspends[0].generation, generation);
  done(c, id, generation);  // of the one before
  c.pass(6);
  EXPECT_EQ(c.suspends.size(), 2u);
  done(c, id, c.suspends[0].generation);
  c.pass(30);
  EXPECT_EQ(c.suspends.size(), 2u);
}

TEST(MachineSuspend, ItsTimeIsCountedAndItKeepsWhatItHolds) {
  Cluster c;
  c.up();
  const JobId id = running(c, [](wire::Submission& s) { s.spec.request.cpus_per_task = 4; });
  c.pass(10);
  c.act(kSuspend, {id, kNoTask}, root());
  c.pass(100);
  EXPECT_EQ(run_time(*c.find(id), c.now), 10);
  EXPECT_EQ(suspended_us(*c.find(id), c.now), 100'000'000);
  EXPECT_EQ(c.node(c.node_of(id)).cpus_used, 4u);
  c.act(kResume, {id, kNoTask}, root());
  c.pass(5);
  c.act(kSuspend, {id, kNoTask}, root());
  c.pass(20);
  EXPECT_EQ(run_time(*c.find(id), c.now), 15);
  c.ends(id);
  EXPECT_EQ(c.state_of(id), JobState::kCompleted);
  EXPECT_EQ(suspended_us(*c.find(id), c.now), 120'000'000);
  EXPECT_EQ(run_time(*c.find(id), c.now), 15);
  const auto ended = c.state->ended.at({id, 1});
  EXPECT_EQ(ended->interruptions->suspended_us, 120'000'000);
}

TEST(MachineSuspend, ARequeuedOneIsHeldAndBeginsAnew) {
  Cluster c;
  c.up();
  const JobId id = running(c);
  c.act(kSuspend, {id, kNoTask}, root());
  c.pass(7);
  c.act(wire::JobAction::kRequeue, {id, kNoTask}, root());
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.ends(id, {0, 15}, wire::AttemptEnd::kCancelled);
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  EXPECT_EQ(c.reason(id), Reason::kJobHeldAdmin);
  EXPECT_EQ(c.find(id)->interruptions, nullptr);
  EXPECT_EQ(c.state->ended.at({id, 1})->interruptions->suspended_us, 7'000'000);
  c.act(wire::JobAction::kRelease, {id, kNoTask}, root());
  c.runs(id);
  EXPECT_EQ(c.find(id)->restarts, 1);
}

TEST(MachineSuspend, ALostNodeEndsIt) {
  Cluster c;
  c.up();
  const JobId id = running(c, [](wire::Submission& s) { s.spec.requeue = Requeue::kNo; });
  c.act(kSuspend, {id, kNoTask}, root());
  c.pass(3);
  c.update_node(c.node_of(id), {{"state", "down"}, {"reason", "test"}});
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  EXPECT_EQ(suspended_us(*c.find(id), c.now), 3'000'000);
}

TEST(MachineSuspend, StepsStandStillAndNewOnesWait) {
  Cluster c;
  c.up();
  const JobId id = running(c, [](wire::Submission& s) { s.spec.request.tasks = 2; });
  auto body = c.ask(user(1000), step_request(id));
  ASSERT_TRUE(std::get_if<wire::StepReply>(&body));
  c.tell(c.node_of(id), Cluster::report({id, 1, 0}, wire::AttemptPhase::kRunning));
  c.pass(1);
  c.act(kSuspend, {id, kNoTask}, root());
  EXPECT_EQ(c.suspends.size(), 2u);  // the script's shepherd and the step's
  auto request = step_request(id);
  request.spec.overlap = true;
  c.launches.clear();
  body = c.ask(user(1000), request);
  EXPECT_FALSE(std::get_if<wire::StepReply>(&body));
  c.pass(9);
  EXPECT_TRUE(c.launches.empty());
  wire::ActionRequest resume;
  resume.action = kResume;
  resume.filter.jobs.push_back({id, kNoTask});
  c.give(FromCommand{++c.last_conn, root(), {Cluster::next_request(), false, resume}, {}, std::nullopt});
  ASSERT_EQ(c.launches.size(), 1u);
  EXPECT_EQ(c.launches[0].key.step, 1u);
  EXPECT_EQ(c.state->steps.at({id, 1, 0})->suspended_us, 9'000'000);
  // The new one was never told to stand still, and need not be told to go on.
  c.suspends.clear();
  c.pass(6);
  EXPECT_EQ(c.suspends.size(), 2u);
  request.immediate = true;
  c.act(kSuspend, {id, kNoTask}, root());
  body = c.ask(user(1000), request);
  ASSERT_TRUE(std::get_if<wire::ErrorBody>(&body));
}

TEST(MachineGrace, ARequeuedJobRunsOnUntilItIsOver) {
  Cluster c(graceful());
  c.up();
  const JobId id = running(c, with_signal(true));
  EXPECT_EQ(c.code(wire::JobAction::kRequeue, {id, kNoTask}), "");
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  ASSERT_EQ(c.signals.size(), 1u);
  EXPECT_EQ(c.signals[0].signal, 0);
  EXPECT_EQ(c.signals[0].grace_s, 30u);
  EXPECT_EQ(c.signals[0].notice, wire::Notice::kOwnSignalOrTerm);
  // Once is enough; it is as good as ending.
  EXPECT_EQ(c.code(wire::JobAction::kRequeue, {id, kNoTask}), "");
  EXPECT_EQ(c.signals.size(), 1u);
  EXPECT_EQ(c.code(kSuspend, {id, kNoTask}, root()), "already_finished");
  // A step of it may write the checkpoint. It is no script, so B: is not for it.
  auto body = c.ask(user(1000), step_request(id));
  EXPECT_TRUE(std::get_if<wire::StepReply>(&body));
  c.pass(10);
  c.restart();
  c.signals.clear();
  c.register_agent(c.node_of(id), {Cluster::report(c.key(id), wire::AttemptPhase::kRunning),
                                   Cluster::report({id, 1, 0}, wire::AttemptPhase::kRunning)});
  c.pass(1);
  ASSERT_GE(c.signals.size(), 1u);
  EXPECT_LE(c.signals[0].grace_s, 20u);
  EXPECT_GE(c.signals[0].grace_s, 19u);
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  c.signals.clear();
  c.pass(20);
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  bool script = false, step = false;
  for (const auto& signal : c.signals) {
    if (signal.grace_s != 0 || signal.signal != 0) continue;
    script = script || signal.key == c.key(id);
    step = step || signal.key.step == 0;
  }
  EXPECT_TRUE(script && step);
  c.tell(c.node_of(id),
         Cluster::report({id, 1, 0}, wire::AttemptPhase::kEnded, wire::AttemptEnd::kCancelled));
  c.ends(id, {0, 15}, wire::AttemptEnd::kCancelled);
  EXPECT_EQ(c.find(id)->restarts, 1);
  EXPECT_EQ(c.state->ended.at({id, 1})->state, JobState::kRequeued);
}

TEST(MachineGrace, AScriptsOwnWarningIsNotForItsSteps) {
  Cluster c(graceful());
  c.up();
  for (const bool batch_only : {true, false}) {
    const JobId id = running(c, with_signal(batch_only));
    c.ask(user(1000), step_request(id));
    c.signals.clear();
    c.code(wire::JobAction::kRequeue, {id, kNoTask});
    ASSERT_EQ(c.signals.size(), 2u);
    for (const auto& signal : c.signals) {
      const bool script = signal.key.step == kBatchStep;
      EXPECT_EQ(signal.notice,
                !script && batch_only ? wire::Notice::kOwnSignal : wire::Notice::kOwnSignalOrTerm);
      EXPECT_EQ(signal.grace_s, 30u);
    }
    c.signals.clear();
    // A cancel waits for no grace.
    EXPECT_EQ(c.cancel(id), "");
    EXPECT_EQ(c.state_of(id), JobState::kCompleting);
    ASSERT_EQ(c.signals.size(), 2u);
    for (const auto& signal : c.signals) EXPECT_EQ(signal.grace_s, 0u);
    c.tell(c.node_of(id),
           Cluster::report({id, 1, 0}, wire::AttemptPhase::kEnded, wire::AttemptEnd::kCancelled));
    c.ends(id, {0, 15}, wire::AttemptEnd::kCancelled);
    EXPECT_EQ(c.state_of(id), JobState::kCancelled);
  }
}

TEST(MachineGrace, AJobThatEndsInItIsRequeued) {
  Cluster c(graceful());
  c.up();
  const JobId id = running(c);
  c.code(wire::JobAction::kRequeueHold, {id, kNoTask});
  c.pass(2);
  c.ends(id);
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  EXPECT_EQ(c.reason(id), Reason::kJobHeldUser);
  c.pass(60);
  EXPECT_EQ(c.state_of(id), JobState::kPending);
}

TEST(MachineGrace, WithoutAGraceItsOwnSignalComesWhereTheSiteSaysSo) {
  for (const bool site : {false, true}) {
    Cluster c(make_config(site ? "PreemptParameters=send_user_signal\n" : ""));
    c.up();
    const JobId id = running(c, with_signal(false));
    c.code(wire::JobAction::kRequeue, {id, kNoTask});
    EXPECT_EQ(c.state_of(id), JobState::kCompleting);
    ASSERT_EQ(c.signals.size(), 1u);
    EXPECT_EQ(c.signals[0].grace_s, 0u);
    EXPECT_EQ(c.signals[0].notice, site ? wire::Notice::kOwnSignal : wire::Notice::kNone);
    c.ends(id, {0, 15}, wire::AttemptEnd::kCancelled);
  }
}

TEST(MachineRequeue, AnAllocationCannotBeginAnew) {
  Cluster c;
  c.up();
  const JobId id = c.submit([](wire::Submission& s) {
    JobExtras extras = s.spec.extras();
    extras.no_batch = true;
    s.spec.set_extras(std::move(extras));
  });
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
  EXPECT_EQ(c.code(wire::JobAction::kRequeue, {id, kNoTask}, root()), "not_batch");
}

// The step's answer was given, its launch was not: what a controller knows of it after a restart.
TEST(MachineSteps, AClientsRepeatBringsTheLaunchThatWasNotSent) {
  Cluster c;
  c.up();
  const JobId id = running(c);
  wire::Request request{Cluster::next_request(), false, step_request(id)};
  auto body = c.ask(user(1000), request);
  ASSERT_TRUE(std::get_if<wire::StepReply>(&body));
  c.restart();
  c.register_agent("n1", {Cluster::report(c.key(id), wire::AttemptPhase::kRunning)});
  c.register_agent("n2");
  c.launches.clear();
  c.signals.clear();
  c.pass(20);
  EXPECT_TRUE(c.launches.empty());
  EXPECT_TRUE(c.signals.empty());
  request.repeat = true;
  c.replies.clear();
  store::RequestAnswer earlier = c.state->requests.at(request.id);
  c.give(FromCommand{++c.last_conn, user(1000), request, {}, earlier});
  ASSERT_EQ(c.launches.size(), 1u);
  EXPECT_EQ(c.launches[0].key, (wire::AttemptKey{id, 1, 0}));
  EXPECT_EQ(c.launches[0].request->launch.args, (std::vector<std::string>{"hostname"}));
  c.pass(6);
  EXPECT_EQ(c.launches.size(), 2u);  // until it is acknowledged
  c.tell("n1", Cluster::report({id, 1, 0}, wire::AttemptPhase::kRunning));
  c.pass(100);
  EXPECT_EQ(c.launches.size(), 2u);
  EXPECT_TRUE(c.signals.empty());
}

TEST(MachineSteps, AStepWhoseClientDoesNotAskAgainIsEnded) {
  Cluster c;
  c.up();
  const JobId id = running(c);
  c.ask(user(1000), step_request(id));
  c.restart();
  c.pass(100);  // its agent is away, and may have it
  EXPECT_TRUE(c.signals.empty());
  c.register_agent("n1", {Cluster::report(c.key(id), wire::AttemptPhase::kRunning),
                          Cluster::report({id, 1, 0}, wire::AttemptPhase::kRunning)});
  c.register_agent("n2");
  c.pass(100);
  EXPECT_TRUE(c.signals.empty());
  c.restart();
  c.register_agent("n1", {Cluster::report(c.key(id), wire::AttemptPhase::kRunning)});
  c.pass(50);
  EXPECT_TRUE(c.signals.empty());
  c.pass(20);
  ASSERT_FALSE(c.signals.empty());
  EXPECT_EQ(c.signals[0].key, (wire::AttemptKey{id, 1, 0}));
  EXPECT_TRUE(c.signals[0].now);
}

}  // namespace
}  // namespace bai::controller
