// Reads: what is in an answer, in which order, in how many frames.
#include "controller/queries.h"

#include <gtest/gtest.h>

#include "cluster.h"

namespace bai::controller {
namespace {

constexpr Time kNow = Time::from_seconds(1'800'000'000);

class Queries : public testing::Test {
 protected:
  void put(JobId id, JobState state, std::uint32_t uid = 1000, JobId array = 0) {
    auto spec = std::make_shared<JobSpec>();
    spec->uid = uid;
    auto job = std::make_shared<Job>();
    job->id = id;
    job->array_id = array;
    job->state = state;
    job->spec = spec;
    effects_.jobs.push_back({id, job, 60});
  }
  void publish() { view_ = *advance(view_, std::exchange(effects_, {}), Lineage{}); }

  std::vector<JobId> ask(const wire::QueueRequest& request, std::uint32_t uid = 1000) {
    std::vector<JobId> ids;
    frames_ = 0;
    bool ended = false;
    answer_queue(view_, user(uid), request, kNow, {}, [&](wire::ReplyBody body) {
      EXPECT_FALSE(ended) << "nothing comes after the last frame";
      const auto& reply = std::get<wire::JobsReply>(body);
      ++frames_;
      EXPECT_EQ(reply.now, kNow);
      EXPECT_LE(reply.table.rows.size(), kRowsPerFrame);
      ended = !reply.more;
      for (const auto& row : reply.table.rows) ids.push_back(row.id);
      return true;
    });
    EXPECT_TRUE(ended);
    return ids;
  }
  static wire::QueueRequest of(std::vector<wire::JobRef> refs) {
    wire::QueueRequest request;
    request.filter.jobs = std::move(refs);
    return request;
  }

  View view_;
  Effects effects_;
  int frames_ = 0;
};

using Ids = std::vector<JobId>;

TEST_F(Queries, FinishedJobsAreToldWhenTheyAreAskedFor) {
  put(1, JobState::kPending);
  put(2, JobState::kCompleted);
  put(3, JobState::kRunning);
  publish();
  EXPECT_EQ(ask({}), (Ids{1, 3}));
  wire::QueueRequest request;
  request.finished_too = true;
  EXPECT_EQ(ask(request), (Ids{1, 2, 3}));
  request.finished_too = false;
  request.filter.states = {JobState::kCompleted, JobState::kRunning};
  EXPECT_EQ(ask(request), (Ids{2, 3})) << "states say all";
}

TEST_F(Queries, PlainIdsAreLookedUpAndAnswerAsAWalkWould) {
  for (JobId id = 1; id <= 600; ++id)
    put(id, id % 2 ? JobState::kPending : JobState::kCompleted, 1000 + id % 3);
  put(700, JobState::kPending, 1000, 700);
  put(701, JobState::kRunning, 1000, 700);
  publish();
  EXPECT_EQ(ask(of({{500}, {599}, {3}})), (Ids{599, 3})) << "in the order that was asked for";
  EXPECT_EQ(ask(of({{3}, {9999}})), (Ids{3})) << "one that is not there";
  EXPECT_EQ(ask(of({{700}})), (Ids{700, 701})) << "an array is more than its head";
  EXPECT_EQ(ask(of({{9999}})), Ids{});
  auto mine = of({{1}, {3}});
  mine.filter.mine = true;
  EXPECT_EQ(ask(mine, 1001), (Ids{1})) << "the other filters count, too";
  Ids odd;
  std::vector<wire::JobRef> refs;
  for (JobId id = 1; id <= 199; id += 2) {
    odd.push_back(id);
    refs.push_back({id});
  }
  EXPECT_EQ(ask(of(refs)), odd) << "many";
}

TEST_F(Queries, LongAnswersComeInFramesAndEndWhenTheCallerIsGone) {
  const JobId count = 2 * kRowsPerFrame + 1;
  for (JobId id = 1; id <= count; ++id) put(id, JobState::kPending);
  publish();
  EXPECT_EQ(ask({}).size(), count);
  EXPECT_EQ(frames_, 3);
  int sent = 0;
  answer_queue(view_, user(1000), {}, kNow, {}, [&](wire::ReplyBody) {
    ++sent;
    return false;
  });
  EXPECT_EQ(sent, 1);
}

TEST_F(Queries, AnEmptyQueueIsAnAnswer) {
  EXPECT_EQ(ask({}), Ids{});
  EXPECT_EQ(frames_, 1);
}

TEST_F(Queries, NodesComeAsConfiguredThenThoseThatJoined) {
  view_.config = make_config("", "NodeName=n[10,2] CPUs=4\nNodeName=a CPUs=8\n",
                             "PartitionName=z Nodes=n[10,2],a\nPartitionName=b Nodes=a Default=YES\n");
  for (const char* name : {"a", "n10", "joined"}) {  // n2 is not known yet
    auto node = std::make_shared<Node>();
    node->name = name;
    node->declared.cpus = 4;
    view_.nodes = view_.nodes.with({node}, {});
  }
  for (const auto& partition : view_.config->partitions)
    view_.partitions[partition.name.str()] = std::make_shared<Partition>(partition);
  const auto reply = answer_cluster(view_, kNow);
  std::string nodes, partitions;
  for (const auto& node : reply.nodes) nodes += node.name.str() + " ";
  for (const auto& p : reply.partitions)
    partitions += p.name.str() + ":" + std::to_string(p.total_cpus) + " ";
  EXPECT_EQ(nodes, "n10 a joined ");
  EXPECT_EQ(partitions, "z:8 b:4 ") << "processors of the nodes that are there";
}

TEST_F(Queries, WhatWasChangedAtRunTimeIsListedApart) {
  view_.config = make_config();
  auto drained = std::make_shared<Node>();
  drained->name = "n1";
  drained->condition = NodeCondition::kUp;
  drained->drain = true;
  drained->reason = "new disk";
  auto well = std::make_shared<Node>();
  well->name = "n2";
  well->condition = NodeCondition::kUp;
  view_.nodes = NodeTable().with({drained, well}, {});
  auto changed = std::make_shared<Partition>();
  changed->overridden = true;
  view_.partitions = {{"main", changed}, {"other", std::make_shared<Partition>()}};
  const auto reply = answer_config(view_, kNow);
  ASSERT_EQ(reply.overrides.size(), 2u);
  EXPECT_EQ(reply.overrides[0].first, "Partition main");
  EXPECT_EQ(reply.overrides[1].first, "Node n1");
  EXPECT_NE(reply.overrides[1].second.find("new disk"), std::string::npos);
  EXPECT_FALSE(reply.values.empty());
}

TEST_F(Queries, TheBatchHostIsTheFirstNode) {
  Job job;
  EXPECT_EQ(batch_host(job), "");
  auto allocation = std::make_shared<Allocation>();
  job.allocation = allocation;
  EXPECT_EQ(batch_host(job), "");
  allocation->nodes = {{"n7", 1, 1}, {"n8", 1, 1}};
  EXPECT_EQ(batch_host(job), "n7");
}

}  // namespace
}  // namespace bai::controller
