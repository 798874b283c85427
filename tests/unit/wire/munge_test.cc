#include "wire/munge.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "munged.h"

namespace bai::wire {
namespace {

class Munge : public test::WithMunged {};

TEST_F(Munge, round_trip) {
  const std::string payload("a\0b", 3);
  const auto cred = munge_encode(payload, {.socket = munge_socket(), .only_uid = geteuid()});
  ASSERT_TRUE(cred) << cred.error().text();
  const auto c = munge_decode(*cred, {.socket = munge_socket()});
  ASSERT_TRUE(c) << c.error().text();
  EXPECT_EQ(c->payload, payload);
  EXPECT_EQ(c->uid, geteuid());
  EXPECT_EQ(c->gid, getegid());
  EXPECT_EQ(c->only_uid, geteuid());
  EXPECT_TRUE(c->secret);
  EXPECT_FALSE(c->host.empty());
  EXPECT_GT(c->encode_time, 0);
  EXPECT_EQ(c->ttl, 300);
}

TEST_F(Munge, replayed) {
  const auto cred = munge_encode("x", {.socket = munge_socket()});
  ASSERT_TRUE(cred);
  ASSERT_TRUE(munge_decode(*cred, {.socket = munge_socket()}));
  const auto again = munge_decode(*cred, {.socket = munge_socket()});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, "credential_replayed");
  const auto allowed = munge_decode(*cred, {.socket = munge_socket(), .allow_replayed = true});
  ASSERT_TRUE(allowed);
  EXPECT_TRUE(allowed->replayed);
  EXPECT_EQ(allowed->payload, "x");
}

TEST_F(Munge, restricted_to_another_uid) {
  const auto cred = munge_encode("x", {.socket = munge_socket(), .only_uid = geteuid() + 1});
  ASSERT_TRUE(cred);
  const auto c = munge_decode(*cred, {.socket = munge_socket()});
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, "credential_unauthorized");
  EXPECT_NE(c.error().message.find(std::to_string(geteuid())), std::string::npos);
}

TEST_F(Munge, altered) {
  auto cred = munge_encode("x", {.socket = munge_socket()});
  ASSERT_TRUE(cred);
  char& c = (*cred)[cred->size() / 2];
  c = c == 'A' ? 'B' : 'A';
  const auto out = munge_decode(*cred, {.socket = munge_socket()});
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, "credential_invalid");
  EXPECT_EQ(munge_decode("no credential", {.socket = munge_socket()}).error().code, "credential_invalid");
}

TEST_F(Munge, expired_names_both_times) {
  const auto cred = munge_encode("x", {.socket = munge_socket(), .ttl = std::chrono::seconds(1)});
  ASSERT_TRUE(cred);
  Result<Credential> c = munge_decode(*cred, {.socket = munge_socket(), .allow_replayed = true});
  for (int i = 0; i < 1000 && c; ++i) {  // until munged's clock has moved on
    poll(nullptr, 0, 20);
    c = munge_decode(*cred, {.socket = munge_socket(), .allow_replayed = true});
  }
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, "credential_expired");
  EXPECT_NE(c.error().message.find("made on"), std::string::npos);
  EXPECT_NE(c.error().remedy.find("clocks"), std::string::npos);
  const auto allowed = munge_decode(*cred, {.socket = munge_socket(), .allow_expired = true});
  ASSERT_TRUE(allowed);
  EXPECT_TRUE(allowed->expired);
}

TEST_F(Munge, a_stopped_munged_is_named) {
  std::string why;
  auto own = test::Munged::start(why);
  ASSERT_TRUE(own) << why;
  const auto cred = munge_encode("x", {.socket = own->socket()});
  own->stop();
  const auto e = munge_encode("x", {.socket = own->socket()});
  ASSERT_FALSE(e);
  EXPECT_EQ(e.error().code, "munge_unavailable");
  EXPECT_NE(e.error().message.find(own->socket()), std::string::npos);
  EXPECT_NE(e.error().remedy.find("start munged"), std::string::npos);
  const auto d = munge_decode(*cred, {.socket = own->socket()});
  ASSERT_FALSE(d);
  EXPECT_EQ(d.error().code, "munge_unavailable");
}

}  // namespace
}  // namespace bai::wire
