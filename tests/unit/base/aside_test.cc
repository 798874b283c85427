#include "base/aside.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <future>
#include <string>
#include <thread>

namespace bai {
namespace {

void await(Aside& aside) {
  while (aside.waiting() > 0) {
    pollfd p{aside.fd(), POLLIN, 0};
    ASSERT_EQ(poll(&p, 1, 20'000), 1);
    aside.finish();
  }
}

TEST(Aside, WorksThereAndFinishesHereInOrder) {
  auto aside = Aside::start();
  ASSERT_TRUE(aside);
  const auto here = std::this_thread::get_id();
  std::string said;
  for (char c : {'a', 'b', 'c'})
    (*aside)->run([&said, c, here]() -> Aside::Finish {
      const bool there = std::this_thread::get_id() != here;
      return [&said, c, there, here] {
        EXPECT_TRUE(there);
        EXPECT_EQ(std::this_thread::get_id(), here);
        said += c;
      };
    });
  (*aside)->run([] { return Aside::Finish(); });
  await(**aside);
  EXPECT_EQ(said, "abc");
  pollfd p{(*aside)->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 0);
}

TEST(Aside, WhoeverLeavesDoesNotWaitForWhatHangs) {
  auto begun = std::make_shared<std::promise<void>>();
  auto released = std::make_shared<std::promise<void>>();
  auto gone = std::make_shared<std::promise<void>>();
  bool finished = false, second = false;
  {
    auto aside = Aside::start();
    ASSERT_TRUE(aside);
    (*aside)->run([=, &finished]() -> Aside::Finish {
      begun->set_value();
      released->get_future().wait();
      gone->set_value();
      return [&finished] { finished = true; };
    });
    (*aside)->run([&second] {
      second = true;
      return Aside::Finish();
    });
    begun->get_future().wait();
  }
  released->set_value();
  gone->get_future().wait();
  EXPECT_FALSE(finished);
  EXPECT_FALSE(second);
}

}  // namespace
}  // namespace bai
