#include "wire/fleet.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <map>
#include <set>

#include "daemon.h"

namespace bai::wire {
namespace {

using test::Daemon;

class WithFleet : public test::WithMunged {
 protected:
  static FleetOptions options(const std::string& endpoint) {
    FleetOptions o;
    o.endpoints = {endpoint};
    o.hello = {
        .munge_socket = munge_socket(), .daemon_uid = geteuid(), .role = Role::agent, .daemon_name = "c"};
    o.retry_min = std::chrono::milliseconds(10);
    o.retry_max = std::chrono::milliseconds(50);
    return o;
  }
  static std::unique_ptr<Fleet> start(FleetOptions options, std::size_t members) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < members; ++i) names.push_back("n" + std::to_string(i));
    auto fleet = Fleet::start(std::move(options), std::move(names));
    EXPECT_TRUE(fleet) << fleet.error().text();
    return fleet ? std::move(*fleet) : nullptr;
  }

  // Runs the fleet as its owner would, until `done` says so.
  static bool run(Fleet& fleet, const std::function<bool()>& done, const Fleet::OnEvent& on_event = {}) {
    const auto end = test::in(20);
    for (;;) {
      fleet.step(Fleet::Clock::now(), [&](std::size_t member, DealerEvent event) {
        if (on_event) on_event(member, std::move(event));
      });
      if (done()) return true;
      const auto now = Fleet::Clock::now();
      if (now > end) return false;
      const auto next = std::min(fleet.next_deadline().value_or(end), end);
      const auto ms = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
      pollfd p{fleet.fd(), POLLIN, 0};
      poll(&p, 1, static_cast<int>(std::clamp<std::int64_t>(ms, 0, 20'000)));
    }
  }
};

TEST_F(WithFleet, every_member_has_a_session_of_its_own) {
  Daemon d(munge_socket());
  auto fleet = start(options(d.endpoint()), 100);
  EXPECT_FALSE(fleet->send(3, "too early"));
  ASSERT_TRUE(run(*fleet, [&] { return fleet->connected() == 100; }));
  for (int round = 0; round < 5; ++round)
    for (std::size_t i = 0; i < 100; ++i) ASSERT_TRUE(fleet->send(i, std::to_string(round)));
  std::map<std::size_t, int> next;
  int got = 0;
  ASSERT_TRUE(run(
      *fleet, [&] { return got == 500; },
      [&](std::size_t member, const DealerEvent& e) {
        const auto* m = std::get_if<DealerMessage>(&e);
        if (!m) return;
        ++got;
        EXPECT_EQ(m->bytes, "re:" + std::to_string(next[member]++));
      }));
  std::set<std::string> names;
  for (const auto& caller : d.callers) names.insert(caller.name);
  EXPECT_EQ(names.size(), 100u);
  EXPECT_EQ(d.callers.at(0).role, Role::agent);
}

// To a daemon that takes connections and says nothing.
TEST_F(WithFleet, hellos_go_out_a_few_at_a_time_and_one_by_one_after_a_failure) {
  const Fd listening(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(listen(listening.get(), 64), 0);
  getsockname(listening.get(), reinterpret_cast<sockaddr*>(&at), &size);
  auto o = options("127.0.0.1:" + std::to_string(ntohs(at.sin_port)));
  o.at_once = 4;
  o.handshake_time = std::chrono::milliseconds(1000);
  auto fleet = start(o, 50);
  std::vector<Fd> accepted;
  const auto callers = [&] {
    for (Fd fd; (fd = Fd(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC)));)
      accepted.push_back(std::move(fd));
    return accepted.size();
  };
  ASSERT_TRUE(run(*fleet, [&] { return callers() >= 4; }));
  EXPECT_GT(*fleet->next_deadline(), Fleet::Clock::now());  // nobody else is due
  std::size_t lost = 0;
  ASSERT_TRUE(run(
      *fleet, [&] { return lost == 4; },
      [&](std::size_t, const DealerEvent& e) { lost += std::holds_alternative<DealerLost>(e); }));
  EXPECT_EQ(callers(), 4u);
  ASSERT_TRUE(run(*fleet, [&] { return callers() >= 5; }));
  ASSERT_TRUE(run(
      *fleet, [&] { return lost == 5; },
      [&](std::size_t, const DealerEvent& e) { lost += std::holds_alternative<DealerLost>(e); }));
  EXPECT_EQ(callers(), 5u);
}

TEST_F(WithFleet, one_looks_for_a_daemon_that_is_away_and_all_come_back) {
  auto d = std::make_unique<Daemon>(munge_socket());
  const std::string bind = d->endpoint();
  auto fleet = start(options(bind), 50);
  ASSERT_TRUE(run(*fleet, [&] { return fleet->connected() == 50; }));
  d.reset();
  int lost = 0, tries = 0;
  const auto count = [&](std::size_t, const DealerEvent& e) {
    const auto* event = std::get_if<DealerLost>(&e);
    if (!event) return;
    ++lost;
    tries += event->reason.code == "unreachable";
  };
  ASSERT_TRUE(run(
      *fleet, [&] { return tries >= 5; }, count));
  EXPECT_EQ(fleet->connected(), 0u);
  EXPECT_EQ(lost, 50 + tries);
  d = std::make_unique<Daemon>(munge_socket(), [&](ListenerOptions& o) { o.bind = bind; });
  ASSERT_TRUE(run(*fleet, [&] { return fleet->connected() == 50; }));
  EXPECT_TRUE(fleet->send(7, "again"));
  EXPECT_TRUE(d->wait([&] { return d->messages.size() == 1; }));
}

TEST_F(WithFleet, one_that_is_closed_dials_again_and_the_others_stay) {
  Daemon d(munge_socket());
  auto fleet = start(options(d.endpoint()), 3);
  ASSERT_TRUE(run(*fleet, [&] { return fleet->connected() == 3; }));
  ASSERT_TRUE(d.wait([&] { return d.opened.size() == 3; }));
  std::vector<std::size_t> lost, back;
  const auto note = [&](std::size_t member, const DealerEvent& e) {
    if (std::holds_alternative<DealerLost>(e)) lost.push_back(member);
    if (std::holds_alternative<DealerConnected>(e)) back.push_back(member);
  };
  d.listener->close(d.opened[0]);
  ASSERT_TRUE(run(
      *fleet, [&] { return back.size() == 1; }, note));
  EXPECT_EQ(lost, back);
  const std::size_t other = (back[0] + 1) % 3;
  fleet->reconnect(other);
  EXPECT_FALSE(fleet->connected(other));
  ASSERT_TRUE(run(
      *fleet, [&] { return back.size() == 2; }, note));
  EXPECT_EQ(back[1], other);
  EXPECT_TRUE(d.wait([&] { return d.opened.size() == 5 && d.closed.size() == 2; }));
}

TEST_F(WithFleet, refusals_are_told) {
  Daemon d(munge_socket());
  auto o = options(d.endpoint());
  o.hello.daemon_name = "other";
  auto fleet = start(o, 2);
  Error why;
  ASSERT_TRUE(run(
      *fleet, [&] { return !why.code.empty(); },
      [&](std::size_t, const DealerEvent& e) {
        if (const auto* lost = std::get_if<DealerLost>(&e)) why = lost->reason;
      }));
  EXPECT_EQ(why.code, "wrong_daemon");
}

TEST_F(WithFleet, large_messages_both_ways) {
  Daemon d(munge_socket());
  auto fleet = start(options(d.endpoint()), 2);
  ASSERT_TRUE(run(*fleet, [&] { return fleet->connected() == 2; }));
  const std::string large(8 << 20, 'x');
  ASSERT_TRUE(fleet->send(0, large));
  std::size_t got = 0;
  ASSERT_TRUE(run(
      *fleet, [&] { return got != 0; },
      [&](std::size_t, const DealerEvent& e) {
        if (const auto* m = std::get_if<DealerMessage>(&e)) got = m->bytes.size();
      }));
  EXPECT_EQ(got, large.size() + 3);
}

TEST(Fleet, says_what_it_needs) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  FleetOptions o;
  o.endpoints = {"127.0.0.1:1"};
  auto fleet = Fleet::start(o, std::vector<std::string>(limit.rlim_max, "n"));
  ASSERT_FALSE(fleet);
  EXPECT_EQ(fleet.error().code, "too_many_files");
  o.endpoints = {"nowhere.invalid:1"};
  EXPECT_EQ(Fleet::start(o, {"n"}).error().code, "bad_endpoint");
}

}  // namespace
}  // namespace bai::wire
