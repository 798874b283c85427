#include "wire/client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "daemon.h"

namespace bai::wire {
namespace {

using test::client_options;
using test::Daemon;
using test::in;

TEST(Endpoint, forms) {
  auto a = resolve_endpoint("127.0.0.1:6817");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->host, "127.0.0.1");
  EXPECT_EQ(a->port, 6817);
  a = resolve_endpoint("[::1]:80");
  ASSERT_TRUE(a);
  EXPECT_TRUE(a->v6);
  EXPECT_EQ(a->host, "::1");
  for (const char* bad : {"", ":", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000",
                          "127.0.0.1:8x", "[x]:1", "::1:80", ":80"}) {
    EXPECT_FALSE(resolve_endpoint(bad, "/nonexistent")) << bad;
  }
}

TEST(Endpoint, hosts_file) {
  char path[] = "/tmp/bai-hosts-XXXXXX";
  const Fd fd(mkstemp(path));
  ASSERT_TRUE(
      write_all(fd.get(), "# 9.9.9.9 head\n10.0.0.1\thead.site  Head # c\n\n::5 six\nnonsense bad\n"));
  EXPECT_EQ(resolve_endpoint("head:1", path)->host, "10.0.0.1");
  EXPECT_EQ(resolve_endpoint("HEAD.site:1", path)->host, "10.0.0.1");
  EXPECT_TRUE(resolve_endpoint("six:1", path)->v6);
  EXPECT_EQ(resolve_endpoint("bad:1", path).error().code, "bad_endpoint");
  EXPECT_NE(resolve_endpoint("nobody:1", path).error().message.find("nobody"), std::string::npos);
  unlink(path);
}

class ClientCall : public test::WithMunged {};

TEST_F(ClientCall, request_and_reply) {
  Daemon d(munge_socket());
  Client c(client_options(d.endpoint(), munge_socket()));
  auto r = c.call([](bool repeat) { return repeat ? "again" : "first"; }, in(20));
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(*r, "re:first");
  EXPECT_EQ(d.callers.at(0).uid, geteuid());
  EXPECT_EQ(d.callers.at(0).role, Role::command);
  // The connection goes on.
  ASSERT_TRUE(c.send("second"));
  auto n = c.next(in(20));
  ASSERT_TRUE(n) << n.error().text();
  EXPECT_EQ(*n, "re:second");
  EXPECT_EQ(c.next(Client::Clock::now()).error().code, "timeout");
}

TEST_F(ClientCall, large_both_ways) {
  Daemon d(munge_socket());
  Client c(client_options(d.endpoint(), munge_socket()));
  const std::string big(5 << 20, 'q');
  auto r = c.call([&](bool) { return big; }, in(60));
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(*r, "re:" + big);
}

TEST_F(ClientCall, stream_of_replies_in_order) {
  Daemon d(munge_socket());
  d.answer = [&](ConnId id, const std::string&) {
    for (int i = 0; i < 500; ++i) d.listener->send(id, std::to_string(i));
    d.listener->close(id);
  };
  Client c(client_options(d.endpoint(), munge_socket()));
  ASSERT_EQ(*c.call([](bool) { return "watch"; }, in(20)), "0");
  for (int i = 1; i < 500; ++i) ASSERT_EQ(*c.next(in(20)), std::to_string(i));
  EXPECT_EQ(c.next(in(20)).error().code, "lost");
}

TEST_F(ClientCall, nobody_there) {
  std::uint16_t port = 0;
  {
    Daemon d(munge_socket());
    port = d.listener->port();
  }
  auto o = client_options("127.0.0.1:" + std::to_string(port), munge_socket());
  std::vector<std::string> notices;
  o.notice = [&](const std::string& text) { notices.push_back(text); };
  auto r = Client(o).call([](bool) { return "x"; }, in(2));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "unreachable");
  EXPECT_NE(r.error().message.find(o.endpoints[0]), std::string::npos);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_NE(notices[0].find("does not answer yet; still trying for"), std::string::npos);
}

TEST_F(ClientCall, comes_up_while_it_tries) {
  std::string endpoint;
  std::uint16_t port = 0;
  {
    Daemon d(munge_socket());
    endpoint = d.endpoint();
    port = d.listener->port();
  }
  std::unique_ptr<Daemon> d;
  auto o = client_options(endpoint, munge_socket());
  o.notice = [&](const std::string&) {
    d = std::make_unique<Daemon>(munge_socket(),
                                 [&](ListenerOptions& l) { l.bind = "127.0.0.1:" + std::to_string(port); });
  };
  auto r = Client(o).call([](bool repeat) { return repeat ? "again" : "first"; }, in(30));
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(*r, "re:first");
}

TEST_F(ClientCall, a_lost_connection_repeats_and_says_so) {
  Daemon d(munge_socket());
  d.answer = [&](ConnId id, const std::string& text) {
    if (text == "first") return d.listener->close(id);
    d.listener->send(id, text);
  };
  auto r = Client(client_options(d.endpoint(), munge_socket()))
               .call([](bool repeat) { return repeat ? "again" : "first"; }, in(20));
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(*r, "again");
}

TEST_F(ClientCall, no_answer_is_an_unknown_outcome) {
  Daemon d(munge_socket());
  d.answer = {};
  auto r = Client(client_options(d.endpoint(), munge_socket())).call([](bool) { return "x"; }, in(1));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "outcome_unknown");
}

TEST_F(ClientCall, refusal_is_told) {
  Daemon d(munge_socket());
  auto o = client_options(d.endpoint(), munge_socket());
  o.hello.daemon_uid = geteuid() + 1;
  auto r = Client(o).call([](bool) { return "x"; }, in(20));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "credential_unauthorized");
  EXPECT_TRUE(d.messages.empty());
}

TEST_F(ClientCall, stopped_munged) {
  Daemon d(munge_socket());
  auto r = Client(client_options(d.endpoint(), "/nonexistent/munge")).call([](bool) { return "x"; }, in(20));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "munge_unavailable");
  // On the daemon's host: told as a hint.
  Daemon d2("/nonexistent/munge");
  r = Client(client_options(d2.endpoint(), munge_socket())).call([](bool) { return "x"; }, in(20));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "munge_unavailable");
  EXPECT_NE(r.error().message.find("unproven"), std::string::npos);
}

TEST_F(ClientCall, many_at_once) {
  Daemon d(munge_socket());
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string text = std::to_string(t * 1000 + i);
        auto r =
            Client(client_options(d.endpoint(), munge_socket())).call([&](bool) { return text; }, in(60));
        if (r && *r == "re:" + text) ++good;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(good, 200);
  EXPECT_TRUE(d.wait([&] { return d.closed.size() == 200; }));
  EXPECT_EQ(d.listener->stats().connections, 0u);
  EXPECT_EQ(d.listener->stats().handshakes, 0u);
  EXPECT_EQ(d.listener->stats().outbound_bytes, 0u);
}

}  // namespace
}  // namespace bai::wire
