// The agent's view of real shepherds, and of programs that only look like some.
#include "agent/shepherds.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include <algorithm>

#include "../step/shepherd_fixture.h"

namespace bai::agent {
namespace {

constexpr wire::AttemptKey kKey{7, 1};

class ShepherdsTest : public step::ShepherdTest {
 protected:
  std::int64_t now() const { return env_.monotonic_ms(); }

  // Events, and time if `timers`, until `done` holds.
  bool pump(const std::function<bool()>& done, bool timers = true) {
    const auto until = now() + step::kPatienceMs;
    while (!done()) {
      if (now() > until) return false;
      auto wait = timers ? shepherds.next_ms().value_or(until) - now() : until - now();
      epoll_event events[8];
      const int n =
          epoll_wait(epoll.get(), events, 8, static_cast<int>(std::clamp<std::int64_t>(wait, 0, 1000)));
      for (int i = 0; i < n; ++i) {
        EXPECT_GE(events[i].data.u64, Shepherds::kFirstTag);
        shepherds.on_event(events[i].data.u64, now());
      }
      if (timers) shepherds.on_time(now());
    }
    return true;
  }
  template <class T>
  const T* find() const {
    for (const auto& one : news)
      if (auto* found = std::get_if<T>(&one)) return found;
    return nullptr;
  }
  template <class T>
  auto told() {
    return [this] { return find<T>() != nullptr; };
  }

  void spawn() {
    ASSERT_TRUE(step::write_launch(env_, dir_, launch_).ok());
    shepherds.spawn(kKey, launch_.mark, now());
  }
  bool alive(const std::string& mark_file) {
    const std::string pid = step::slurp(work_ + "/" + mark_file);
    const auto stat = step::process_stat(std::stoi(pid));
    return stat && stat->state != 'Z';
  }

