#include "wire/local.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "daemon.h"

namespace bai::wire {
namespace {

using test::client_options;
using test::Daemon;
using test::dial;
using test::in;

// Names of the abstract space that no other test has.
std::string endpoint(const char* name) { return std::string(name) + "." + std::to_string(getpid()) + ":1"; }

TEST(Local, is_found_by_its_name_and_user_only) {
  const auto listening = listen_local(endpoint("a"), 8);
  ASSERT_TRUE(listening) << listening.error().text();
  EXPECT_TRUE(connect_local(endpoint("a"), geteuid()));
  EXPECT_FALSE(connect_local(endpoint("a"), geteuid() + 1)) << "another user's must not be spoken to";
  EXPECT_FALSE(connect_local(endpoint("b"), geteuid()));
}

TEST(Local, one_listener_a_name) {
  auto first = listen_local(endpoint("a"), 8);
  ASSERT_TRUE(first);
  EXPECT_EQ(listen_local(endpoint("a"), 8).error().code, "bind");
  first->reset();
  EXPECT_TRUE(listen_local(endpoint("a"), 8)) << "the name is free when the listener is gone";
}

TEST(Local, a_name_too_long_is_refused) {
  const std::string longest(108 - 1 - 4, 'x');
  EXPECT_TRUE(listen_local(longest, 8));
  EXPECT_EQ(listen_local(longest + "x", 8).error().code, "bind");
  EXPECT_FALSE(connect_local(longest + "x", geteuid()));
}

class LocalCall : public test::WithMunged {};

TEST_F(LocalCall, goes_without_tcp) {
  const std::string name =
      "127.0.0.1:" + std::to_string(getpid() % 1000 + 1);  // privileged: nobody's TCP port here
  Daemon d(munge_socket(), [&](ListenerOptions& o) { o.local = name; });
  ASSERT_FALSE(dial(static_cast<std::uint16_t>(getpid() % 1000 + 1)));
  Client c(client_options(name, munge_socket()));
  auto r = c.call([](bool) { return "near"; }, in(20));
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(*r, "re:near");
  EXPECT_EQ(d.callers.at(0).uid, geteuid());
  ASSERT_TRUE(c.send("more"));
  EXPECT_EQ(*c.next(in(20)), "re:more");
}

TEST_F(LocalCall, falls_back_to_tcp) {
  Daemon d(munge_socket());
  auto broken = listen_local(d.endpoint(), 8);
  ASSERT_TRUE(broken);
  std::thread closes([&] {
    pollfd p{broken->get(), POLLIN, 0};
    if (poll(&p, 1, 20000) == 1) Fd(accept4(broken->get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
  });
  Client c(client_options(d.endpoint(), munge_socket()));
  auto r = c.call([](bool) { return "far"; }, in(20));
  closes.join();
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(*r, "re:far");
}

TEST_F(LocalCall, a_taken_name_does_not_keep_the_daemon_from_its_port) {
  const auto squatter = listen_local(endpoint("d"), 8);
  Daemon d(munge_socket(), [&](ListenerOptions& o) { o.local = endpoint("d"); });
  Client c(client_options(d.endpoint(), munge_socket()));
  EXPECT_EQ(*c.call([](bool) { return "x"; }, in(20)), "re:x");
}

}  // namespace
}  // namespace bai::wire
