// Steps in the controller's state machine: parts on several nodes, what a restart may make of them, cancels, limits and times.
#include <gtest/gtest.h>

#include "cluster.h"
#include "step/task_launch.h"

namespace bai::controller {
namespace {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

StepClientAddress client() { return {{"127.0.0.1:4000"}, std::string(step::kStreamKeyBytes, 'k')}; }

wire::StepRequest step_request(JobId job, std::uint32_t nodes = 1) {
  wire::StepRequest request;
  request.job = job;
  request.spec.tasks = request.spec.min_nodes = nodes;
  request.launch.args = {"hostname"};
  request.run.client = client();
  return request;
}

// A job on two nodes, n1 first, and its step 0 on both.
class StepOnTwoNodes : public testing::Test {
 protected:
  StepOnTwoNodes() {
    c.up();
    id = c.submit([](wire::Submission& s) { s.spec.request.min_nodes = s.spec.request.max_nodes = 2; });
    c.runs(id);
    request = {Cluster::next_request(), false, step_request(id, 2)};
    auto begun = c.ask(user(1000), request);
    EXPECT_TRUE(std::holds_alternative<wire::StepReply>(begun));
    key = {id, c.find(id)->attempt, 0};
    EXPECT_EQ(step().nodes.size(), 2u);
    both("n1", AttemptPhase::kRunning);
    both("n2", AttemptPhase::kRunning);
  }
  Output both(const std::string& node, AttemptPhase phase, Time ended = {}) {
    auto r = Cluster::report(key, phase);
    r.ended = ended;
    return c.tell(node, r);
  }
  const Step& step() const { return *c.state->steps.at({id, c.find(id)->attempt, 0}); }
  // What goes to the node about the step.
  struct Told {
    int launches = 0, ends = 0, forgets = 0;
    std::vector<Seconds> limits;
  };
  Told told(const Output& out, const std::string& node) const {
    Told t;
    const ConnId conn = c.conns.at(node);
    for (const auto& launch : out.effects.launches) t.launches += launch.conn == conn && launch.key == key;
    for (const auto& [to, order] : out.effects.orders) {
      const auto* orders = std::get_if<wire::AgentOrders>(&order);
      if (to != conn || !orders) continue;
      for (const auto& k : orders->forget) t.forgets += k == key;
      for (const auto& s : orders->signals) t.ends += s.key == key && s.signal == 0;
      for (const auto& l : orders->limits)
        if (l.key == key) t.limits.push_back(l.time_limit);
    }
    return t;
  }