  std::string stepd = step::stepd_path();
  Fd epoll{epoll_create1(EPOLL_CLOEXEC)};
  std::vector<InputBody> news;
  Shepherds shepherds{epoll.get(), stepd,
                      [this](wire::AttemptKey) { return dir_.empty() ? std::string(200, 'x') : dir_; },
                      [this](InputBody one) { news.push_back(std::move(one)); }};
};

TEST_F(ShepherdsTest, AStepRunsAndEnds) {
  script("until [ -e go ]; do sleep 0.01; done; exit 3\n");
  spawn();
  ASSERT_TRUE(pump(told<StepRunning>()));
  EXPECT_TRUE(find<StepRunning>()->started.is_set());
  EXPECT_TRUE(shepherds.knows(kKey));
  std::ofstream(work_ + "/go");
  ASSERT_TRUE(pump(told<StepEnded>()));
  EXPECT_EQ(find<StepEnded>()->status.exit_code, 3u);
  EXPECT_EQ(news.size(), 2u);
  EXPECT_EQ(shepherds.size(), 0u);
  EXPECT_FALSE(shepherds.next_ms());
}

TEST_F(ShepherdsTest, OneThatIsOverBeforeTheFirstLookIsToldOnce) {
  script("exit 4\n");
  spawn();
  ASSERT_TRUE(pump(told<StepEnded>(), false));
  EXPECT_EQ(news.size(), 1u);
}

TEST_F(ShepherdsTest, AProgramThatIsNotThereIsSaidSo) {
  script("true\n");
  Shepherds others(
      epoll.get(), "/no/such/bai-stepd", [this](wire::AttemptKey) { return dir_; },
      [this](InputBody one) { news.push_back(std::move(one)); });
  others.spawn(kKey, launch_.mark, now());
  ASSERT_TRUE(find<SpawnFailed>());
  EXPECT_FALSE(others.knows(kKey));
}

TEST_F(ShepherdsTest, WhatIsAskedBeforeItListensReachesIt) {
  script("sleep 1000\n");
  spawn();
  shepherds.request(kKey, step::TerminateRequest{step::EndReason::kCancelled, "by ada"}, now());
  ASSERT_TRUE(pump(told<StepEnded>()));
  EXPECT_EQ(find<StepEnded>()->status.reason, step::EndReason::kCancelled);
  EXPECT_EQ(find<StepEnded>()->status.message, "by ada");
}

TEST_F(ShepherdsTest, OfAShepherdThatWasKilledTheRemainsAreEndedFirst) {
  script("sleep 1000 & echo $! > child; echo $$ > self; wait\n");
  spawn();
  ASSERT_TRUE(pump(told<StepRunning>()));
  ASSERT_TRUE(step::eventually([&] { return !step::slurp(work_ + "/self").empty(); }));
  auto started = step::read_started(dir_);
  ASSERT_TRUE(started.ok());
  kill(started->pid, SIGKILL);
  ASSERT_TRUE(pump(told<StepLost>()));
  EXPECT_TRUE(find<StepLost>()->began);
  EXPECT_FALSE(alive("self"));
  EXPECT_FALSE(alive("child"));
  EXPECT_FALSE(shepherds.knows(kKey));
}

TEST_F(ShepherdsTest, AnEarlierAgentsShepherdIsFoundAlive) {
  script("until [ -e go ]; do sleep 0.01; done\n");
  start();  // not by these
  ASSERT_TRUE(step::eventually([&] {
    auto started = step::read_started(dir_);
    return started.ok() && started->script_pid != 0;
  }));
  shepherds.adopt(kKey, now());
  ASSERT_TRUE(pump(told<StepRunning>()));
  std::ofstream(work_ + "/go");
  ASSERT_TRUE(pump(told<StepEnded>()));
  EXPECT_EQ(find<StepEnded>()->status.reason, step::EndReason::kExited);
}

TEST_F(ShepherdsTest, OneThatEndedMeanwhileIsTold) {
  script("exit 5\n");
  run();
  shepherds.adopt(kKey, now());
  ASSERT_TRUE(find<StepEnded>());
  EXPECT_EQ(find<StepEnded>()->status.exit_code, 5u);
}

TEST_F(ShepherdsTest, OneThatNeverBeganNeverWill) {
  script("touch ran\n");
  ASSERT_TRUE(step::write_launch(env_, dir_, launch_).ok());
  shepherds.adopt(kKey, now());
  ASSERT_TRUE(pump(told<StepLost>()));
  EXPECT_FALSE(find<StepLost>()->began);
  step::Nursery nursery(stepd, dir_.size());
  auto late = nursery.spawn(dir_, launch_.mark);
  ASSERT_TRUE(late.ok());
  waitpid(late->pid, nullptr, 0);
  EXPECT_NE(access((work_ + "/ran").c_str(), F_OK), 0);
}

TEST_F(ShepherdsTest, WhatIsAskedOfOneThatIsGoneIsLeftAlone) {
  shepherds.request(kKey, step::KillRequest{}, now());
  EXPECT_TRUE(news.empty());
  EXPECT_FALSE(shepherds.knows(kKey));
}

// In place of a shepherd a process that does nothing; its socket is the test's.
class FakeShepherd : public ShepherdsTest {
 protected:
  void SetUp() override {
    ShepherdsTest::SetUp();
    ASSERT_TRUE(step::write_launch(env_, dir_, launch_).ok());
    sleeper = fork();
    if (sleeper == 0) {
      execlp("sleep", "sleep", "1000", nullptr);
      _exit(127);
    }
    const auto stat = step::process_stat(sleeper);
    ASSERT_TRUE(stat);
    ASSERT_TRUE(step::claim_start(dir_, {step::boot_id(), sleeper, stat->start_ticks, 0}).ok());
    fakes = std::make_unique<Shepherds>(
        epoll.get(), stepd, [this](wire::AttemptKey) { return dir_; },
        [this](InputBody one) { news.push_back(std::move(one)); });
    fakes->adopt(kKey, now());
    listener.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(dir_.size() + 6, sizeof address.sun_path);
    strcpy(address.sun_path, (dir_ + "/sock").c_str());
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener.get(), 5), 0);
  }
  void TearDown() override {
    fakes.reset();
    kill(sleeper, SIGKILL);
    waitpid(sleeper, nullptr, 0);
    ShepherdsTest::TearDown();
  }
  // The next request on a connection; the fakes' timers go on meanwhile.
  step::Request read(const Fd& conn) {
    pollfd readable{conn.get(), POLLIN, 0};
    EXPECT_TRUE(turn([&] { return poll(&readable, 1, 0) == 1; }));
    char frame[step::kMaxFrame];
    const auto n = recv(conn.get(), frame, sizeof frame, MSG_DONTWAIT);
    auto request = step::decode_request({frame, static_cast<std::size_t>(std::max<ssize_t>(n, 0))});
    EXPECT_TRUE(request.ok());
    return request.ok() ? *request : step::Request(step::QueryRequest{});
  }
  Fd accept() {
    pollfd readable{listener.get(), POLLIN, 0};
    EXPECT_TRUE(turn([&] { return poll(&readable, 1, 0) == 1; }));
    return Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  bool turn(const std::function<bool()>& done) {
    return step::eventually([&] {
      epoll_event events[8];
      const int n = epoll_wait(epoll.get(), events, 8, 0);
      for (int i = 0; i < n; ++i) fakes->on_event(events[i].data.u64, now());
      fakes->on_time(now());
      return done();
    });
  }

  pid_t sleeper = 0;
  std::unique_ptr<Shepherds> fakes;
  Fd listener;
};

TEST_F(FakeShepherd, WhatItDidNotAnswerIsSaidAgainUnlessThatWouldDoItTwice) {
  fakes->request(kKey, step::SignalRequest{SIGUSR1, step::Scope::kAll}, now());
  fakes->request(kKey, step::SetTimeLimitRequest{60}, now());
  fakes->request(kKey, step::TerminateRequest{step::EndReason::kCancelled, "once"}, now());
  {
    const Fd conn = accept();
    EXPECT_TRUE(std::holds_alternative<step::SignalRequest>(read(conn)));
    EXPECT_TRUE(std::holds_alternative<step::SetTimeLimitRequest>(read(conn)));
    const std::string answer = step::encode_reply(step::StateReply{});
    for (int i = 0; i < 1; ++i) ASSERT_GT(send(conn.get(), answer.data(), answer.size(), 0), 0);
    EXPECT_TRUE(std::holds_alternative<step::TerminateRequest>(read(conn)));
  }  // it hangs up, having answered the first
  const Fd again = accept();
  EXPECT_TRUE(std::holds_alternative<step::SetTimeLimitRequest>(read(again)));
  EXPECT_TRUE(std::holds_alternative<step::TerminateRequest>(read(again)));
}

TEST_F(FakeShepherd, AnUnansweredSignalIsNotSentTwice) {
  fakes->request(kKey, step::SignalRequest{SIGUSR1, step::Scope::kAll}, now());
  {
    const Fd conn = accept();
    read(conn);
  }
  fakes->request(kKey, step::QueryRequest{}, now());
  const Fd again = accept();
  EXPECT_TRUE(std::holds_alternative<step::QueryRequest>(read(again)));
}

}  // namespace
}  // namespace bai::agent
