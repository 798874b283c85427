#include "wire/zmtp.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zmq.hpp>

#include "base/fd.h"

namespace bai::wire {
namespace {

using Got = ZmtpDecoder::Got;

std::string stream(const Parts& message, std::string_view type = "DEALER") {
  std::string out = zmtp_greeting() + zmtp_ready(type);
  zmtp_append(out, message);
  return out;
}

TEST(Zmtp, greeting_is_64_bytes) {
  const std::string g = zmtp_greeting();
  ASSERT_EQ(g.size(), 64u);
  EXPECT_EQ(g[0], '\xff');
  EXPECT_EQ(g[9], '\x7f');
  EXPECT_EQ(g[10], 3);
  EXPECT_EQ(g.substr(12, 4), "NULL");
}

TEST(Zmtp, decodes_byte_by_byte) {
  const Parts in = {"a", "", std::string(300, 'x')};
  ZmtpDecoder d;
  int messages = 0;
  for (const char c : stream(in)) {
    d.feed({&c, 1});
    Parts out;
    const auto got = d.next(out);
    ASSERT_NE(got, Got::error) << d.error().text();
    if (got == Got::message) {
      EXPECT_EQ(out, in);
      ++messages;
    }
  }
  EXPECT_EQ(messages, 1);
  EXPECT_TRUE(d.ready());
  EXPECT_EQ(d.peer_type(), "DEALER");
  EXPECT_EQ(d.peer_minor(), 1);
}

TEST(Zmtp, keeps_nothing_of_what_was_read_when_every_packet_ends_within_a_header) {
  ZmtpDecoder d;
  d.feed(stream({"first"}) + '\0');
  std::string packet = "\x64" + std::string(100, 'x');
  packet += '\0';  // the next header's first byte
  int messages = 0;
  for (int i = 0; i < 1000; ++i) {
    Parts out;
    while (d.next(out) == Got::message) ++messages;
    ASSERT_LE(d.held(), 4 * packet.size()) << "after " << messages << " messages";
    d.feed(packet);
  }
  EXPECT_EQ(messages, 1000);
}

TEST(Zmtp, several_messages_at_once) {
  std::string bytes = stream({"1"});
  zmtp_append(bytes, {"2", "3"});
  ZmtpDecoder d;
  d.feed(bytes);
  Parts out;
  ASSERT_EQ(d.next(out), Got::message);
  EXPECT_EQ(out, Parts{"1"});
  ASSERT_EQ(d.next(out), Got::message);
  EXPECT_EQ(out, (Parts{"2", "3"}));
  EXPECT_EQ(d.next(out), Got::more);
}

TEST(Zmtp, accepts_3_0) {
  std::string bytes = stream({"x"});
  bytes[11] = 0;
  ZmtpDecoder d;
  d.feed(bytes);
  Parts out;
  EXPECT_EQ(d.next(out), Got::message);
  EXPECT_EQ(d.peer_minor(), 0);
}

Got outcome(const std::string& bytes, const ZmtpLimits& limits = {}) {
  ZmtpDecoder d(limits);
  d.feed(bytes);
  Parts out;
  Got got = Got::more;
  while ((got = d.next(out)) == Got::message) {
  }
  if (got == Got::error) {
    EXPECT_EQ(d.error().code, "zmtp");
  }
  return got;
}

TEST(Zmtp, caps) {
  const ZmtpLimits limits{.parts = 2, .part_bytes = 10, .message_bytes = 15, .command_bytes = 64};
  EXPECT_EQ(outcome(stream({"a", "b"}), limits), Got::more);
  EXPECT_EQ(outcome(stream({"a", "b", "c"}), limits), Got::error);
  EXPECT_EQ(outcome(stream({std::string(11, 'x')}), limits), Got::error);
  EXPECT_EQ(outcome(stream({std::string(8, 'x'), std::string(8, 'x')}), limits), Got::error);
  EXPECT_EQ(outcome(zmtp_greeting() + zmtp_ready("DEALER", std::string(100, 'i')), limits), Got::error);
  EXPECT_EQ(outcome(stream({}) + std::string("\x02\x7f\xff\xff\xff\xff\xff\xff\xff", 9), limits), Got::error);
}

TEST(Zmtp, refuses_what_is_not_zmtp) {
  EXPECT_EQ(outcome("GET / HTTP/1.1\r\n\r\n"), Got::error);
  EXPECT_EQ(outcome(std::string(64, '\xff')), Got::error);
  std::string old = zmtp_greeting();
  old[10] = 2;
  EXPECT_EQ(outcome(old), Got::error);
  std::string curve = zmtp_greeting();
  curve.replace(12, 5, "CURVE");
  EXPECT_EQ(outcome(curve), Got::error);
  std::string early = zmtp_greeting();
  zmtp_append(early, {"x"});
  EXPECT_EQ(outcome(early), Got::error);
  EXPECT_EQ(outcome(zmtp_greeting() + zmtp_ready("DEALER") + zmtp_ready("DEALER")), Got::error);
  EXPECT_EQ(outcome(zmtp_greeting() + std::string("\x04\x06\x05READY", 8) + "\xf0"), Got::error);
  EXPECT_EQ(outcome(stream({}) + "\x08\x01x"), Got::error);
  EXPECT_EQ(outcome(stream({}) + std::string("\x05\x01\x00", 3)), Got::error);
}

TEST(Zmtp, answers_ping) {
  ZmtpDecoder d;
  d.feed(stream({}) + std::string("\x04\x0a\x04PING\x00\x0a"
                                  "ctx",
                                  12));
  Parts out;
  EXPECT_EQ(d.next(out), Got::more);
  const std::string pong = d.take_output();
  EXPECT_EQ(pong.substr(2, 5), "\x04PONG");
}

// ---- against libzmq ----

struct Raw {
  explicit Raw(Fd connected) : fd(std::move(connected)) {}
  Fd fd;
  ZmtpDecoder decoder;
  void put(std::string_view bytes) { ASSERT_TRUE(write_all(fd.get(), bytes)); }
  void await_ready() {
    Parts none;
    char c = 0;
    while (decoder.next(none) == Got::more && !decoder.ready() && read(fd.get(), &c, 1) == 1)
      decoder.feed({&c, 1});
    ASSERT_TRUE(decoder.ready());
  }
  Parts get() {
    Parts out;
    for (;;) {
      const auto got = decoder.next(out);
      if (got == Got::message) return out;
      if (got == Got::error) return {"error: " + decoder.error().text()};
      if (const auto reply = decoder.take_output(); !reply.empty()) put(reply);
      char buf[4096];
      const auto n = read(fd.get(), buf, sizeof buf);
      if (n <= 0) return {"closed"};
      decoder.feed({buf, static_cast<std::size_t>(n)});
    }
  }
};

Fd dial(std::uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  return fd;
}

TEST(ZmtpWithLibzmq, our_dealer_to_its_router) {
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  router.set(zmq::sockopt::linger, 0);
  router.set(zmq::sockopt::rcvtimeo, 10000);
  router.set(zmq::sockopt::heartbeat_ivl, 20);
  router.set(zmq::sockopt::heartbeat_timeout, 10000);
  router.bind("tcp://127.0.0.1:*");
  const std::string at = router.get(zmq::sockopt::last_endpoint);
  Raw raw(dial(static_cast<std::uint16_t>(std::stoul(at.substr(at.rfind(':') + 1)))));
  const Parts sent = {"one", std::string(100000, 'b')};
  raw.put(zmtp_greeting() + zmtp_ready("DEALER"));
  raw.await_ready();  // libzmq takes a message before its own READY is out for an error
  std::string bytes;
  zmtp_append(bytes, sent);
  raw.put(bytes);
  zmq::message_t id, part;
  ASSERT_TRUE(router.recv(id));
  for (const auto& expected : sent) {
    ASSERT_TRUE(router.recv(part));
    EXPECT_EQ(part.to_string(), expected);
  }
  router.send(id, zmq::send_flags::sndmore);
  router.send(zmq::buffer(std::string(70000, 'r')), zmq::send_flags::sndmore);
  router.send(zmq::buffer(std::string("end")), zmq::send_flags::none);
  raw.decoder.set_limits({.part_bytes = 1 << 20});
  EXPECT_EQ(raw.get(), (Parts{std::string(70000, 'r'), "end"}));
  EXPECT_EQ(raw.decoder.peer_type(), "ROUTER");
}

TEST(ZmtpWithLibzmq, its_dealer_to_our_router) {
  Fd listening(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  ASSERT_EQ(listen(listening.get(), 5), 0);
  socklen_t size = sizeof a;
  getsockname(listening.get(), reinterpret_cast<sockaddr*>(&a), &size);
  zmq::context_t context;
  zmq::socket_t dealer(context, zmq::socket_type::dealer);
  dealer.set(zmq::sockopt::linger, 0);
  dealer.set(zmq::sockopt::rcvtimeo, 10000);
  dealer.connect("tcp://127.0.0.1:" + std::to_string(ntohs(a.sin_port)));
  dealer.send(zmq::buffer(std::string("hello")), zmq::send_flags::sndmore);
  dealer.send(zmq::buffer(std::string(1000, 'x')), zmq::send_flags::none);
  Raw raw(Fd(accept(listening.get(), nullptr, nullptr)));
  raw.put(zmtp_greeting() + zmtp_ready("ROUTER"));
  EXPECT_EQ(raw.get(), (Parts{"hello", std::string(1000, 'x')}));
  std::string reply;
  zmtp_append(reply, {"a", ""});
  raw.put(reply);
  zmq::message_t part;
  ASSERT_TRUE(dealer.recv(part));
  EXPECT_EQ(part.to_string(), "a");
  ASSERT_TRUE(dealer.recv(part));
  EXPECT_EQ(part.size(), 0u);
}

}  // namespace
}  // namespace bai::wire
