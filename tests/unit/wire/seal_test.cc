#include "wire/seal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "munged.h"

namespace bai::wire {
namespace {

class Session : public test::WithMunged {
 protected:
  static HelloOptions caller() {
    return {.munge_socket = munge_socket(),
            .daemon_uid = geteuid(),
            .role = Role::agent,
            .name = "n1",
            .daemon_name = "c"};
  }
  static DaemonIdentity daemon() {
    return {.munge_socket = munge_socket(), .name = "c", .cluster_uuid = "u-1"};
  }

  struct Ends {
    ClientSession client;
    DaemonSession daemon;
  };
  static Ends open() {
    auto c = ClientSession::begin(caller());
    EXPECT_TRUE(c) << c.error().text();
    auto d = DaemonSession::accept(daemon(), c->hello());
    EXPECT_TRUE(d) << d.error().text();
    EXPECT_FALSE(d->early);
    auto first = c->open(d->session.seal(""));
    EXPECT_TRUE(first) << first.error().text();
    EXPECT_FALSE(*first);
    return {std::move(*c), std::move(d->session)};
  }
};

TEST_F(Session, early_request_and_reply) {
  auto c = ClientSession::begin(caller(), "request");
  ASSERT_TRUE(c) << c.error().text();
  auto d = DaemonSession::accept(daemon(), c->hello());
  ASSERT_TRUE(d) << d.error().text();
  EXPECT_EQ(d->early, "request");
  EXPECT_EQ(d->caller.uid, geteuid());
  EXPECT_EQ(d->caller.gid, getegid());
  EXPECT_EQ(d->caller.role, Role::agent);
  EXPECT_EQ(d->caller.name, "n1");
  EXPECT_EQ(d->caller.version, kProtocolMax);
  EXPECT_LT(d->caller.credential_age.count(), 60);
  auto r = c->open(d->session.seal("reply"));
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(*r, "reply");
  EXPECT_TRUE(c->established());
  EXPECT_EQ(*d->session.open({c->seal("more")}), "more");
  EXPECT_EQ(**c->open(d->session.seal("even more")), "even more");
}

TEST_F(Session, hello_is_not_readable_on_the_wire) {
  auto c = ClientSession::begin(caller(), "my secret request");
  ASSERT_TRUE(c);
  for (const auto& part : c->hello()) EXPECT_EQ(part.find("secret"), std::string::npos);
}

TEST_F(Session, replayed_hello) {
  auto c = ClientSession::begin(caller(), "x");
  ASSERT_TRUE(c);
  ASSERT_TRUE(DaemonSession::accept(daemon(), c->hello()));
  auto again = DaemonSession::accept(daemon(), c->hello());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, "credential_replayed");
}

TEST_F(Session, hello_for_another) {
  auto options = caller();
  options.daemon_uid = geteuid() + 1;
  EXPECT_EQ(DaemonSession::accept(daemon(), ClientSession::begin(options)->hello()).error().code,
            "credential_unauthorized");
  options = caller();
  options.daemon_name = "other";
  EXPECT_EQ(DaemonSession::accept(daemon(), ClientSession::begin(options)->hello()).error().code,
            "wrong_daemon");
  options = caller();
  options.daemon_role = Role::step;
  EXPECT_EQ(DaemonSession::accept(daemon(), ClientSession::begin(options)->hello()).error().code,
            "wrong_daemon");
  options = caller();
  options.cluster_uuid = "u-2";
  EXPECT_EQ(DaemonSession::accept(daemon(), ClientSession::begin(options)->hello()).error().code,
            "wrong_cluster");
}

TEST_F(Session, bad_hellos) {
  const auto code = [](const Parts& hello) { return DaemonSession::accept(daemon(), hello).error().code; };
  EXPECT_EQ(code({}), "bad_hello");
  EXPECT_EQ(code({"x"}), "bad_hello");
  EXPECT_EQ(code({"BAI\x01\x01"}), "bad_hello");
  EXPECT_EQ(code({"BAI\x01\x01", ""}), "bad_hello");
  EXPECT_EQ(code({"BAI\x01\x01", std::string(100000, 'x')}), "bad_hello");
  EXPECT_EQ(code({"BAI\x01\x01", "MUNGE:x:"}), "credential_invalid");
  EXPECT_EQ(code({"BAI\x07\x09", "MUNGE:x:"}), "version");
  auto c = ClientSession::begin(caller(), "x");
  Parts hello = c->hello();
  hello[0] = "BAI\x01\x02";
  EXPECT_EQ(code(hello), "bad_hello");  // changed on the way
  c = ClientSession::begin(caller(), "x");
  hello = c->hello();
  hello[2].back() = static_cast<char>(hello[2].back() ^ 1);
  EXPECT_EQ(code(hello), "seal");
  // Credentials of the right user, made for something else or readable by anyone.
  EXPECT_EQ(code({"BAI\x01\x01", *munge_encode("a job", {.socket = munge_socket(), .only_uid = geteuid()})}),
            "bad_hello");
  EXPECT_EQ(code({"BAI\x01\x01", *munge_encode("a job", {.socket = munge_socket()})}), "bad_hello");
}

TEST_F(Session, order_is_kept) {
  auto [c, d] = open();
  const std::string one = c.seal("1"), two = c.seal("2"), three = c.seal("3");
  EXPECT_EQ(*d.open({one}), "1");
  EXPECT_FALSE(d.open({three}));
  EXPECT_FALSE(d.open({two}));  // nothing counts after a failure
}

TEST_F(Session, repeated_altered_reflected) {
  {
    auto [c, d] = open();
    const std::string one = c.seal("1");
    ASSERT_TRUE(d.open({one}));
    EXPECT_FALSE(d.open({one}));
  }
  {
    auto [c, d] = open();
    std::string one = c.seal("1");
    one[30] = static_cast<char>(one[30] ^ 1);
    EXPECT_FALSE(d.open({one}));
  }
  {
    auto [c, d] = open();
    EXPECT_FALSE(c.open({c.seal("1")}));
  }
  {
    auto [c, d] = open();
    auto [c2, d2] = open();
    EXPECT_FALSE(d2.open({c.seal("1")}));
    EXPECT_FALSE(d.open({""}));
  }
  {
    auto [c, d] = open();
    EXPECT_FALSE(d.open({c.seal("1"), "x"}));
  }
}

TEST_F(Session, a_welcome_from_somebody_else) {
  auto c = ClientSession::begin(caller(), "x");
  auto other = ClientSession::begin(caller(), "x");
  auto d = DaemonSession::accept(daemon(), other->hello());
  ASSERT_TRUE(d);
  auto r = c->open(d->session.seal("reply"));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "seal");
  EXPECT_FALSE(c->open({"x"}));
}

TEST_F(Session, refusal_is_bounded_and_clean) {
  const Parts p = make_refusal(Error{"busy", "no\x1b[2J" + std::string(10000, 'x')});
  EXPECT_LE(p[2].size(), 512u);
  EXPECT_EQ(p[2].find('\x1b'), std::string::npos);
  auto c = ClientSession::begin(caller());
  auto r = c->open({"BAI-ERR", "Bad Code\n", "a\nb" + std::string(10000, 'x')});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "refused");
  EXPECT_EQ(r.error().message.find('\n'), std::string::npos);
  EXPECT_LT(r.error().message.size(), 600u);
  EXPECT_EQ(c->open(p).error().code, "busy");
}

}  // namespace
}  // namespace bai::wire
