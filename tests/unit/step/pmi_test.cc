#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "step/pmi1.h"
#include "step/pmi_sockets.h"
#include "step/pmi_space.h"
#include "step/stream_frames.h"

namespace bai::step {
namespace {

StreamPlan plan_of(std::vector<uint32_t> rank_nodes) {
  StreamPlan plan;
  plan.task_count = static_cast<uint32_t>(rank_nodes.size());
  plan.rank_nodes = std::move(rank_nodes);
  return plan;
}

// Nodes that meet at a hub, as shepherds do at the client.
struct Meeting {
  explicit Meeting(size_t nodes) : spaces(nodes), hub(nodes) {}
  // True when all nodes were let go on.
  bool fence(size_t node) {
    bool over = false;
    for (const auto& payload : spaces[node].fence()) {
      EXPECT_LE(payload.size(), kMaxPayload);
      auto told = hub.take(node, payload);
      EXPECT_TRUE(told.ok());
      for (const auto& each : *told)
        for (auto& space : spaces) {
          auto there = space.take(each);
          EXPECT_TRUE(there.ok());
          over = *there;
        }
    }
    return over;
  }
  std::vector<PmiSpace> spaces;
  PmiHub hub;
};

TEST(PmiSpace, WhatWasPutOnOneNodeIsOnAllAfterAFence) {
  Meeting m(3);
  ASSERT_TRUE(m.spaces[0].put("a", "1"));
  ASSERT_TRUE(m.spaces[2].put("b", "x y=z"));
  EXPECT_EQ(m.spaces[1].get("a"), nullptr);
  EXPECT_FALSE(m.fence(0));
  EXPECT_FALSE(m.fence(2));
  EXPECT_EQ(m.spaces[1].get("a"), nullptr);
  EXPECT_TRUE(m.fence(1));
  for (auto& space : m.spaces) {
    ASSERT_NE(space.get("a"), nullptr);
    EXPECT_EQ(*space.get("a"), "1");
    ASSERT_NE(space.get("b"), nullptr);
    EXPECT_EQ(*space.get("b"), "x y=z");
  }
}

TEST(PmiSpace, FencesFollowEachOther) {
  Meeting m(2);
  for (int round = 0; round < 3; ++round) {
    m.spaces[1].put("k", std::to_string(round));
    EXPECT_FALSE(m.fence(1));
    EXPECT_TRUE(m.fence(0));
    EXPECT_EQ(*m.spaces[0].get("k"), std::to_string(round));
  }
}

TEST(PmiSpace, ManyPairsGoInSeveralMessages) {
  Meeting m(2);
  const std::string value(1000, 'v');
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(m.spaces[0].put("key" + std::to_string(i), value));
  EXPECT_FALSE(m.fence(0));
  EXPECT_TRUE(m.fence(1));
  EXPECT_EQ(m.spaces[1].pairs().size(), 1000u);
}

TEST(PmiSpace, HasBounds) {
  PmiSpace space;
  EXPECT_FALSE(space.put("", "v"));
  EXPECT_FALSE(space.put(std::string(kMaxPmiKey + 1, 'k'), "v"));
  EXPECT_FALSE(space.put("k", std::string(kMaxPmiValue + 1, 'v')));
  size_t kept = 0;
  while (space.put("key" + std::to_string(kept), std::string(kMaxPmiValue, 'v'))) ++kept;
  EXPECT_LE(kept * kMaxPmiValue, kMaxPmiBytes);
  EXPECT_GT(kept * kMaxPmiValue, kMaxPmiBytes - (1u << 20));
  EXPECT_TRUE(space.put("key0", std::string(kMaxPmiValue, 'w')));  // in another's place
}

TEST(PmiSpace, APairThatIsPutAgainAndAgainIsToldOnce) {
  PmiSpace space;
  const std::string value(kMaxPmiValue, 'v');
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(space.put("key", value));
  EXPECT_EQ(space.fence().size(), 2u);  // the pair, and that this node is at the fence
}

TEST(PmiSpace, RefusesWhatIsNoMessage) {
  PmiSpace space;
  using namespace std::string_literals;
  for (const auto& bytes : {""s, "\x03"s, "\x01\x01"s, "\x01\x01\x00\x01\x00k"s, "\x01\x00\x00\x01\x00v"s})
    EXPECT_FALSE(space.take(bytes).ok()) << bytes.size();
  PmiHub hub(2);
  EXPECT_FALSE(hub.take(2, "\x02").ok());
  EXPECT_FALSE(hub.take(0, "").ok());
  EXPECT_TRUE(hub.take(0, "\x02").ok());
  EXPECT_FALSE(hub.take(0, "\x02").ok());  // it waits already
}

TEST(PmiSockets, WhatAnEndedTaskLeftBehindIsNotHeardForEver) {
  StepLaunch launch;
  launch.streams = plan_of({0});
  launch.tasks.resize(1);
  PmiSockets sockets(launch, {[](const std::string&) {}, [](int, uint32_t) {}});
  std::vector<std::string> env;
  auto task = sockets.add_task(0, &env);
  ASSERT_TRUE(task.ok());
  const std::string init = "cmd=init pmi_version=1 pmi_subversion=1\nmcmd=spawn\n";
  ASSERT_EQ(send(task->get(), init.data(), init.size(), MSG_NOSIGNAL), static_cast<ssize_t>(init.size()));
  // To such lines there is no answer that could fill up.
  std::string lines;
  while (lines.size() < 32000) lines += "nprocs=1\n";
  std::atomic<size_t> sent = 0;
  const auto noise = [&] {
    while (sent < 64u << 20 && send(task->get(), lines.data(), lines.size(), MSG_NOSIGNAL) > 0)
      sent += lines.size();
  };
  std::thread one(noise), other(noise);
  while (sent == 0) std::this_thread::yield();
  EXPECT_TRUE(sockets.task_ended(0));
  one.join();
  other.join();
  EXPECT_LT(sent, 2u << 20);
  std::vector<pollfd> fds;
  sockets.add_pollfds(&fds);
  EXPECT_TRUE(fds.empty());
}

TEST(PmiMapping, IsHydras) {
  EXPECT_EQ(pmi_process_mapping({0, 0, 1, 1}), "(vector,(0,2,2))");
  EXPECT_EQ(pmi_process_mapping({0, 0, 1}), "(vector,(0,1,2),(1,1,1))");
  EXPECT_EQ(pmi_process_mapping({0, 1, 0, 1}), "(vector,(0,2,1),(0,2,1))");
  EXPECT_EQ(pmi_process_mapping({}), "");
  std::vector<uint32_t> far;
  for (uint32_t i = 0; i < 1000; ++i) far.push_back(i * 7 % 1000);
  EXPECT_EQ(pmi_process_mapping(far), "");
}

TEST(Pmi1, AnswersAsMpichExpects) {
  Pmi1 pmi(plan_of({0, 0}), "kvs", 2);
  auto say = [&](const char* line) { return pmi.take(0, line).reply; };
  EXPECT_EQ(say("cmd=init pmi_version=1 pmi_subversion=1"),
            "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
  EXPECT_EQ(say("cmd=init pmi_version=2 pmi_subversion=0"),
            "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=-1\n");
  EXPECT_EQ(say("cmd=get_maxes"), "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024 rc=0\n");
  EXPECT_EQ(say("cmd=get_appnum"), "cmd=appnum appnum=0 rc=0\n");
  EXPECT_EQ(say("cmd=get_my_kvsname"), "cmd=my_kvsname kvsname=kvs rc=0\n");
  EXPECT_EQ(say("cmd=get_universe_size"), "cmd=universe_size size=2 rc=0\n");
  EXPECT_EQ(say("cmd=get kvsname=kvs key=PMI_process_mapping"),
            "cmd=get_result rc=0 msg=success value=(vector,(0,1,2))\n");
  EXPECT_EQ(say("cmd=put kvsname=kvs key=k value=a b"), "cmd=put_result rc=0 msg=success\n");
  EXPECT_EQ(say("cmd=get kvsname=kvs key=k"), "cmd=get_result rc=0 msg=success value=a b\n");
  EXPECT_EQ(say("cmd=get kvsname=kvs key=nosuch"), "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
  EXPECT_EQ(say("cmd=get kvsname=other key=k"), "cmd=get_result rc=-1 msg=kvs_not_found value=unknown\n");
  EXPECT_EQ(say("cmd=getbyidx kvsname=kvs idx=1"), "cmd=getbyidx_results rc=0 nextidx=2 key=k val=a b\n");
  EXPECT_EQ(say("cmd=getbyidx kvsname=kvs idx=2"), "cmd=getbyidx_results rc=-1 reason=no_more_keyvals\n");
  EXPECT_EQ(say("cmd=lookup_name service=s"), "cmd=lookup_result rc=-1 msg=not_supported\n");
  EXPECT_EQ(say("cmd=finalize"), "cmd=finalize_ack rc=0\n");
  EXPECT_EQ(pmi.take(1, "cmd=abort exitcode=7").abort, 7);
  EXPECT_TRUE(pmi.take(1, "hello").broken);
}

TEST(Pmi1, KnowsWhoIsInMpi) {
  Pmi1 pmi(plan_of({0, 0}), "kvs", 2);
  EXPECT_FALSE(pmi.in_mpi(0));
  pmi.take(0, "cmd=init pmi_version=1 pmi_subversion=1");
  EXPECT_TRUE(pmi.in_mpi(0));
  EXPECT_FALSE(pmi.in_mpi(1));
  pmi.take(0, "cmd=finalize");
  EXPECT_FALSE(pmi.in_mpi(0));
}

TEST(Pmi1, IsAtTheFenceWhenAllItsTasksAre) {
  Pmi1 pmi(plan_of({0, 0}), "kvs", 2);
  EXPECT_FALSE(pmi.take(1, "cmd=barrier_in").all_at_fence);
  EXPECT_TRUE(pmi.take(1, "cmd=barrier_in").broken);  // it is in already
  EXPECT_TRUE(pmi.take(0, "cmd=barrier_in").all_at_fence);
  EXPECT_EQ(pmi.leave_barrier(), (std::vector<size_t>{0, 1}));
  EXPECT_FALSE(pmi.take(0, "cmd=barrier_in").all_at_fence);
}

TEST(Pmi1, RefusesToSpawn) {
  Pmi1 pmi(plan_of({0}), "kvs", 1);
  EXPECT_EQ(pmi.take(0, "mcmd=spawn").reply, "");
  EXPECT_EQ(pmi.take(0, "nprocs=1").reply, "");
  EXPECT_EQ(pmi.take(0, "endcmd").reply, "cmd=spawn_result rc=-1 msg=spawn_not_supported\n");
}

}  // namespace
}  // namespace bai::step
