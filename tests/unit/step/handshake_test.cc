#include "step/handshake.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step/process.h"
#include "step/stream_link.h"
#include "step/stream_socket.h"
#include "step/task_launch.h"
#include "step/uplink.h"

namespace bai::step {
namespace {

const std::string kKey(kStreamKeyBytes, 'k');

struct Ends {
  Fd dialer, listener;
};
Ends ends() {
  int fds[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  return {Fd(fds[0]), Fd(fds[1])};
}

// Both ends go on until one has failed or both are done.
struct Outcome {
  std::optional<Session> dialer, listener;
  std::string dialer_error, listener_error;
};
Outcome shake(Handshake& a, Handshake& b) {
  Outcome out;
  for (int i = 0; i < 10; ++i) {
    auto go_on = [](Handshake& h, std::optional<Session>& session, std::string& error) {
      if (session || !error.empty()) return;
      auto gone_on = h.go_on();
      if (!gone_on.ok())
        error = gone_on.error().code;
      else if (*gone_on)
        session.emplace(std::move(**gone_on));
    };
    go_on(a, out.dialer, out.dialer_error);
    go_on(b, out.listener, out.listener_error);
  }
  return out;
}
Outcome shake(const std::string& dialer_key, const std::string& listener_key, bool dialer_near = false,
              bool listener_near = false) {
  Ends e = ends();
  Hello hello;
  hello.node_index = 3;
  hello.received = 5;
  Handshake a = Handshake::dial(std::move(e.dialer), hello, dialer_key, dialer_near);
  Handshake b = Handshake::answer(
      std::move(e.listener), listener_key, [](const Hello&) { return 7; }, listener_near);
  return shake(a, b);
}

TEST(Handshake, EndsWithTheSameKeyKnowEachOther) {
  Outcome out = shake(kKey, kKey);
  ASSERT_TRUE(out.dialer && out.listener) << out.dialer_error << out.listener_error;
  EXPECT_EQ(out.listener->hello.node_index, 3u);
  EXPECT_EQ(out.listener->peer_received, 5u);
  EXPECT_EQ(out.dialer->peer_received, 7u);
}

TEST(Handshake, BlocksGoAsTheyAreOnlyBetweenTwoEndsOnOneMachine) {
  for (const bool dialer : {false, true})
    for (const bool listener : {false, true}) {
      Outcome out = shake(kKey, kKey, dialer, listener);
      ASSERT_TRUE(out.dialer && out.listener) << out.dialer_error << out.listener_error;
      for (const Session* s : {&*out.dialer, &*out.listener}) {
        EXPECT_EQ(s->in.plain(), dialer && listener);
        EXPECT_EQ(s->out.plain(), dialer && listener);
      }
    }
  // Whatever a listener with the key may say.
  const std::string hello = encode_hello({});
  Welcome plain;
  plain.cipher = Cipher::kNone;
  const std::string welcome = encode_welcome(plain, hello, kKey);
  EXPECT_TRUE(decode_welcome(welcome, hello, kKey, true).ok());
  EXPECT_EQ(decode_welcome(welcome, hello, kKey, false).error().code, "bad_hello");
}

TEST(Handshake, TheDialerSeesThatTheListenerHasAnotherKey) {
  Outcome out = shake(kKey, std::string(kStreamKeyBytes, 'x'));
  EXPECT_FALSE(out.dialer || out.listener);
  EXPECT_EQ(out.dialer_error, "wrong_key");
}

TEST(Handshake, TheListenerSeesThatTheDialerHasAnotherKey) {
  Ends e = ends();
  Handshake listener = Handshake::answer(std::move(e.listener), kKey, [](const Hello&) { return 0; });
  ASSERT_EQ(write(e.dialer.get(), encode_hello({}).data(), kHelloBytes), static_cast<ssize_t>(kHelloBytes));
  ASSERT_TRUE(listener.go_on().ok());
  const std::string guess(kProofBytes, 'g');
  ASSERT_EQ(write(e.dialer.get(), guess.data(), guess.size()), static_cast<ssize_t>(guess.size()));
  auto gone_on = listener.go_on();
  ASSERT_FALSE(gone_on.ok());
  EXPECT_EQ(gone_on.error().code, "wrong_key");
}

// What one connection said does not open another: the listener's nonce is fresh.
TEST(Handshake, AReplayIsRefused) {
  Ends first = ends();
  Handshake dialer = Handshake::dial(std::move(first.dialer), {}, kKey);
  auto answer = [](Fd fd) { return Handshake::answer(std::move(fd), kKey, [](const Hello&) { return 0; }); };
  // Somebody between the two keeps what passes.
  Ends relay = ends();
  Handshake listener = answer(std::move(relay.listener));
  std::string recorded;
  std::optional<Session> established;
  for (int i = 0; i < 10 && !established; ++i) {
    char bytes[512];
    auto d = dialer.go_on();
    ASSERT_TRUE(d.ok());
    ssize_t n = read(first.listener.get(), bytes, sizeof bytes);
    if (n > 0) {
      recorded.append(bytes, static_cast<size_t>(n));
      ASSERT_EQ(write(relay.dialer.get(), bytes, static_cast<size_t>(n)), n);
    }
    auto l = listener.go_on();
    ASSERT_TRUE(l.ok());
    if (*l) established.emplace(std::move(**l));
    n = read(relay.dialer.get(), bytes, sizeof bytes);
    if (n > 0) {
      ASSERT_EQ(write(first.listener.get(), bytes, static_cast<size_t>(n)), n);
    }
  }
  ASSERT_TRUE(established);
  Ends again = ends();
  Handshake other = answer(std::move(again.listener));
  ASSERT_EQ(write(again.dialer.get(), recorded.data(), recorded.size()),
            static_cast<ssize_t>(recorded.size()));
  auto gone_on = other.go_on();
  ASSERT_FALSE(gone_on.ok());
  EXPECT_EQ(gone_on.error().code, "wrong_key");
}

TEST(Handshake, GarbageAndEarlyEndsAreRefused) {
  for (const std::string& bytes : {std::string(kHelloBytes, 'g'), std::string(10, 'x'), std::string()}) {
    Ends e = ends();
    Handshake listener = Handshake::answer(std::move(e.listener), kKey, [](const Hello&) { return 0; });
    ASSERT_EQ(write(e.dialer.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    e.dialer.reset();
    auto gone_on = listener.go_on();
    ASSERT_FALSE(gone_on.ok());
    EXPECT_EQ(gone_on.error().code, bytes.size() == kHelloBytes ? "bad_hello" : "gone");
  }
}

TEST(Sealer, BindsABlockToItsPlaceItsHeadAndItsDirection) {
  for (Cipher cipher : {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm}) {
    if (cipher == Cipher::kAes256Gcm && best_cipher(false) != cipher) continue;
    auto sealer = [&](Sealer::Direction d) { return Sealer(cipher, d, "hello", "welcome", kKey); };
    auto to = Sealer::Direction::kToListener;
    Sealer out = sealer(to);
    std::string first(4 + kMaxSeal, '\0'), second = first;
    out.seal("head", "1111", first.data());
    out.seal("head", "2222", second.data());
    auto opens = [&](Sealer in, std::string bytes, const char* head) {
      return in.open(head, bytes.data(), bytes.size());
    };
    EXPECT_TRUE(opens(sealer(to), first, "head"));
    EXPECT_FALSE(opens(sealer(to), second, "head"));  // out of order
    EXPECT_FALSE(opens(sealer(to), first, "hood"));
    EXPECT_FALSE(opens(sealer(Sealer::Direction::kToDialer), first, "head"));
    EXPECT_FALSE(opens(Sealer(cipher, to, "hello", "other", kKey), first, "head"));
    for (char& c : first) {
      c ^= 1;
      EXPECT_FALSE(opens(sealer(to), first, "head"));
      c ^= 1;
    }
    Sealer in = sealer(to);
    EXPECT_TRUE(in.open("head", first.data(), first.size()));
    EXPECT_EQ(first.substr(0, 4), "1111");
    EXPECT_TRUE(in.open("head", second.data(), second.size()));
  }
}

// The name is there for all to see, on this machine; on another one it would be another.
TEST(Near, OnlyTheUsersListenerIsReachedAndOnlyTheUserOrRootMayCall) {
  const std::string name = near_name(kKey, "a boot");
  EXPECT_NE(name, near_name(kKey, "another boot"));
  EXPECT_NE(name, near_name(std::string(kStreamKeyBytes, 'x'), "a boot"));
  auto listener = listen_near(name);
  ASSERT_TRUE(listener.ok());
  EXPECT_FALSE(connect_near(name, geteuid() + 1));
  EXPECT_FALSE(connect_near(near_name(kKey, "another boot"), geteuid()));
  const Fd own = connect_near(name, geteuid());
  EXPECT_TRUE(own);
  const auto accepted = [&] { return Fd(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC)); };
  (void)accepted();  // the one that saw whose it is, and left
  EXPECT_TRUE(may_call_near(accepted().get()));
  if (geteuid() != 0) return;
  const pid_t other = fork();
  if (other == 0) _exit(setuid(65534) == 0 && connect_near(name, 0) ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(other, &status, 0), other);
  ASSERT_EQ(status, 0);
  EXPECT_FALSE(may_call_near(accepted().get()));
}

TEST(Near, AnotherUsersListenerIsPassedByForTheAddress) {
  auto near = listen_near(near_name(kKey, boot_id()));
  auto far = listen_any(true);
  ASSERT_TRUE(near.ok() && far.ok());
  const std::vector<std::string> addresses = {endpoint_text("127.0.0.1", far->port)};
  const auto called = [](const Fd& fd, int patience_ms) {
    pollfd p{fd.get(), POLLIN, 0};
    return poll(&p, 1, patience_ms) == 1 && Fd(accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  };
  Uplink mine(addresses, kKey, LinkKind::kClient, 0, geteuid(), 0);
  EXPECT_TRUE(called(*near, 0));
  EXPECT_FALSE(called(far->fd, 0));
  Uplink theirs(addresses, kKey, LinkKind::kClient, 0, geteuid() + 1, 0);
  EXPECT_TRUE(called(far->fd, 10'000));
  Uplink peer(addresses, kKey, LinkKind::kPeer, 0, geteuid(), 0);
  EXPECT_TRUE(called(far->fd, 10'000));
}

// Two links whose connections are cut again and again, or were made anew before the last was given up.
class StreamLinks : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(, StreamLinks, testing::Bool(),
                         [](const auto& info) { return std::string(info.param ? "near" : "far"); });

TEST_P(StreamLinks, BringEachFrameOnceAndInOrderOverBrokenConnections) {
  const bool near = GetParam();
  StreamLink a, b;
  uint32_t said = 0, heard = 0;
  uint64_t state = 1;
  auto random = [&](uint32_t n) {
    return static_cast<uint32_t>((state = state * 6364136223846793005u + 1442695040888963407u) >> 33) % n;
  };
  auto hears = [&] {
    EXPECT_TRUE(b.serve(POLLIN | POLLOUT, [&](const Frame& f) { EXPECT_EQ(f.task, heard++); }).ok());
  };
  auto meet = [&](bool late) {
    Ends e = ends();
    Hello hello;
    hello.received = a.received();
    Handshake ha = Handshake::dial(std::move(e.dialer), hello, kKey, near);
    Handshake hb = Handshake::answer(
        std::move(e.listener), kKey, [&](const Hello&) { return b.received(); }, near);
    Outcome out = shake(ha, hb);
    if (late && b.connected()) hears();  // over the last connection, after it was said how much had come
    ASSERT_TRUE(out.dialer && out.listener);
    ASSERT_TRUE(a.connect(std::move(*out.dialer)));
    ASSERT_TRUE(b.connect(std::move(*out.listener)));
  };
  for (int round = 0; round < 300; ++round) {
    meet(random(2) == 0);
    for (uint32_t turn = random(8); turn > 0; --turn) {
      for (uint32_t n = random(5); n > 0 && a.room(); --n)
        a.put(FrameType::kOutput, 1, said++, std::string(random(40'000), 'x'));
      // Each side does its part or not, so that bytes are lost on the way when the connection goes.
      if (random(4) != 0) {
        EXPECT_TRUE(a.serve(POLLIN | POLLOUT, [](const Frame&) {}).ok());
      }
      if (random(4) != 0) hears();
    }
    if (random(2) == 0) continue;  // the next connection takes its place
    a.disconnect();
    b.disconnect();
  }
  EXPECT_GT(heard, 200u);
  EXPECT_GE(said, heard);
  // Over a connection that lasts all comes and is acknowledged.
  auto finish = [&] {
    for (int turn = 0; turn < 1000 && !a.flushed(); ++turn) {
      EXPECT_TRUE(a.serve(POLLIN | POLLOUT, [](const Frame&) {}).ok());
      hears();
    }
  };
  meet(false);
  finish();
  // Also what came twice, and nothing after it.
  a.put(FrameType::kOutput, 1, said++, "the last");
  EXPECT_TRUE(a.flush().ok());
  meet(true);
  EXPECT_EQ(said, heard);
  finish();
  EXPECT_EQ(said, heard);
  EXPECT_TRUE(a.flushed());
}

// Its bytes are read from where they lie until the last has gone.
TEST(StreamLink, ABlockThatIsBeingWrittenIsKeptWhateverIsAcknowledged) {
  Outcome out = shake(kKey, kKey, true, true);
  ASSERT_TRUE(out.dialer && out.listener);
  out.listener->peer_received = 0;
  StreamLink link;
  ASSERT_TRUE(link.connect(std::move(*out.listener)));
  const std::string text(kMaxPayload, 'x');
  int blocks = 0;
  while ((link.events(true) & POLLOUT) == 0) {  // until the socket takes no more
    link.put(FrameType::kOutput, 1, 0, text);
    ++blocks;
    ASSERT_TRUE(link.flush().ok());
  }
  ASSERT_GT(blocks, 1);
  Block block(64);
  block.put({FrameType::kNote, 0, 0, "x"});
  std::string record(kRecordHead, '\0');
  encode_head({static_cast<uint32_t>(block.size()), 0, static_cast<uint64_t>(blocks)}, record.data());
  record += block.view();
  ASSERT_EQ(write(out.dialer->fd.get(), record.data(), record.size()), static_cast<ssize_t>(record.size()));
  ASSERT_TRUE(link.serve(POLLIN, [](const Frame&) {}).ok());
  EXPECT_EQ(link.kept(), kFrameHead + text.size());
}

TEST(StreamLink, RefusesWhatBreaksTheRules) {
  auto fresh = [](StreamLink* link, std::optional<Session>* other) {
    Outcome out = shake(kKey, kKey);
    out.listener->peer_received = 0;
    EXPECT_TRUE(link->connect(std::move(*out.listener)));
    other->emplace(std::move(*out.dialer));
  };
  auto give = [](Session& s, RecordHead head, const std::string& block, bool spoil = false) {
    std::string record(kRecordHead + block.size() + kMaxSeal, '\0');
    encode_head(head, record.data());
    s.out.seal({record.data(), kRecordHead}, block, record.data() + kRecordHead);
    if (spoil) record.back() ^= 1;
    EXPECT_EQ(write(s.fd.get(), record.data(), record.size()), static_cast<ssize_t>(record.size()));
  };
  Block block(64);
  block.put({FrameType::kNote, 0, 0, "x"});
  const std::string good(block.view());
  std::string beyond = good;
  beyond[0] = 100;
  const auto length = static_cast<uint32_t>(good.size() + kMaxSeal);
  struct Case {
    RecordHead head;
    std::string block;
    bool spoil;
    const char* code;
  };
  const Case cases[] = {{{length, 0, 0}, good, false, ""},
                        {{length, 0, 0}, good, true, "bad_record"},
                        {{length, 1, 0}, good, false, "bad_record"},  // one is missing
                        {{length, 0, 9}, good, false, "bad_record"},  // acknowledges what was not sent
                        {{length, 0, 0}, beyond, false, "bad_frame"},
                        {{1u << 30, 0, 0}, good, false, "bad_record"},  // before anything is allocated
                        {{3, 0, 0}, good, false, "bad_record"}};
  for (const Case& c : cases) {
    StreamLink link;
    std::optional<Session> other;
    fresh(&link, &other);
    give(*other, c.head, c.block, c.spoil);
    auto served = link.serve(POLLIN, [](const Frame&) {});
    EXPECT_EQ(served.ok() ? "" : served.error().code, c.code);
    EXPECT_EQ(link.connected(), served.ok());
  }
}

}  // namespace
}  // namespace bai::step
