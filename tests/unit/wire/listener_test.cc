#include "wire/listener.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "daemon.h"
#include "wire/zmtp.h"

namespace bai::wire {
namespace {

using test::client_options;
using test::Daemon;
using test::dial;
using test::in;

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Sends until the other end closes, or `max` bytes are out. True if it closed.
bool flood(const Fd& fd, const std::string& opening, const std::string& unit, std::size_t max) {
  if (::send(fd.get(), opening.data(), opening.size(), MSG_NOSIGNAL) < 0) return true;
  for (std::size_t sent = 0; sent < max; sent += unit.size()) {
    if (::send(fd.get(), unit.data(), unit.size(), MSG_NOSIGNAL) < 0) return true;
  }
  char c = 0;
  while (recv(fd.get(), &c, 1, 0) > 0) {
  }
  return true;
}

bool closed_by_peer(const Fd& fd) {
  char buf[4096];
  for (;;) {
    pollfd p{fd.get(), POLLIN, 0};
    if (poll(&p, 1, 20000) <= 0) return false;
    if (recv(fd.get(), buf, sizeof buf, 0) <= 0) return true;
  }
}

class WithListener : public test::WithMunged {
 protected:
  static HelloOptions hello() { return client_options("", munge_socket()).hello; }
  static std::string opening() { return zmtp_greeting() + zmtp_ready("DEALER"); }
  static std::string frames(const Parts& p) {
    std::string out;
    zmtp_append(out, p);
    return out;
  }
};

TEST_F(WithListener, endless_parts_take_no_memory) {
  Daemon d(munge_socket());
  const std::size_t before = resident_bytes();
  std::string unit;
  while (unit.size() < 60000) zmtp_append_part(unit, std::string(100, 'p'), true);
  EXPECT_TRUE(flood(dial(d.listener->port()), opening(), unit, 256u << 20));
  std::string big("\x03\0\0\0\0\x7f\xff\xff\xff", 9);  // one part said to be 2 GB
  EXPECT_TRUE(flood(dial(d.listener->port()), opening() + big, std::string(65536, 'b'), 256u << 20));
  std::string empty;
  while (empty.size() < 60000) zmtp_append_part(empty, "", true);
  EXPECT_TRUE(flood(dial(d.listener->port()), opening(), empty, 256u << 20));
  EXPECT_TRUE(flood(dial(d.listener->port()), "", std::string(65536, '\xff'), 256u << 20));
  EXPECT_TRUE(d.wait([&] { return d.listener->stats().broken == 4; }));
  EXPECT_LT(resident_bytes(), before + (32u << 20));
  auto r = Client(client_options(d.endpoint(), munge_socket())).call([](bool) { return "x"; }, in(20));
  EXPECT_TRUE(r) << r.error().text();  // unmoved
}

TEST_F(WithListener, unfinished_hellos_share_a_bound) {
  Daemon d(munge_socket(), [](ListenerOptions& o) {
    o.max_hello = 1 << 20;
    o.max_hello_total = 2 << 20;
  });
  std::vector<Fd> fds;
  const std::string part =
      std::string("\x02\0\0\0\0\0\x0f\0\0", 9) + std::string(900000, 'x');  // 983,040 bytes, not all there
  for (int i = 0; i < 6; ++i) {
    fds.push_back(dial(d.listener->port()));
    ASSERT_TRUE(write_all(fds.back().get(), opening() + part));
  }
  EXPECT_TRUE(d.wait([&] { return d.listener->stats().refused >= 3; }));
  auto r = Client(client_options(d.endpoint(), munge_socket())).call([](bool) { return "small"; }, in(20));
  EXPECT_TRUE(r) << r.error().text();
}

TEST_F(WithListener, who_says_no_hello_in_time_goes) {
  Daemon d(munge_socket(), [](ListenerOptions& o) { o.handshake_time = std::chrono::milliseconds(300); });
  const Fd silent = dial(d.listener->port()), half = dial(d.listener->port());
  ASSERT_TRUE(write_all(half.get(), opening()));
  EXPECT_TRUE(closed_by_peer(silent));
  EXPECT_TRUE(closed_by_peer(half));
  EXPECT_EQ(d.listener->stats().timed_out, 2u);
  EXPECT_EQ(d.listener->stats().connections, 0u);
  EXPECT_TRUE(Client(client_options(d.endpoint(), munge_socket())).call([](bool) { return "x"; }, in(20)));
}

TEST_F(WithListener, who_leaves_before_the_answer_leaves_nothing_behind) {
  Daemon d(munge_socket());
  const std::string hello = opening() + frames({"BAI\x01\x01", "MUNGE:AAA:"});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(write_all(dial(d.listener->port()).get(), hello));
  EXPECT_TRUE(d.wait([&] { return d.listener->stats().refused == 100; }));
  EXPECT_TRUE(d.wait([&] { return d.listener->stats().connections == 0; }));
  EXPECT_EQ(d.listener->stats().outbound_bytes, 0u);
}

TEST_F(WithListener, who_only_holds_connections_keeps_nobody_out) {
  Daemon d(munge_socket(), [](ListenerOptions& o) {
    o.max_handshakes = 4;
    o.handshake_time = std::chrono::hours(1);
  });
  std::vector<Fd> fds;
  for (int i = 0; i < 20; ++i) fds.push_back(dial(d.listener->port()));
  EXPECT_TRUE(d.wait([&] { return d.listener->stats().refused == 16; }));
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(closed_by_peer(fds[static_cast<std::size_t>(i)]));  // the oldest
  auto r = Client(client_options(d.endpoint(), munge_socket())).call([](bool) { return "x"; }, in(20));
  EXPECT_TRUE(r) << r.error().text();
  EXPECT_EQ(d.listener->stats().timed_out, 0u);
}

TEST_F(WithListener, all_callers_together_have_a_bound) {
  Daemon d(munge_socket(), [](ListenerOptions& o) { o.max_inbound_total = 8 << 20; });
  std::vector<Client> clients;
  const std::string large(4 << 20, 'x');
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back(client_options(d.endpoint(), munge_socket()));
    ASSERT_TRUE(clients.back().call([](bool) { return "x"; }, in(20)));
  }
  for (auto& c : clients) {  // a message each that does not end
    const std::string part = std::string("\x02\0\0\0\0\x03\0\0\0", 9) + large;
    (void)write_all(c.fd(), part);  // it may be dropped by then
  }
  EXPECT_TRUE(d.wait([&] { return d.listener->stats().overrun >= 4; }));
  auto r = Client(client_options(d.endpoint(), munge_socket())).call([](bool) { return "x"; }, in(20));
  EXPECT_TRUE(r) << r.error().text();
}

TEST_F(WithListener, known_callers_do_not_time_out) {
  Daemon d(munge_socket(), [](ListenerOptions& o) { o.handshake_time = std::chrono::milliseconds(200); });
  Client c(client_options(d.endpoint(), munge_socket()));
  ASSERT_TRUE(c.call([](bool) { return "x"; }, in(20)));
  const Fd idle = dial(d.listener->port());
  EXPECT_TRUE(closed_by_peer(idle));  // so the time has passed
  ASSERT_TRUE(c.send("y"));
  EXPECT_TRUE(c.next(in(20)));
}

TEST_F(WithListener, refuses_bad_hellos) {
  Daemon d(munge_socket());
  const auto get = [&](const std::string& bytes) {
    Fd fd = dial(d.listener->port());
    EXPECT_TRUE(write_all(fd.get(), bytes));
    ZmtpDecoder decoder;
    Parts out;
    char buf[4096];
    ssize_t n = 0;
    while (decoder.next(out) == ZmtpDecoder::Got::more && (n = recv(fd.get(), buf, sizeof buf, 0)) > 0) {
      decoder.feed({buf, static_cast<std::size_t>(n)});
    }
    return out.size() == 3 ? out[1] : std::string("closed");
  };
  EXPECT_EQ(get(opening() + frames({"hello"})), "bad_hello");
  EXPECT_EQ(get(opening() + frames({"BAI\x01\x01"})), "bad_hello");
  EXPECT_EQ(get(opening() + frames({"BAI\x01\x01", "MUNGE:AAA:"})), "credential_invalid");
  EXPECT_EQ(get(opening() + frames({"BAI\x08\x09", "MUNGE:AAA:"})), "version");
  EXPECT_EQ(get("GET / HTTP/1.0\r\n\r\n"), "closed");
  const Parts good = ClientSession::begin(hello(), "once")->hello();
  get(opening() + frames(good));
  EXPECT_EQ(get(opening() + frames(good)), "credential_replayed");
  // Its welcome may have gone out before the rest was looked at.
  const Fd hasty = dial(d.listener->port());
  EXPECT_TRUE(write_all(hasty.get(),
                        opening() + frames(ClientSession::begin(hello(), "x")->hello()) + frames({"more"})));
  EXPECT_TRUE(closed_by_peer(hasty));
  EXPECT_TRUE(d.wait([&] { return d.listener->stats().refused == 6; }));
  EXPECT_EQ(d.listener->stats().broken, 1u);
}

TEST_F(WithListener, ends_a_session_whose_frames_do_not_open) {
  Daemon d(munge_socket());
  for (int kind = 0; kind < 3; ++kind) {
    auto session = ClientSession::begin(hello(), "first");
    ASSERT_TRUE(session);
    Fd fd = dial(d.listener->port());
    ASSERT_TRUE(write_all(fd.get(), opening() + frames(session->hello())));
    ZmtpDecoder decoder;
    Parts welcome;
    char buf[4096];
    while (decoder.next(welcome) == ZmtpDecoder::Got::more) {
      const auto n = recv(fd.get(), buf, sizeof buf, 0);
      ASSERT_GT(n, 0);
      decoder.feed({buf, static_cast<std::size_t>(n)});
    }
    ASSERT_EQ(**session->open(welcome), "re:first");
    std::string sealed = session->seal("second");
    if (kind == 0) sealed.back() = static_cast<char>(sealed.back() ^ 1);  // altered
    if (kind == 1) {                                                      // replayed
      ASSERT_TRUE(write_all(fd.get(), frames({sealed})));
    }
    if (kind == 2) sealed = welcome[2];  // reflected
    ASSERT_TRUE(write_all(fd.get(), frames({sealed})));
    EXPECT_TRUE(closed_by_peer(fd));
  }
  EXPECT_TRUE(d.wait([&] { return d.closed.size() == 3; }));
  EXPECT_EQ(d.listener->stats().broken, 3u);
  EXPECT_EQ(d.messages, (std::vector<std::string>{"first", "first", "second", "first"}));
}

TEST_F(WithListener, drops_who_does_not_read) {
  Daemon d(munge_socket(), [](ListenerOptions& o) { o.max_outbound = 4 << 20; });
  bool dropped = false;
  d.answer = [&](ConnId id, const std::string&) {
    const std::string chunk(1 << 20, 'z');
    for (int i = 0; i < 200 && !dropped; ++i) dropped = !d.listener->send(id, chunk);
  };
  auto session = ClientSession::begin(hello(), "feed me");
  Fd fd = dial(d.listener->port());
  ASSERT_TRUE(write_all(fd.get(), opening() + frames(session->hello())));
  EXPECT_TRUE(d.wait([&] { return d.closed.size() == 1; }));
  EXPECT_TRUE(dropped);
  EXPECT_EQ(d.listener->stats().overrun, 1u);
  EXPECT_EQ(d.listener->stats().outbound_bytes, 0u);
}

TEST_F(WithListener, closes_the_socket_of_who_does_not_read) {
  Daemon d(munge_socket(), [](ListenerOptions& o) { o.max_outbound = 16 << 20; });
  std::atomic<ConnId> deaf{0};
  d.answer = [&](ConnId id, const std::string& text) {
    if (text == "feed me")
      deaf = id;
    else
      d.listener->send(id, text);
  };
  auto session = ClientSession::begin(hello(), "feed me");
  Fd fd = dial(d.listener->port());
  ASSERT_TRUE(write_all(fd.get(), opening() + frames(session->hello())));
  ASSERT_TRUE(d.wait([&] { return deaf != 0; }));
  const std::string chunk(256 << 10, 'z');
  bool dropped = false;
  for (int i = 0; i < 200 && !dropped; ++i) {
    dropped = !d.listener->send(deaf, chunk);
    // By the time that another was answered, libzmq has what it takes.
    ASSERT_TRUE(Client(client_options(d.endpoint(), munge_socket())).call([](bool) { return "x"; }, in(20)));
  }
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(closed_by_peer(fd));  // although libzmq has no room for the word
}

TEST_F(WithListener, a_slow_reader_gets_everything) {
  Daemon d(munge_socket());
  const std::string big(20 << 20, 's');
  d.answer = [&](ConnId id, const std::string&) {
    d.listener->send(id, big);
    d.listener->send(id, "end");
    d.listener->close(id);
  };
  Client c(client_options(d.endpoint(), munge_socket()));
  auto r = c.call([](bool) { return "x"; }, in(60));
  ASSERT_TRUE(r) << r.error().text();
  EXPECT_EQ(r->size(), big.size());
  EXPECT_EQ(*c.next(in(20)), "end");
}

// Who leaves while it is being answered takes along what was counted for it.
TEST_F(WithListener, counts_nothing_for_those_who_left) {
  Daemon daemon(munge_socket());
  const std::string answer(200'000, 'x');
  daemon.answer = [&](ConnId id, const std::string&) {
    const auto flood = [&, id] {
      while (daemon.listener->send(id, answer)) {
      }
    };
    std::thread other(flood);
    flood();
    other.join();
  };
  for (int i = 0; i < 200; ++i) {
    Client client(client_options(daemon.endpoint(), munge_socket()));
    ASSERT_TRUE(client.call([](bool) { return "go on"; }, in(20)));
  }
  EXPECT_TRUE(daemon.wait([&] { return daemon.closed.size() == 200; }));
  EXPECT_TRUE(daemon.wait([&] { return daemon.listener->stats().outbound_bytes == 0; }));
}

TEST_F(WithListener, bind_errors) {
  Daemon d(munge_socket());
  ListenerOptions o;
  o.bind = d.endpoint();
  auto l = Listener::start(o, {.on_message = [](ConnId, const Caller&, std::string) { return false; }});
  ASSERT_FALSE(l);
  EXPECT_EQ(l.error().code, "bind");
}

}  // namespace
}  // namespace bai::wire