  Cluster c;
  JobId id = 0;
  wire::Request request;
  AttemptKey key;
};

TEST_F(StepOnTwoNodes, APartsEndIsKeptByItsNodeUntilTheWholeIsOver) {
  EXPECT_EQ(told(both("n1", AttemptPhase::kEnded), "n1").forgets, 0);
  const Output last = both("n2", AttemptPhase::kEnded);
  EXPECT_EQ(step().state, JobState::kCompleted);
  EXPECT_GE(told(last, "n1").forgets, 1);
  EXPECT_GE(told(last, "n2").forgets, 1);
  EXPECT_EQ(told(both("n1", AttemptPhase::kEnded), "n1").forgets, 1) << "repeated, because that was lost";
}

TEST_F(StepOnTwoNodes, APartThatHasEndedDoesNotRunAgainAfterARestart) {
  both("n1", AttemptPhase::kEnded);
  c.restart();
  // As its agent says when it registers.
  c.register_agent("n1", {Cluster::report({id, key.attempt}, AttemptPhase::kRunning),
                          Cluster::report(key, AttemptPhase::kEnded)});
  c.register_agent("n2", {Cluster::report(key, AttemptPhase::kRunning)});
  request.repeat = true;
  Output again = c.give(FromCommand{++c.last_conn, user(1000), request, {}, std::nullopt});
  EXPECT_EQ(told(again, "n1").launches, 0);
  c.pass(120);  // nor is the rest ended as if it had been forsaken
  EXPECT_EQ(step().state, JobState::kRunning);
  both("n2", AttemptPhase::kEnded);
  EXPECT_EQ(step().state, JobState::kCompleted);
}

TEST_F(StepOnTwoNodes, ACancelOutlivesTheController) {
  const auto at_once = [](wire::ActionRequest& request) { request.signal = 9; };
  EXPECT_EQ(c.code(wire::JobAction::kCancel, {id, kNoTask, 0}, user(1000), at_once), "");
  c.restart();
  c.signals.clear();
  const auto running = Cluster::report(key, AttemptPhase::kRunning);
  c.register_agent("n1", {Cluster::report({id, key.attempt}, AttemptPhase::kRunning), running});
  c.register_agent("n2", {running});
  c.pass(10);
  const auto ends =
      std::count_if(c.signals.begin(), c.signals.end(), [&](const auto& s) { return s.key == key && s.now; });
  EXPECT_GE(ends, 2);
  both("n1", AttemptPhase::kEnded);
  both("n2", AttemptPhase::kEnded);
  EXPECT_EQ(step().ended_by_uid, 1000u);
  EXPECT_EQ(step().exit, ExitStatus()) << "as it did end";
}

TEST_F(StepOnTwoNodes, ItsEndIsWhenItsLastPartEndedNotWhenThatWasHeard) {
  c.pass(10);
  const Time first = c.now + 1, last = c.now + 5;
  c.pass(3600);
  both("n2", AttemptPhase::kEnded, last);
  both("n1", AttemptPhase::kEnded, first);
  EXPECT_EQ(step().ended.us, last.us);
}

TEST_F(StepOnTwoNodes, AClockThatIsAheadOrBehindDoesNotMakeItsTimesAbsurd) {
  both("n2", AttemptPhase::kEnded, c.now + 7200);
  both("n1", AttemptPhase::kEnded, Time{1});
  EXPECT_EQ(step().ended.us, c.now.us);
}

TEST_F(StepOnTwoNodes, ALimitThatChangedWhileANodeWasAwayIsToldWhenItIsBack) {
  c.give(Closed{c.conns.at("n1")});
  c.give(Closed{c.conns.at("n2")});
  EXPECT_EQ(c.update_job(id, "timelimit", "5"), "");
  const auto running = Cluster::report(key, AttemptPhase::kRunning);
  const Output out = c.register_agent("n2", {running});
  EXPECT_EQ(told(out, "n2").limits, std::vector<Seconds>{300});
  c.restart();  // nor is it lost with the controller
  const Output again =
      c.register_agent("n1", {Cluster::report({id, key.attempt}, AttemptPhase::kRunning), running});
  EXPECT_EQ(told(again, "n1").limits, std::vector<Seconds>{300});
  Seconds batch = 0;
  for (const auto& [to, order] : again.effects.orders)
    if (const auto* orders = std::get_if<wire::AgentOrders>(&order))
      for (const auto& limit : orders->limits)
        if (limit.key.step == kBatchStep) batch = limit.time_limit;
  EXPECT_EQ(batch, 300);
}

TEST_F(StepOnTwoNodes, AddressesThatAShepherdWouldNotTakeAreRefused) {
  const auto code = [&](wire::ReplyBody body) {
    auto* error = std::get_if<wire::ErrorBody>(&body);
    return error ? error->error.code : "";
  };
  wire::AttachRequest attach;
  attach.job = id;
  attach.step = 0;
  attach.client = client();
  EXPECT_EQ(code(c.ask(user(1000), attach)), "");
  attach.client.endpoints = {std::string(4000, '1') + ":1"};
  EXPECT_EQ(code(c.ask(user(1000), attach)), "bad_request");
  attach.client.endpoints.assign(16, "127.0.0.1:1");
  EXPECT_EQ(code(c.ask(user(1000), attach)), "bad_request");
  attach.client = client();
  attach.client.key = "short";
  EXPECT_EQ(code(c.ask(user(1000), attach)), "bad_request");
  auto another = step_request(id, 2);
  another.run.client.endpoints = {""};
  EXPECT_EQ(code(c.ask(user(1000), another)), "bad_request");
}

TEST_F(StepOnTwoNodes, AQuestionAboutUseIsBoundedHoweverOftenItNamesAJob) {
  wire::UseRequest use;
  use.all_steps = true;
  use.jobs.assign(60'000, {id, kNoTask});
  const Output out =
      c.give(FromCommand{++c.last_conn, user(1000), {Cluster::next_request(), false, use}, {}, std::nullopt});
  std::size_t asked = 0;
  for (const auto& [to, order] : out.effects.orders)
    if (const auto* orders = std::get_if<wire::AgentOrders>(&order))
      for (const auto& one : orders->uses) asked += one.keys.size();
  EXPECT_EQ(asked, 3u);  // its batch script, and the step on two nodes
  use.jobs.clear();
  for (JobId job = 1'000; job < 61'000; ++job) use.jobs.push_back({job, kNoTask});
  const auto body = c.ask(user(1000), use);
  const auto& refused = std::get<wire::UseReply>(body).refused;
  ASSERT_EQ(refused.size(), kMaxUseParts + 1);
  EXPECT_EQ(refused.back().error->error.code, "too_many");
}

TEST(MachineAllocations, ThoseThatEndWhileTheyWaitLeaveNoLease) {
  Cluster c;
  JobId id = c.submit([](wire::Submission& s) {
    JobExtras extras = s.spec.extras();
    extras.no_batch = extras.lease = true;
    s.spec.set_extras(std::move(extras));
  });
  c.ask(user(1000), wire::HoldRequest{id, true});
  wire::ActionRequest cancel;
  cancel.action = wire::JobAction::kCancel;
  cancel.filter.jobs = {{id, kNoTask}};
  c.give(FromCommand{++c.last_conn, user(1000), {Cluster::next_request(), false, cancel}, {}, std::nullopt});
  EXPECT_EQ(c.state_of(id), JobState::kCancelled);
  c.ask(user(1000), wire::HoldRequest{id, true});  // it is over
  EXPECT_EQ(c.machine->check_invariants(), "");
}

TEST(MachineNodes, JobsOfADeadNodeThatIsSetDownAreNotWaitedForForEver) {
  Cluster c;
  c.up();
  JobId id = c.submit([](wire::Submission& s) { s.spec.requeue = Requeue::kNo; });
  c.runs(id);
  const std::string node = c.node_of(id);
  c.give(Closed{c.conns.at(node)});
  c.conns.erase(node);
  EXPECT_EQ(c.update_node(node, {{"state", "down"}, {"reason", "it burns"}}), "");
  EXPECT_EQ(c.state_of(id), JobState::kCompleting);
  c.pass(3600);
  EXPECT_TRUE(is_finished(c.state_of(id)));
  EXPECT_EQ(c.node(node).condition, NodeCondition::kDown);
  EXPECT_EQ(c.node(node).reason.view(), "it burns");
}

TEST(MachineNodes, AnAgentThatAnswersKeepsItsSessionHoweverLongAJobTakesToEnd) {
  Cluster c;
  c.up();
  JobId id = c.submit();
  c.runs(id);
  EXPECT_EQ(c.cancel(id), "");
  for (int i = 0; i < 20; ++i) {
    c.pass(6);
    const Output out = c.runs(id);  // what the agent says to an order that it had already
    EXPECT_TRUE(out.effects.close.empty());
  }
  EXPECT_EQ(c.closed.size(), 0u);
}

}  // namespace
}  // namespace bai::controller
