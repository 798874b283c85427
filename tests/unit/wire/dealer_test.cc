#include "wire/dealer.h"

#include <gtest/gtest.h>

#include "daemon.h"

namespace bai::wire {
namespace {

using test::Daemon;

class WithDealer : public test::WithMunged {
 protected:
  static DealerOptions options(const std::string& endpoint) {
    DealerOptions o;
    o.endpoints = {endpoint};
    o.hello = {.munge_socket = munge_socket(),
               .daemon_uid = geteuid(),
               .role = Role::agent,
               .name = "n1",
               .daemon_name = "c"};
    o.retry_min = std::chrono::milliseconds(10);
    o.retry_max = std::chrono::milliseconds(50);
    return o;
  }

  // Runs the dealer as its owner would, until `done` accepts an event.
  static bool run(Dealer& dealer, const std::function<bool(const DealerEvent&)>& done) {
    const auto end = test::in(20);
    for (;;) {
      bool found = false;
      for (const auto& e : dealer.step()) found = done(e) || found;
      if (found) return true;
      const auto now = Dealer::Clock::now();
      if (now > end) return false;
      const auto next = std::min(dealer.next_deadline().value_or(end), end);
      const auto ms = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
      pollfd p{dealer.fd(), POLLIN, 0};
      poll(&p, 1, static_cast<int>(std::max<std::int64_t>(0, std::min<std::int64_t>(ms, 20000))));
    }
  }
  static bool is_connected(const DealerEvent& e) { return std::holds_alternative<DealerConnected>(e); }
  static bool is_lost(const DealerEvent& e) { return std::holds_alternative<DealerLost>(e); }
};

TEST_F(WithDealer, connects_and_talks) {
  Daemon d(munge_socket());
  Dealer dealer(options(d.endpoint()));
  EXPECT_FALSE(dealer.send("too early"));
  ASSERT_TRUE(run(dealer, is_connected));
  EXPECT_TRUE(dealer.connected());
  EXPECT_TRUE(d.wait([&] { return d.opened.size() == 1; }));
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(dealer.send(std::to_string(i)));
  int got = 0;
  ASSERT_TRUE(run(dealer, [&](const DealerEvent& e) {
    if (const auto* m = std::get_if<DealerMessage>(&e)) {
      EXPECT_EQ(m->bytes, "re:" + std::to_string(got++));
    }
    return got == 300;
  }));
  ASSERT_TRUE(d.wait([&] { return d.callers.size() == 300; }));  // also for its lock
  EXPECT_EQ(d.callers.at(0).role, Role::agent);
  EXPECT_EQ(d.callers.at(0).name, "n1");
}

TEST_F(WithDealer, daemon_may_speak_first) {
  Daemon d(munge_socket());
  Dealer dealer(options(d.endpoint()));
  ASSERT_TRUE(run(dealer, is_connected));
  ASSERT_TRUE(d.wait([&] { return d.opened.size() == 1; }));
  ASSERT_TRUE(d.listener->send(d.opened[0], std::string(3 << 20, 'x')));
  EXPECT_TRUE(run(dealer, [](const DealerEvent& e) {
    const auto* m = std::get_if<DealerMessage>(&e);
    return m != nullptr && m->bytes.size() == (3u << 20);
  }));
}

TEST_F(WithDealer, comes_back_after_the_daemon_was_away) {
  auto d = std::make_unique<Daemon>(munge_socket());
  const std::string bind = d->endpoint();
  Dealer dealer(options(bind));
  ASSERT_TRUE(run(dealer, is_connected));
  d.reset();
  ASSERT_TRUE(run(dealer, is_lost));
  EXPECT_FALSE(dealer.connected());
  ASSERT_TRUE(run(dealer, is_lost));  // a try in vain
  d = std::make_unique<Daemon>(munge_socket(), [&](ListenerOptions& o) { o.bind = bind; });
  ASSERT_TRUE(run(dealer, is_connected));
  ASSERT_TRUE(dealer.send("again"));
  EXPECT_TRUE(run(dealer, [](const DealerEvent& e) { return std::holds_alternative<DealerMessage>(e); }));
}

TEST_F(WithDealer, closed_by_the_daemon_and_on_demand) {
  Daemon d(munge_socket());
  Dealer dealer(options(d.endpoint()));
  ASSERT_TRUE(run(dealer, is_connected));
  ASSERT_TRUE(d.wait([&] { return d.opened.size() == 1; }));
  d.listener->close(d.opened[0]);
  ASSERT_TRUE(run(dealer, is_lost));
  ASSERT_TRUE(run(dealer, is_connected));
  dealer.reconnect();
  EXPECT_FALSE(dealer.connected());
  ASSERT_TRUE(run(dealer, is_connected));
  EXPECT_TRUE(d.wait([&] { return d.opened.size() == 3 && d.closed.size() == 2; }));
}

TEST_F(WithDealer, refusals_are_told_and_tried_again) {
  Daemon d(munge_socket());
  auto o = options(d.endpoint());
  o.hello.daemon_name = "other";
  Dealer dealer(o);
  for (int i = 0; i < 2; ++i) {
    Error why;
    ASSERT_TRUE(run(dealer, [&](const DealerEvent& e) {
      if (const auto* lost = std::get_if<DealerLost>(&e)) why = lost->reason;
      return is_lost(e);
    }));
    EXPECT_EQ(why.code, "wrong_daemon");
  }
}

TEST_F(WithDealer, keeps_alive_by_pings) {
  Daemon d(munge_socket());
  auto o = options(d.endpoint());
  o.heartbeat = std::chrono::milliseconds(20);
  Dealer dealer(o);
  ASSERT_TRUE(run(dealer, is_connected));
  const auto before = d.listener->stats().bytes_in;
  ASSERT_TRUE(d.wait([&] { return d.listener->stats().bytes_in > before + 100; }));  // several pings
  ASSERT_TRUE(dealer.send("x"));
  EXPECT_TRUE(run(dealer, [](const DealerEvent& e) { return std::holds_alternative<DealerMessage>(e); }));
}

}  // namespace
}  // namespace bai::wire
