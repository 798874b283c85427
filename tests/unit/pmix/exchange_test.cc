#include "pmix/exchange.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>

namespace bai::pmix {
namespace {

// Servers whose messages wait to be delivered, in order for each pair.
struct Step {
  explicit Step(std::uint32_t count) {
    for (std::uint32_t self = 0; self < count; ++self) {
      Exchange::Hooks hooks;
      hooks.send = [this, self](std::uint32_t node, const std::string& message) {
        messages.push_back({self, node, message});
      };
      hooks.fence_over = [this, self](std::uint64_t ticket, bool ok, std::string data) {
        over[self].push_back(std::to_string(ticket) + (ok ? " " : " failed ") + data);
      };
      hooks.asked = [this, self](std::uint32_t node, std::uint64_t ticket, std::uint32_t rank) {
        servers[self]->answer(node, ticket, rank == 9 ? -46 : 0, "of " + std::to_string(rank));
      };
      hooks.answered = [this, self](std::uint64_t ticket, std::int32_t status, std::string_view data) {
        answers[self].push_back(std::to_string(ticket) + " " + std::to_string(status) + " " +
                                std::string(data));
      };
      servers.push_back(std::make_unique<Exchange>(self, std::move(hooks)));
    }
  }
  void deliver() {
    while (!messages.empty()) {
      const auto m = messages.front();
      messages.pop_front();
      EXPECT_TRUE(servers[m.to]->take(m.from, m.text).ok());
    }
  }
  struct Message {
    std::uint32_t from, to;
    std::string text;
  };
  std::deque<Message> messages;
  std::map<std::uint32_t, std::vector<std::string>> over, answers;
  std::vector<std::unique_ptr<Exchange>> servers;
};

using Lines = std::vector<std::string>;

TEST(Exchange, AFenceIsOverWhenAllNodesAreThere) {
  Step step(3);
  step.servers[1]->fence({0, 1, 2}, "", "b", 11);
  step.servers[0]->fence({0, 1, 2}, "", "a", 10);
  step.deliver();
  EXPECT_TRUE(step.over.empty());
  step.servers[2]->fence({0, 1, 2}, "", "c", 12);
  step.deliver();
  EXPECT_EQ(step.over[0], Lines{"10 abc"});
  EXPECT_EQ(step.over[1], Lines{"11 abc"});
  EXPECT_EQ(step.over[2], Lines{"12 abc"});
}

TEST(Exchange, OneNodeMeetsItself) {
  Step step(1);
  step.servers[0]->fence({0}, "", "a", 1);
  EXPECT_EQ(step.over[0], Lines{"1 a"});
  EXPECT_TRUE(step.messages.empty());
}

TEST(Exchange, FencesOfTheSameRanksFollowEachOther) {
  Step step(2);
  step.servers[1]->fence({0, 1}, "", "b1", 1);
  step.servers[1]->fence({0, 1}, "", "b2", 2);  // before the first is over
  step.servers[0]->fence({0, 1}, "", "a1", 3);
  step.deliver();
  EXPECT_EQ(step.over[1], Lines{"1 a1b1"});
  step.servers[0]->fence({0, 1}, "", "a2", 4);
  step.deliver();
  EXPECT_EQ(step.over[1], (Lines{"1 a1b1", "2 a2b2"}));
  EXPECT_EQ(step.over[0], (Lines{"3 a1b1", "4 a2b2"}));
}

TEST(Exchange, SomeRanksMeetWithoutTheOthers) {
  Step step(4);
  step.servers[3]->fence({1, 3}, "2,7,", "d", 1);
  step.servers[1]->fence({0, 1}, "0,2,", "x", 2);  // another one, at the same time
  step.servers[1]->fence({1, 3}, "2,7,", "b", 3);
  step.deliver();
  EXPECT_EQ(step.over[3], Lines{"1 bd"});
  EXPECT_EQ(step.over[1], Lines{"3 bd"});
  EXPECT_TRUE(step.over[0].empty());
}

TEST(Exchange, MoreThanMayBeFailsForAll) {
  Step step(2);
  const std::string half(kMaxFenceBytes / 2 + 1, 'x');
  step.servers[0]->fence({0, 1}, "", half, 1);
  step.servers[1]->fence({0, 1}, "", half, 2);
  step.deliver();
  EXPECT_EQ(step.over[0], Lines{"1 failed "});
  EXPECT_EQ(step.over[1], Lines{"2 failed "});
}

TEST(Exchange, RanksAskAboutEachOther) {
  Step step(2);
  step.servers[0]->ask(1, 5, 3);
  step.servers[0]->ask(1, 6, 9);
  step.deliver();
  EXPECT_EQ(step.answers[0], (Lines{"5 0 of 3", "6 -46 of 9"}));
}

TEST(Exchange, RefusesNonsense) {
  Step step(2);
  const std::string longest("\x01\xff\xff\xff\xff", 5);
  for (const std::string& message : {std::string(), std::string("\x09"), std::string("\x01"), longest,
                                     std::string("\x03\x01", 2), std::string("\x04")})
    EXPECT_FALSE(step.servers[1]->take(0, message).ok());
  // A part for a gatherer that it is not.
  step.servers[1]->fence({0, 1}, "", "b", 1);
  EXPECT_FALSE(step.servers[1]->take(1, step.messages.front().text).ok());
}

}  // namespace
}  // namespace bai::pmix
