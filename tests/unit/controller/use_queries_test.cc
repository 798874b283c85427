#include "controller/use_queries.h"

#include <gtest/gtest.h>

namespace bai::controller {
namespace {

wire::UseReply two_nodes() {
  wire::UseReply reply;
  wire::StepUse step;
  step.job = 7;
  step.attempt = 1;
  step.step = 0;
  step.nodes = {{"n1", "", {}}, {"n2", "", {}}};
  reply.steps = {step};
  return reply;
}

wire::AgentUse answer(std::uint64_t query, std::uint32_t tasks) {
  wire::AgentUse use;
  use.query = query;
  use.key = {7, 1, 0};
  use.running = true;
  use.use.tasks = tasks;
  return use;
}

const wire::UseReply& body(const ReplyOut& out) { return std::get<wire::UseReply>(out.reply.body); }

TEST(UseQueries, AllAnswersMakeAReply) {
  UseQueries queries;
  const auto query = queries.next();
  queries.begin(query, 3, {}, 1000, two_nodes(), 0);
  EXPECT_TRUE(queries.take_done().empty());
  queries.answered("n1", answer(query, 2));
  queries.answered("n1", answer(query, 9));      // repeated: the first counts
  queries.answered("n3", answer(query, 9));      // nobody asked
  queries.answered("n2", answer(query + 1, 9));  // another question
  EXPECT_TRUE(queries.take_done().empty());
  queries.answered("n2", answer(query, 4));
  const auto done = queries.take_done();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].conn, 3u);
  EXPECT_EQ(body(done[0]).steps[0].nodes[0].use.tasks, 2u);
  EXPECT_EQ(body(done[0]).steps[0].nodes[1].use.tasks, 4u);
  EXPECT_TRUE(queries.take_done().empty());
}

TEST(UseQueries, WhoDoesNotAnswerIsNamed) {
  UseQueries queries;
  const auto query = queries.next();
  queries.begin(query, 3, {}, 1000, two_nodes(), 1000);
  queries.answered("n2", answer(query, 4));
  queries.expire(1000 + kUseWaitMs - 1);
  EXPECT_TRUE(queries.take_done().empty());
  queries.expire(1000 + kUseWaitMs);
  auto done = queries.take_done();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(body(done[0]).steps[0].nodes[0].missing, "not responding");
  EXPECT_EQ(body(done[0]).steps[0].nodes[1].missing, "");

  // A session that ends is not waited for; one that never was is not even asked.
  auto reply = two_nodes();
  reply.steps[0].nodes[1].missing = "not responding";
  queries.begin(queries.next(), 4, {}, 1000, std::move(reply), 0);
  queries.node_left("n1");
  done = queries.take_done();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(body(done[0]).steps[0].nodes[0].missing, "not responding");
}

TEST(UseQueries, WhoAsksTooMuchOrLeavesCostsNothing) {
  UseQueries queries;
  for (std::size_t i = 0; i < kMaxUseQueriesOfUser; ++i) {
    EXPECT_TRUE(queries.may_begin(1000));
    queries.begin(queries.next(), i, {}, 1000, two_nodes(), 0);
  }
  EXPECT_FALSE(queries.may_begin(1000));
  EXPECT_TRUE(queries.may_begin(1001));
  EXPECT_EQ(queries.waiting().size(), kMaxUseQueriesOfUser);
  queries.forget(0);
  EXPECT_TRUE(queries.may_begin(1000));
  queries.expire(kUseWaitMs);
  EXPECT_EQ(queries.take_done().size(), kMaxUseQueriesOfUser - 1);
}

}  // namespace
}  // namespace bai::controller
