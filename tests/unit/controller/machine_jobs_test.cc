// Jobs: admission, arrays, dependencies, what their owners and operators do with them.
#include "cluster.h"

namespace bai::controller {
namespace {

using wire::AttemptEnd;
using wire::AttemptPhase;
using wire::JobAction;
using K = DependencyKind;

TEST(MachineSubmit, RefusesWithACodeAPlaceAndARemedy) {
  Cluster c(make_config("MaxArraySize=10\nMaxJobCount=100\nLicenses=matlab:2\n",
                        "NodeName=n[1-2] CPUs=4 RealMemory=1000\n",
                        "PartitionName=main Nodes=ALL Default=YES\nPartitionName=admin Nodes=n1 "
                        "RootOnly=YES\nPartitionName=shut Nodes=n1 State=DRAIN\n"
                        "PartitionName=few Nodes=n1 AllowGroups=wheel\n"));
  using S = wire::Submission;
  struct Case {
    std::string code;
    std::function<void(S&)> change;
  };
  auto deadline = [&](S& s) {
    JobExtras extras;
    extras.deadline = c.now - 10;
    s.spec.set_extras(extras);
  };
  for (const Case& one : std::vector<Case>{
           {"not_permitted", [](S& s) { s.spec.uid = 0; }},
           {"bad_request", [](S& s) { s.spec.request.tasks = 0; }},
           {"bad_request", [](S& s) { s.spec.request.min_nodes = 3, s.spec.request.max_nodes = 2; }},
           {"bad_request",
            [](S& s) { s.spec.request.mem_per_cpu_mib = s.spec.request.mem_per_node_mib = 1; }},
           {"bad_hostlist", [](S& s) { s.spec.request.nodes_wanted = "n[1-"; }},
           {"bad_node", [](S& s) { s.spec.request.nodes_excluded = "n7"; }},
           {"bad_license", [](S& s) { s.spec.request.licenses = "ansys"; }},
           {"bad_license", [](S& s) { s.spec.request.licenses = "matlab:3"; }},
           {"not_permitted", [](S& s) { s.priority = kDefaultPriority + 1; }},
           {"not_permitted", [](S& s) { s.spec.nice = -1; }},
           {"bad_deadline", deadline},
           {"bad_dependency", Cluster::after(K::kAfterOk, 99)},
           {"bad_partition", [](S& s) { s.spec.partition = "nowhere"; }},
           {"partition_refuses", [](S& s) { s.spec.partition = "admin"; }},
           {"partition_refuses", [](S& s) { s.spec.partition = "shut"; }},
           {"partition_refuses", [](S& s) { s.spec.partition = "few"; }},
           {"bad_array", [](S& s) { s.array_tasks.emplace(); }},
           {"bad_array", [](S& s) { s.array_tasks.emplace().insert(10); }}}) {
    auto result = c.try_submit(user(1000), one.change);
    ASSERT_TRUE(result.error) << one.code;
    EXPECT_EQ(result.error->error.code, one.code) << result.error->error.text();
    EXPECT_FALSE(result.error->error.message.empty());
  }
  EXPECT_TRUE(c.state->jobs.empty());
  EXPECT_EQ(c.submit(), 1u) << "refusals use up no ids";
}

TEST(MachineSubmit, RefusesWhatNoNodesCouldRun) {
  Cluster c;
  auto cpus = [](std::uint32_t n) { return [n](wire::Submission& s) { s.spec.request.cpus_per_task = n; }; };
  auto result = c.try_submit(user(1000), cpus(5));
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->error.code, "node_cpus");
  EXPECT_EQ(result.error->error.remedy, "the most that could run: --cpus-per-task=4");
  auto both = c.try_submit(user(1000), [](auto& s) {
    s.spec.request.nodes_wanted = "n[1-2]", s.spec.request.nodes_excluded = "n2";
  });
  EXPECT_EQ(both.error->error.code, "bad_node");
  // Nothing is up yet: what could run but for that, waits.
  JobId id = c.submit(cpus(4));
  EXPECT_EQ(c.reason(id), Reason::kReqNodeNotAvail);
  EXPECT_EQ(c.update_job(id, "cpuspertask", "5"), "node_cpus");
  EXPECT_EQ(c.find(id)->spec->request.cpus_per_task, 4u);
  c.up();
  EXPECT_EQ(c.state_of(id), JobState::kConfiguring);
}

TEST(MachineSubmit, AJobThatBecameImpossibleMayStillBeUpdated) {
  Cluster c;
  JobId id = c.submit([](auto& s) { s.spec.request.cpus_per_task = 4; });
  c.give(Reconfigure{1, root(), Cluster::next_request(),
                     make_config("", "NodeName=n[1-2] CPUs=2 RealMemory=1000\n")});
  EXPECT_EQ(c.reason(id), Reason::kPartitionConfig);
  EXPECT_EQ(c.update_job(id, "comment", "waits for the new node"), "");
  EXPECT_EQ(c.update_job(id, "numtasks", "2"), "node_cpus");
  EXPECT_EQ(c.update_job(id, "cpuspertask", "2"), "");
}

TEST(MachineSubmit, WhereNodesMayJoinNothingIsTooMuch) {
  Cluster c(make_config("DynamicNodes=yes\n"));
  JobId id = c.submit([](auto& s) { s.spec.request.cpus_per_task = 400; });
  EXPECT_EQ(c.reason(id), Reason::kPartitionConfig);
}

TEST(MachineSubmit, ArgumentsAreShownAndBounded) {
  Cluster c;
  JobId id = c.submit([](auto& s) { s.launch.args = {"a", "b c", "d\ne\xff"}; });
  EXPECT_EQ(c.find(id)->spec->extras().arguments, "a b c d\\ne\\xff");
  id = c.submit([](auto& s) { s.launch.args.assign(100, std::string(1000, 'x')); });
  EXPECT_LT(c.find(id)->spec->extras().arguments.view().size(), 1100u);
}

TEST(MachineSubmit, OneRefusalDoesNotStopTheOthers) {
  Cluster c;
  wire::SubmitRequest request;
  for (int i = 0; i < 3; ++i) request.jobs.push_back(Cluster::job(user(1000)));
  request.jobs[1].spec.partition = "nowhere";
  auto reply = std::get<wire::SubmitReply>(c.ask(user(1000), request));
  EXPECT_EQ(reply.results[0].ref.job, 1u);
  EXPECT_TRUE(reply.results[1].error);
  EXPECT_EQ(reply.results[2].ref.job, 2u);
}

TEST(MachineSubmit, ARepeatGetsTheFirstAnswerAndAStrangerNone) {
  Cluster c;
  wire::SubmitRequest submit;
  submit.jobs.push_back(Cluster::job(user(1000)));
  wire::Request request{Cluster::next_request(), false, submit};
  auto first = std::get<wire::SubmitReply>(c.ask(user(1000), request));
  auto again = std::get<wire::SubmitReply>(c.ask(user(1000), request));
  EXPECT_EQ(first.results[0].ref, again.results[0].ref);
  EXPECT_EQ(std::get<wire::ErrorBody>(c.ask(user(1001), request)).error.code, "bad_request_id");
  EXPECT_EQ(c.state->jobs.size(), 1u);
  // After a restart the front finds the answer in the store.
  c.restart();
  c.replies.clear();
  c.give(FromCommand{99, user(1000), request, {}, c.state->requests.at(request.id)});
  EXPECT_EQ(std::get<wire::SubmitReply>(c.replies.at(0).reply.body).results[0].ref, first.results[0].ref);
  EXPECT_EQ(c.state->jobs.size(), 1u);
}

TEST(MachineSubmit, AFullQueueSaysSo) {
  Cluster c(make_config("MaxJobCount=2\n"));
  c.submit();
  c.submit();
  EXPECT_EQ(c.try_submit(user(1000)).error->error.code, "queue_full");
}

TEST(MachineArrays, TasksSplitAndTheLastTakesTheHeadsId) {
  Cluster c;
  c.up();
  JobId id = c.array(1, 3);
  for (std::uint32_t t = 1; t <= 3; ++t) ASSERT_TRUE(c.task(id, t)) << t;
  EXPECT_EQ(c.task(id, 3)->id, id);
  EXPECT_EQ(display_id(*c.task(id, 1)), std::to_string(id) + "_1");
  std::set<JobId> ids{c.task(id, 1)->id, c.task(id, 2)->id, id};
  EXPECT_EQ(ids.size(), 3u);
}

TEST(MachineArrays, ALimitIsKept) {
  Cluster c;
  c.up();
  JobId id = c.array(0, 3, 1);
  EXPECT_EQ(c.launches.size(), 1u);
  c.complete(c.task(id, 0)->id);
  EXPECT_EQ(c.launches.size(), 2u);
  EXPECT_EQ(c.update_job(id, "arraytaskthrottle", "2"), "");
  EXPECT_EQ(c.launches.size(), 3u);
}

TEST(MachineArrays, OneTaskIsCancelledAloneAndWaitersHearOfTheWhole) {
  Cluster c;
  JobId id = c.array(0, 2);
  auto wait = c.ask(user(1000), wire::WaitRequest{id});
  EXPECT_EQ(std::get<wire::ErrorBody>(wait).error.code, "no_answer");
  EXPECT_EQ(c.code(JobAction::kCancel, {id, 1}), "");
  EXPECT_EQ(c.task(id, 1)->state, JobState::kCancelled);
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  EXPECT_EQ(c.code(JobAction::kCancel, {id, 7}), "no_such_job");
  c.replies.clear();
  c.up();
  c.complete(c.task(id, 0)->id);
  EXPECT_TRUE(c.replies.empty());
  c.complete(id, {4, 0});
  ASSERT_EQ(c.replies.size(), 1u);
  EXPECT_EQ(std::get<wire::WaitReply>(c.replies[0].reply.body).exit.code, 4) << "the worst";
}

TEST(MachineHolders, HearOnceThatABatchJobRunsAndThatItIsOver) {
  Cluster c;
  JobId id = c.submit();
  auto hold = c.ask(user(1000), wire::HoldRequest{id, false});
  EXPECT_EQ(std::get<wire::ErrorBody>(hold).error.code, "no_answer");
  auto states = [&] {
    std::vector<JobState> out;
    for (const auto& reply : c.replies)
      if (auto* news = std::get_if<wire::AllocationReply>(&reply.reply.body)) out.push_back(news->job->state);
    c.replies.clear();
    return out;
  };
  c.replies.clear();
  c.up();
  ASSERT_EQ(c.state_of(id), JobState::kConfiguring);  // launched, and not heard of yet
  EXPECT_EQ(states(), std::vector<JobState>());
  c.complete(id);
  EXPECT_EQ(states(), (std::vector{JobState::kRunning, JobState::kCompleted}));
}

TEST(MachineArrays, AreForgottenAsAWholeAndLeaveNothing) {
  Cluster c;
  c.up();
  JobId id = c.array(0, 2);
  for (std::uint32_t t : {0u, 1u, 2u}) c.complete(c.task(id, t)->id);
  c.pass(250);
  EXPECT_EQ(c.state->jobs.size(), 3u);
  c.pass(100);
  EXPECT_EQ(c.state->jobs.size(), 0u);
  EXPECT_TRUE(c.state->launches.empty());
  EXPECT_EQ(c.state->ended.size(), 3u) << "history stays";
  EXPECT_GT(c.submit(), id + 2) << "ids are not used again";
}

// Found by the simulation: the head stood for the tasks that were cancelled, and was dropped with the last task before it.
TEST(MachineArrays, ACancelledHeadIsForgottenByItself) {
  Cluster c;
  c.up();
  JobId id = c.array(0, 3, 1);
  c.complete(c.task(id, 0)->id);
  c.pass(100);
  c.cancel(id);
  c.pass(250);
  c.compare_with_reload();
  c.pass(300);
  EXPECT_EQ(c.state->jobs.size(), 0u);
}

// The one that is predicted to be short passes, though its limit is longer.
TEST(MachineRestart, RunTimesAreStillPredicted) {
  Cluster c(make_config("", "NodeName=n1 CPUs=1 RealMemory=1000\n"));
  c.up();
  auto limit = [](Seconds seconds) {
    return [seconds](wire::Submission& s) { s.spec.time_limit = seconds; };
  };
  for (auto [seconds, run] : {std::pair{1200, 1}, std::pair{600, 500}}) {
    const JobId job = c.submit(limit(seconds));
    c.runs(job);
    c.pass(run);
    c.ends(job);
  }
  const JobId running = c.submit();
  c.runs(running);
  c.restart();
  c.conns.clear();
  c.register_agent("n1", {Cluster::report(c.key(running), AttemptPhase::kRunning)});
  const JobId first = c.submit(limit(600)), second = c.submit(limit(1200));
  c.ends(running);
  EXPECT_EQ(c.state_of(first), JobState::kPending);
  EXPECT_EQ(c.state_of(second), JobState::kConfiguring);
}

TEST(MachineForgets, EndsMakeRoomAsFastAsTheyCome) {
  Cluster c(make_config("MinJobAge=10\n"));
  c.up();
  std::vector<JobId> early;
  for (int i = 0; i < 3; ++i) c.complete(early.emplace_back(c.submit()));
  JobId late = c.submit();
  c.now = c.now + 11;  // within one tick
  c.complete(late);
  EXPECT_FALSE(c.find(early[0]) || c.find(early[1]));
  EXPECT_TRUE(c.find(early[2]) && c.find(late)) << "two for each";
  c.pass(1);
  EXPECT_FALSE(c.find(early[2]));
  EXPECT_TRUE(c.find(late));
}

TEST(MachineForgets, WhatIsNeededStaysAndKeepsNobodyElse) {
  Cluster c(make_config("MinJobAge=10\n"));
  c.up();
  JobId held = c.submit([](auto& s) { s.hold = true; });
  JobId needed = c.submit();
  JobId waits = c.submit([&](wire::Submission& s) {
    Cluster::after(DependencyKind::kAfterOk, needed)(s);
    Cluster::after(DependencyKind::kAfterOk, held)(s);
  });
  JobId other = c.submit();
  c.complete(needed);
  c.complete(other);
  c.pass(100);
  EXPECT_FALSE(c.find(other));
  ASSERT_TRUE(c.find(needed));
  c.cancel(held);
  c.cancel(waits);
  c.pass(10 + kAskAgain);
  EXPECT_FALSE(c.find(needed));
}

TEST(MachineForgets, ARequeuedJobStaysForItsLaterEnd) {
  Cluster c(make_config("MinJobAge=10\n"));
  c.up();
  JobId id = c.submit();
  c.complete(id);
  c.pass(5);
  c.code(wire::JobAction::kRequeue, {id, kNoTask}, root());
  c.complete(id);
  c.pass(8);
  EXPECT_TRUE(c.find(id));
  c.pass(4);
  EXPECT_FALSE(c.find(id));
}

struct DependencyCase {
  K kind;
  ExitStatus exit;
  Reason after;  // kNone: it starts
};
class MachineDependencies : public testing::TestWithParam<DependencyCase> {};

TEST_P(MachineDependencies, AreJudgedByTheOutcome) {
  for (bool restart : {false, true}) {
    Cluster c(make_config("", "NodeName=n1 CPUs=1 RealMemory=1000\n"));
    c.up();
    JobId target = c.submit();
    JobId dependent = c.submit(Cluster::after(GetParam().kind, target));
    EXPECT_EQ(c.reason(dependent), Reason::kDependency);
    if (restart) {
      c.restart();
      c.conns.clear();
      c.register_agent("n1", {Cluster::report(c.key(target), AttemptPhase::kClaimed)});
    }
    c.complete(target, GetParam().exit);
    if (GetParam().after == Reason::kNone) {
      EXPECT_EQ(c.state_of(dependent), JobState::kConfiguring);
    } else {
      EXPECT_EQ(c.reason(dependent), GetParam().after);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(
    Kinds, MachineDependencies,
    testing::Values(DependencyCase{K::kAfter, {1, 0}, Reason::kNone},
                    DependencyCase{K::kAfterAny, {1, 0}, Reason::kNone},
                    DependencyCase{K::kAfterOk, {}, Reason::kNone},
                    DependencyCase{K::kAfterOk, {1, 0}, Reason::kDependencyNeverSatisfied},
                    DependencyCase{K::kAfterNotOk, {1, 0}, Reason::kNone},
                    DependencyCase{K::kAfterNotOk, {}, Reason::kDependencyNeverSatisfied}));

TEST(MachineDependency, CorrespondingTasksGoOneByOne) {
  Cluster c;
  c.up();
  JobId first = c.array(0, 1);
  JobId second = c.array(0, 1, 0, Cluster::after(K::kAfterCorr, first));
  EXPECT_FALSE(c.task(second, 0));
  c.complete(c.task(first, 1)->id);
  ASSERT_TRUE(c.task(second, 1));
  EXPECT_EQ(c.task(second, 1)->state, JobState::kConfiguring);
  c.complete(c.task(first, 0)->id, {1, 0});
  ASSERT_TRUE(c.task(second, 0));
  EXPECT_EQ(c.task(second, 0)->reason, Reason::kDependencyNeverSatisfied);
}

TEST(MachineDependency, AnyOfSeveral) {
  Cluster c(make_config("", "NodeName=n1 CPUs=2 RealMemory=1000\n"));
  c.up();
  JobId a = c.submit(), b = c.submit();
  JobId dependent = c.submit([&](auto& s) {
    JobExtras extras;
    extras.dependencies.any = true;
    for (JobId id : {a, b})
      extras.dependencies.list.push_back({K::kAfterOk, id, kNoTask, 0, DependencyState::kWaiting});
    s.spec.set_extras(extras);
  });
  c.complete(a, {1, 0});
  EXPECT_EQ(c.reason(dependent), Reason::kDependency);
  c.complete(b);
  EXPECT_EQ(c.state_of(dependent), JobState::kConfiguring);
}

TEST(MachineDependency, OnAJobThatIsNotThereHoldsWhereItWasAskedForSo) {
  Cluster c;
  for (K kind : {K::kAfter, K::kAfterAny, K::kAfterOk, K::kAfterNotOk, K::kAfterCorr}) {
    EXPECT_EQ(c.try_submit(user(1000), Cluster::after(kind, 99)).error->error.code, "bad_dependency");
    JobId id = c.submit([&](auto& s) {
      Cluster::after(kind, 99)(s);
      s.lost_dependencies_hold = true;
    });
    EXPECT_NE(c.reason(id), Reason::kDependency);
    EXPECT_TRUE(c.met[id]);
  }
}

TEST(MachineDependency, AClientCannotSayThatItHolds) {
  Cluster c;
  JobId first = c.submit([](auto& s) { s.hold = true; });
  JobId id = c.submit([&](auto& s) {
    JobExtras extras;
    extras.dependencies.list.push_back({K::kAfterOk, first, kNoTask, 0, DependencyState::kSatisfied});
    s.spec.set_extras(std::move(extras));
  });
  EXPECT_EQ(c.reason(id), Reason::kDependency);
}

TEST(MachineDependency, OneThatCanNeverHoldEndsTheJobWhereTheSiteWantsIt) {
  for (bool kill : {false, true}) {
    Cluster c(make_config(kill ? "SchedulerParameters=kill_invalid_depend\n" : ""));
    c.up();
    JobId first = c.submit();
    JobId waiting = c.submit(Cluster::after(K::kAfterNotOk, first));
    c.complete(first);
    JobId late = c.submit(Cluster::after(K::kAfterNotOk, first));
    for (JobId id : {waiting, late}) {
      EXPECT_EQ(c.reason(id), Reason::kDependencyNeverSatisfied);
      EXPECT_EQ(c.state_of(id), kill ? JobState::kCancelled : JobState::kPending);
    }
  }
}

TEST(MachineDependency, SingletonsGoOneAfterTheOther) {
  Cluster c;
  c.up();
  auto single = Cluster::after(K::kSingleton, 0);
  JobId a = c.submit(single), b = c.submit(single);
  JobId other = c.submit([&](auto& s) { single(s), s.spec.name = "other"; });
  EXPECT_EQ(c.state_of(a), JobState::kConfiguring);
  EXPECT_EQ(c.reason(b), Reason::kDependency);
  EXPECT_EQ(c.state_of(other), JobState::kConfiguring);
  c.complete(a);
  EXPECT_EQ(c.state_of(b), JobState::kConfiguring);
}

TEST(MachineDependency, ADelayCountsFromTheStartAlsoAfterARestart) {
  Cluster c;
  c.up();
  JobId target = c.submit();
  c.runs(target);
  JobId dependent = c.submit(Cluster::after(K::kAfter, target, kNoTask, 1));
  c.pass(30);
  EXPECT_EQ(c.reason(dependent), Reason::kDependency);
  c.restart();
  c.conns.clear();
  c.register_agent("n1", {Cluster::report(c.key(target), AttemptPhase::kRunning)});
  c.register_agent("n2");
  c.pass(40);
  EXPECT_EQ(c.state_of(dependent), JobState::kConfiguring);
}

TEST(MachineDependency, ADelayThatWentByWhileTheControllerWasAwayIsOver) {
  Cluster c;
  c.up();
  JobId target = c.submit();
  c.runs(target);
  JobId dependent = c.submit(Cluster::after(K::kAfter, target, kNoTask, 1));
  c.act(JobAction::kHold, {dependent, kNoTask});
  c.now = c.now + 100;
  c.restart();
  c.give(Tick{});
  c.now = c.now - 90;  // the wall clock is set back: what was over stays over
  c.act(JobAction::kRelease, {dependent, kNoTask});
  EXPECT_NE(c.reason(dependent), Reason::kDependency);
  c.conns.clear();
  c.register_agent("n2");
  EXPECT_EQ(c.state_of(dependent), JobState::kConfiguring);
}

TEST(MachineDependency, ADelayIsWatchedAfterARestart) {
  Cluster c;
  c.up();
  JobId target = c.submit();
  c.runs(target);
  JobId dependent = c.submit(Cluster::after(K::kAfter, target, kNoTask, 1));
  c.act(JobAction::kHold, {dependent, kNoTask});
  c.now = c.now + 100;
  c.restart();
  c.now = c.now - 90;  // before anything was recorded
  c.act(JobAction::kRelease, {dependent, kNoTask});
  EXPECT_EQ(c.reason(dependent), Reason::kDependency);
  c.conns.clear();
  c.register_agent("n2");
  c.pass(60);
  EXPECT_EQ(c.state_of(dependent), JobState::kConfiguring);
}

TEST(MachineDependency, ACancelledAndRequeuedJobWaitsAgain) {
  Cluster c;
  c.up();
  JobId target = c.submit(), dependent = c.submit(Cluster::after(K::kAfterOk, target));
  c.cancel(dependent);
  EXPECT_EQ(c.code(JobAction::kRequeue, {dependent, kNoTask}), "");
  EXPECT_EQ(c.state_of(dependent), JobState::kPending);
  c.complete(target);
  EXPECT_EQ(c.state_of(dependent), JobState::kConfiguring);
}

TEST(MachineActions, OnlyTheOwnerAndOperators) {
  Cluster c;
  JobId id = c.submit();
  for (auto action : {JobAction::kCancel, JobAction::kHold, JobAction::kRelease, JobAction::kRequeue})
    EXPECT_EQ(c.code(action, {id, kNoTask}, user(1001)), "not_permitted");
  EXPECT_EQ(c.code(JobAction::kHold, {id, kNoTask}, root()), "");
  EXPECT_EQ(c.find(id)->hold, Hold::kAdmin);
  EXPECT_EQ(c.code(JobAction::kRelease, {id, kNoTask}), "not_permitted")
      << "an operator's hold is not the owner's to lift";
  c.up();
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  EXPECT_EQ(c.code(JobAction::kRelease, {id, kNoTask}, root()), "");
  EXPECT_EQ(c.state_of(id), JobState::kConfiguring);
  EXPECT_EQ(c.code(JobAction::kHold, {id, kNoTask}), "not_pending");
  EXPECT_EQ(c.code(JobAction::kCancel, {77, kNoTask}), "no_such_job");
}

TEST(MachineActions, CancelInEachState) {
  Cluster c;
  JobId pending = c.submit();
  EXPECT_EQ(c.cancel(pending), "");
  EXPECT_EQ(c.state_of(pending), JobState::kCancelled);
  EXPECT_EQ(c.cancel(pending), "already_finished");
  c.up();
  for (bool running : {false, true}) {
    JobId id = c.submit();
    if (running) c.runs(id);
    c.signals.clear();
    EXPECT_EQ(c.cancel(id), "");
    EXPECT_EQ(c.state_of(id), JobState::kCompleting);
    EXPECT_EQ(c.signals.size(), 1u);
    EXPECT_EQ(c.cancel(id), "") << "again";
    c.ends(id, {}, AttemptEnd::kExited);  // it was faster
    EXPECT_EQ(c.state_of(id), JobState::kCancelled);
  }
}

TEST(MachineActions, ASignalEndsNothing) {
  Cluster c;
  JobId id = c.submit();
  auto usr1 = [](wire::ActionRequest& r) { r.signal = 10; };
  EXPECT_EQ(c.code(JobAction::kCancel, {id, kNoTask}, user(1000), usr1), "not_running");
  c.up();
  c.runs(id);
  EXPECT_EQ(c.code(JobAction::kCancel, {id, kNoTask}, user(1000), usr1), "");
  ASSERT_EQ(c.signals.size(), 1u);
  EXPECT_EQ(c.signals[0].signal, 10);
  EXPECT_EQ(c.state_of(id), JobState::kRunning);
}

TEST(MachineActions, Requeue) {
  Cluster c;
  c.up();
  JobId id = c.submit([](auto& s) { s.spec.requeue = Requeue::kYes; });
  JobId never = c.submit([](auto& s) { s.spec.requeue = Requeue::kNo; });
  EXPECT_EQ(c.code(JobAction::kRequeue, {never, kNoTask}), "not_requeueable");
  c.runs(id);
  EXPECT_EQ(c.code(JobAction::kRequeueHold, {id, kNoTask}), "");
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.ends(id, {0, 15}, AttemptEnd::kCancelled);
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  EXPECT_EQ(c.find(id)->hold, Hold::kUser);
  EXPECT_EQ(c.code(JobAction::kRelease, {id, kNoTask}), "");
  EXPECT_EQ(c.find(id)->attempt, 2u);
  EXPECT_TRUE((c.state->ended.contains({id, 1})));
  c.complete(id);
  EXPECT_EQ(c.code(JobAction::kRequeue, {id, kNoTask}), "");
  EXPECT_EQ(c.find(id)->attempt, 3u);
}

TEST(MachineActions, AccountingTellsWhoSentAnAttemptBack) {
  Cluster c;
  c.up();
  auto ended = [&](JobId id, Attempt attempt) { return c.state->ended.at({id, attempt})->state; };
  for (const Caller& who : {user(1000), root()}) {  // root's uid is 0, which is also nobody's
    JobId id = c.submit();
    EXPECT_EQ(c.code(JobAction::kRequeue, {id, kNoTask}, who), "");
    c.ends(id, {0, 15}, AttemptEnd::kCancelled);
    EXPECT_EQ(ended(id, 1), JobState::kRequeued);
    EXPECT_EQ(c.find(id)->attempt, 2u);
    c.ends(id, {}, AttemptEnd::kNodeRebooted);
    EXPECT_EQ(ended(id, 2), JobState::kNodeFail);
    EXPECT_EQ(c.update_node(c.node_of(id), {{"state", "down"}, {"reason", "disk"}}), "");
    c.ends(id, {0, 15}, AttemptEnd::kCancelled);
    EXPECT_EQ(ended(id, 3), JobState::kNodeFail);
    c.update_node("n1", {{"state", "resume"}});
    c.complete(id);
    EXPECT_EQ(c.state_of(id), JobState::kCompleted);
    EXPECT_EQ(c.reason(id), Reason::kNone);
  }
  JobId never = c.submit([](auto& s) { s.spec.requeue = Requeue::kNo; });
  c.runs(never);
  EXPECT_EQ(c.update_node(c.node_of(never), {{"state", "down"}, {"reason", "disk"}}), "");
  c.ends(never, {0, 15}, AttemptEnd::kCancelled);
  EXPECT_EQ(c.state_of(never), JobState::kNodeFail);
}

TEST(MachineActions, ACancelledJobKeepsWhyItWaited) {
  Cluster c;
  JobId id = c.submit([](auto& s) { s.hold = true; });
  EXPECT_EQ(c.cancel(id), "");
  EXPECT_EQ(c.reason(id), Reason::kJobHeldUser);
  c.restart();
  EXPECT_EQ(c.reason(id), Reason::kJobHeldUser);
}

TEST(MachineActions, NodesOfOneUserAreNobodyElses) {
  Cluster c(make_config(
      "", "NodeName=n1 CPUs=4 RealMemory=1000\n",
      "PartitionName=main Nodes=ALL Default=YES\nPartitionName=own Nodes=ALL ExclusiveUser=YES\n"));
  c.up();
  auto own = [](auto& s) { s.spec.partition = "own"; };
  JobId first = c.submit(own, user(1000));
  JobId second = c.submit(own, user(1000));
  JobId other = c.submit(own, user(1001));
  JobId plain = c.submit({}, user(1001));
  EXPECT_EQ(c.state_of(first), JobState::kConfiguring);
  EXPECT_EQ(c.state_of(second), JobState::kConfiguring);
  EXPECT_EQ(c.state_of(other), JobState::kPending);
  EXPECT_EQ(c.state_of(plain), JobState::kPending);
  c.complete(first);
  EXPECT_EQ(c.state_of(other), JobState::kPending);
  c.complete(second);
  EXPECT_EQ(c.state_of(other), JobState::kConfiguring);
}

TEST(MachineActions, TooManyRequeuesByTheSystemHold) {
  Cluster c(make_config("MaxJobRequeue=2\n"));
  c.up();
  JobId id = c.submit();
  for (int i = 0; i < 3; ++i) c.ends(id, {}, AttemptEnd::kNeverStarted);
  EXPECT_EQ(c.reason(id), Reason::kJobHoldMaxRequeue);
  JobId other = c.submit();  // what root asks for is not the system's doing
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(c.code(JobAction::kRequeue, {other, kNoTask}, root()), "");
    c.ends(other, {}, AttemptEnd::kCancelled);
  }
  EXPECT_EQ(c.state_of(other), JobState::kConfiguring);
}

TEST(MachineDeadlines, EndWaitingJobs) {
  Cluster c;
  JobId id = c.submit([&](auto& s) {
    JobExtras extras;
    extras.deadline = c.now + 30;
    s.spec.set_extras(extras);
  });
  c.pass(20);
  c.restart();
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  c.pass(20);
  EXPECT_EQ(c.state_of(id), JobState::kDeadline);
}

TEST(MachineUpdate, OfAJobIsAllOrNothingAndDurable) {
  Cluster c;
  JobId id = c.submit();
  EXPECT_EQ(c.update(wire::UpdateKind::kJob, {id, kNoTask}, "", {{"jobname", "new"}, {"numtasks", "none"}}),
            "bad_value");
  EXPECT_EQ(c.find(id)->spec->name, "job");
  EXPECT_EQ(c.update_job(id, "nothing", "1"), "bad_key");
  EXPECT_EQ(c.update_job(id, "jobname", "new"), "");
  EXPECT_EQ(c.update_job(id, "priority", "2000000", user(1000)), "not_permitted");
  EXPECT_EQ(c.update_job(id, "jobname", "x", user(1001)), "not_permitted");
  c.restart();
  EXPECT_EQ(c.find(id)->spec->name, "new");
}

TEST(MachineUpdate, OfNodesAndPartitions) {
  Cluster c;
  c.up();
  EXPECT_EQ(c.update_node("n1", {{"state", "drain"}}), "no_reason");
  EXPECT_EQ(c.update_node("n1", {{"state", "drain"}, {"reason", "disk"}}, user(1000)), "not_permitted");
  EXPECT_EQ(c.update_node("n7", {{"state", "resume"}}), "no_such_node");
  EXPECT_EQ(c.update_node("n1", {{"state", "drain"}, {"reason", "disk"}}), "");
  JobId id = c.submit([](auto& s) { s.spec.request.nodes_wanted = "n1"; });
  EXPECT_EQ(c.state_of(id), JobState::kPending);
  c.restart();
  c.conns.clear();
  c.up();
  EXPECT_EQ(c.state_of(id), JobState::kPending) << "drained still";
  EXPECT_EQ(c.update_node("n1", {{"state", "resume"}}), "");
  EXPECT_EQ(c.state_of(id), JobState::kConfiguring);
  EXPECT_EQ(c.update(wire::UpdateKind::kPartition, {}, "main", {{"state", "drain"}}), "");
  EXPECT_EQ(c.try_submit(user(1000)).error->error.code, "partition_refuses");
  c.restart();
  EXPECT_EQ(c.try_submit(user(1000)).error->error.code, "partition_refuses") << "an override is durable";
  EXPECT_EQ(c.update(wire::UpdateKind::kPartition, {}, "main", {{"state", "sideways"}}), "bad_value");
}

TEST(MachineReconfigure, IsAllOrNothing) {
  Cluster c;
  c.up();
  JobId id = c.submit([](auto& s) { s.spec.request.nodes_wanted = "n2"; });
  auto smaller = make_config("", "NodeName=n1 CPUs=4 RealMemory=1000\n");
  auto answer = [&](const Caller& caller) {
    c.replies.clear();
    c.give(Reconfigure{5, caller, Cluster::next_request(), smaller});
    auto* error = std::get_if<wire::ErrorBody>(&c.replies.at(0).reply.body);
    return error ? error->error.code : "";
  };
  EXPECT_EQ(answer(user(1000)), "not_permitted");
  EXPECT_EQ(answer(root()), "node_busy");
  EXPECT_EQ(c.state_of(id), JobState::kConfiguring);
  c.complete(id);
  EXPECT_EQ(answer(root()), "");
  EXPECT_EQ(c.try_submit(user(1000), [](auto& s) { s.spec.request.nodes_wanted = "n2"; }).error->error.code,
            "bad_node");
}

}  // namespace
}  // namespace bai::controller
