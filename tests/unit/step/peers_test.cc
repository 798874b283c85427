#include "step/peers.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>

#include "base/env.h"
#include "step/peer_tree.h"
#include "step/stream_socket.h"

namespace bai::step {
namespace {

TEST(PeerTree, EachKnowsItsNeighbours) {
  EXPECT_FALSE(peer_parent(0));
  EXPECT_EQ(peer_children(0, 3), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(peer_children(1, 3), std::vector<uint32_t>());
  constexpr uint32_t kCount = 1000;
  for (uint32_t node = 0; node < kCount; ++node)
    for (const uint32_t child : peer_children(node, kCount)) EXPECT_EQ(peer_parent(child), node);
}

TEST(PeerTree, WaysEnd) {
  constexpr uint32_t kCount = 400;
  for (uint32_t from = 0; from < kCount; from += 7)
    for (uint32_t to = 0; to < kCount; ++to) {
      uint32_t steps = 0;
      for (uint32_t at = from; at != to; at = peer_towards(at, to)) ASSERT_LE(++steps, 6u);
    }
}

TEST(PeerTree, PortsFollowFromTheKeyAndTheNode) {
  const std::string key(kStreamKeyBytes, 'k'), other(kStreamKeyBytes, 'o');
  EXPECT_EQ(peer_ports(key, 3), peer_ports(key, 3));
  EXPECT_NE(peer_ports(key, 3), peer_ports(key, 4));
  EXPECT_NE(peer_ports(key, 3), peer_ports(other, 3));
  for (uint32_t node = 0; node < 1000; ++node)
    for (const uint16_t port : peer_ports(key, node)) {
      EXPECT_GE(port, 10240);
      EXPECT_LT(port, 32768);
    }
}

// Shepherds of a step, all in one thread.
struct Step {
  explicit Step(uint32_t count) : plans(count), nodes(count), got(count), lost(count) {
    std::string key(kStreamKeyBytes, '\0');
    Env::real().random_bytes(key.data(), key.size());
    for (uint32_t i = 0; i < count; ++i) {
      plans[i].clients = {"127.0.0.1:9"};
      plans[i].key = key;
      plans[i].node_index = i;
      plans[i].node_count = count;
      for (uint32_t n = 0; n < count; ++n) plans[i].node_names.push_back("n" + std::to_string(n));
      if (i > 0) plans[i].parent_addresses = {"127.0.0.1"};
    }
  }
  void open(uint32_t i) {
    Peers::Handlers handlers;
    handlers.message = [this, i](uint32_t from, std::string_view message) {
      got[i].push_back(std::to_string(from) + ":" + std::string(message));
    };
    handlers.lost = [this, i](const std::string& why) { lost[i].push_back(why); };
    nodes[i] = std::make_unique<Peers>(plans[i], std::move(handlers));
    const auto opened = nodes[i]->open(now());
    ASSERT_TRUE(opened.ok()) << opened.error().text();
  }
  void open_all() {
    for (uint32_t i = static_cast<uint32_t>(nodes.size()); i-- > 0;) open(i);  // children first: they wait
  }
  int64_t now() const { return Env::real().monotonic_ms() + ahead_ms; }
  template <class F>
  bool until(F condition) {
    for (const int64_t end = Env::real().monotonic_ms() + 20'000; !condition();) {
      if (Env::real().monotonic_ms() > end) return false;
      turn();
    }
    return true;
  }
  void turn() {
    std::vector<pollfd> all;
    std::vector<std::pair<size_t, size_t>> slices;  // each polls as if it were alone
    for (auto& node : nodes) {
      std::vector<pollfd> fds;
      if (node) node->add_pollfds(&fds);
      slices.emplace_back(all.size(), fds.size());
      all.insert(all.end(), fds.begin(), fds.end());
    }
    poll(all.data(), all.size(), 1);
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (!nodes[i]) continue;
      const auto [at, size] = slices[i];
      nodes[i]->serve(
          {all.begin() + static_cast<ptrdiff_t>(at), all.begin() + static_cast<ptrdiff_t>(at + size)}, now());
      nodes[i]->on_time(now());
      nodes[i]->flush(now());
    }
  }
  std::vector<StreamPlan> plans;
  std::vector<std::unique_ptr<Peers>> nodes;
  std::vector<std::vector<std::string>> got, lost;
  int64_t ahead_ms = 0;
};

using Lines = std::vector<std::string>;

TEST(Peers, EachReachesEachInOrder) {
  constexpr uint32_t kCount = 20;  // three levels: 17 is below 1
  Step step(kCount);
  step.open_all();
  for (uint32_t from = 0; from < kCount; ++from)
    for (uint32_t to = 0; to < kCount; ++to)
      if (from != to) {
        step.nodes[from]->send(to, "a");
        step.nodes[from]->send(to, "b");
      }
  ASSERT_TRUE(step.until([&] {
    for (const auto& lines : step.got)
      if (lines.size() < 2 * (kCount - 1)) return false;
    return true;
  }));
  for (uint32_t to = 0; to < kCount; ++to)
    for (uint32_t from = 0; from < kCount; ++from) {
      if (from == to) continue;
      const auto at = [&](const char* what) {
        return std::find(step.got[to].begin(), step.got[to].end(), std::to_string(from) + what);
      };
      EXPECT_LT(at(":a"), at(":b"));
      EXPECT_NE(at(":b"), step.got[to].end());
    }
}

TEST(Peers, LongMessagesComeWholeAndToAll) {
  Step step(18);
  step.open_all();
  std::string text(3 * kMaxPayload + 5, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31);
  step.nodes[17]->send(kAllNodes, text);
  step.nodes[17]->send(kAllNodes, "");
  ASSERT_TRUE(step.until([&] {
    for (uint32_t i = 0; i < 17; ++i)
      if (step.got[i].size() < 2) return false;
    return true;
  }));
  for (uint32_t i = 0; i < 17; ++i) EXPECT_EQ(step.got[i], (Lines{"17:" + text, "17:"}));
  EXPECT_TRUE(step.got[17].empty());
}

TEST(Peers, WhoTakesItsLeaveIsNotMissed) {
  Step step(3);
  step.open_all();
  step.nodes[1]->send(0, "x");
  step.nodes[2]->send(0, "y");
  ASSERT_TRUE(step.until([&] { return step.got[0].size() == 2; }));
  step.nodes[1]->send(0, "last words");
  step.nodes[1]->leave(step.now());
  ASSERT_TRUE(step.until([&] { return step.nodes[1]->left(step.now()); }));
  step.nodes[1].reset();
  step.ahead_ms += 2 * kPeerGraceMs;
  for (int i = 0; i < 5; ++i) step.turn();
  EXPECT_TRUE(step.lost[0].empty());
  EXPECT_EQ(step.got[0].back(), "1:last words");
  step.nodes[2]->send(1, "too late");
  ASSERT_TRUE(step.until([&] { return !step.lost[0].empty(); }));
  EXPECT_EQ(step.lost[0], Lines{"node n1 has ended its part of the step"});
}

TEST(Peers, AllMayTakeTheirLeaveAtOnce) {
  Step step(18);
  step.open_all();
  for (uint32_t i = 0; i < 18; ++i) step.nodes[i]->needed(step.now());
  step.nodes[17]->send(kAllNodes, "x");
  ASSERT_TRUE(step.until([&] {
    for (uint32_t i = 0; i < 17; ++i)
      if (step.got[i].empty()) return false;
    return true;
  }));
  // As shepherds do: each goes when its neighbours have heard it, and its port with it. Time stands still: nobody gives up.
  const int64_t then = step.now();
  for (auto& node : step.nodes) node->leave(then);
  ASSERT_TRUE(step.until([&] {
    bool all = true;
    for (auto& node : step.nodes) {
      if (node && node->left(then)) node.reset();
      all &= !node;
    }
    return all;
  }));
  for (const auto& lost : step.lost) EXPECT_TRUE(lost.empty());
}

TEST(Peers, WhoWasNotNeededNeedNotWait) {
  Step step(2);
  step.open(1);  // whose parent never comes
  step.nodes[1]->leave(step.now());
  EXPECT_TRUE(step.nodes[1]->left(step.now()));
}

TEST(Peers, WhoVanishesIsMissed) {
  Step step(3);
  step.open_all();
  step.nodes[1]->send(2, "x");
  step.nodes[2]->send(1, "x");
  ASSERT_TRUE(step.until([&] { return step.got[1].size() + step.got[2].size() == 2; }));
  step.nodes[1].reset();
  for (int i = 0; i < 5; ++i) step.turn();
  step.ahead_ms += kPeerGraceMs;  // in which it might have dialled again
  ASSERT_TRUE(step.until([&] { return !step.lost[0].empty(); }));
  EXPECT_EQ(step.lost[0], Lines{"the shepherd of the step on node n1 is gone"});
  EXPECT_TRUE(step.lost[2].empty());
  step.nodes[0].reset();
  ASSERT_TRUE(step.until([&] { return !step.lost[2].empty(); }));
  EXPECT_EQ(step.lost[2], Lines{"the shepherd of the step on node n0 is gone"});
}

TEST(Peers, WhoNeverComesIsMissedOnceNeeded) {
  Step step(3);
  step.open(0);
  step.open(2);
  step.nodes[2]->send(0, "x");
  ASSERT_TRUE(step.until([&] { return step.got[0].size() == 1; }));
  step.ahead_ms += 2 * kMeetMs;
  step.turn();
  EXPECT_TRUE(step.lost[0].empty());
  step.nodes[0]->needed(step.now());
  step.ahead_ms += kMeetMs;
  step.turn();
  EXPECT_EQ(step.lost[0], Lines{"the shepherd of the step on node n1 did not come"});
}

TEST(Peers, StrangersAreNotLetIn) {
  Step step(2);
  step.open(0);
  StreamPlan stranger = step.plans[1];
  stranger.key[0] = static_cast<char>(stranger.key[0] + 1);
  // It knows the ports all the same.
  std::vector<std::string> endpoints;
  for (const uint16_t port : peer_ports(step.plans[0].key, 0))
    endpoints.push_back(endpoint_text("127.0.0.1", port));
  Uplink link(endpoints, stranger.key, LinkKind::kPeer, 1, geteuid(), step.now());
  link.link().put(FrameType::kPeer, 0, 0, std::string(4, '\1') + "x");
  // Nor is one that says it dials for something else.
  Uplink client(endpoints, step.plans[1].key, LinkKind::kClient, 1, geteuid(), step.now());
  client.link().put(FrameType::kPeer, 0, 0, std::string("\1\0\0\0", 4) + "x");
  const auto turn = [&](Uplink& up) {
    std::vector<pollfd> fds;
    up.add_pollfd(&fds);
    poll(fds.data(), fds.size(), 1);
    up.serve(fds, step.now(), [](const Frame&) {});
    up.on_time(step.now());
  };
  ASSERT_TRUE(step.until([&] {
    if (!link.gone()) turn(link);
    if (!client.gone()) turn(client);
    return link.gone();
  }));
  EXPECT_TRUE(step.got[0].empty());
}

TEST(Peers, ATakenPortIsPassedOver) {
  Step step(2);
  auto squatter = listen_any(true, peer_ports(step.plans[0].key, 0)[0]);
  ASSERT_TRUE(squatter.ok());
  step.open_all();
  step.nodes[1]->send(0, "x");
  squatter->fd.reset();  // who listens there and says nothing costs a few seconds
  ASSERT_TRUE(step.until([&] { return step.got[0].size() == 1; }));
}

}  // namespace
}  // namespace bai::step
