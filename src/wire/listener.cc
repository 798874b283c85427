#include "wire/listener.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "base/fd.h"
#include "base/log.h"

namespace bai::wire {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kChunk = 64 * 1024;       // bytes handed to libzmq at once
constexpr int kQueuedChunks = 16;               // chunks of one connection that libzmq may hold
constexpr std::size_t kSmallHello = 64 * 1024;  // always has room, whatever others send
constexpr std::size_t kItemCost = 128;          // what an inbound message takes beside its bytes
constexpr int kItemsPerTurn = 32;               // of one connection before a worker turns to another
constexpr milliseconds kCloseGrace{1000};
constexpr milliseconds kStopGrace{300};
constexpr milliseconds kRetryMin{1}, kRetryMax{32};  // libzmq does not say when a full STREAM pipe has room

std::size_t size_of(const Parts& parts) {
  std::size_t n = kItemCost;
  for (const auto& p : parts) n += p.size();
  return n;
}

struct Conn {
  ConnId id = 0;
  std::string routing_id;
  std::string peer;  // address without port, for the log
  int fd = -1;       // libzmq's; to be used only while `far` is what it leads to
  sockaddr_storage far{};

  // The I/O thread's.
  ZmtpDecoder decoder;
  bool heard = false;  // it sent something
  bool hello_seen = false;
  bool known_limits = false;
  std::size_t hello_bytes = 0;
  std::size_t partial_bytes = 0;  // of a known caller's message that is not complete
  std::string sending;
  std::size_t sent = 0;
  std::optional<Clock::time_point> close_at;

  std::atomic<bool> known{false};        // the caller is; set once by a worker, session and caller are there
  std::atomic<bool> handshaking{true};   // counted as such
  std::optional<DaemonSession> session;  // open(): the worker whose turn it is; seal(): under mutex
  Caller caller;

  std::mutex mutex;  // guards what follows
  std::deque<Parts> inbound;
  std::size_t inbound_bytes = 0;
  bool scheduled = false;  // in a worker's hands or queue
  bool gone = false;       // tell on_closed when inbound is done
  std::string out;         // for `sending`
  std::size_t unsent = 0;  // bytes in out and sending
  bool greeted = false;    // greeting and READY are in `out` or sent
  bool dirty = false;      // on the I/O thread's list
  bool closing = false;    // nothing more in either direction; goes when `out` is sent
  bool kill = false;       // goes now
};
using ConnPtr = std::shared_ptr<Conn>;

bool far_end(int fd, sockaddr_storage& address) {
  socklen_t size = sizeof address;
  return fd >= 0 && getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
}

// libzmq takes no word to close a connection whose pipe is full, and closes none before what it holds is written: both are for
// ever when the peer does not read. So the connection itself is reset (connect(2): AF_UNSPEC), unless the descriptor leads
// elsewhere by now; libzmq notices.
bool cut(const Conn& conn) {
  sockaddr_storage now{};
  const sockaddr nowhere{};  // AF_UNSPEC
  return far_end(conn.fd, now) && std::memcmp(&now, &conn.far, sizeof now) == 0 &&
         connect(conn.fd, &nowhere, sizeof nowhere) == 0;
}

struct Counters {
  std::atomic<std::uint64_t> accepted{0}, authenticated{0}, refused{0}, broken{0}, overrun{0}, timed_out{0},
      messages_in{0}, messages_out{0}, bytes_in{0}, bytes_out{0}, connections{0}, handshakes{0},
      outbound_bytes{0}, inbound_bytes{0};
};

}  // namespace

struct Listener::Impl {
  ListenerOptions options;
  ListenerCallbacks callbacks;
  zmq::context_t context{1};
  zmq::socket_t socket;
  std::optional<Wakeup> wakeup;
  std::uint16_t port = 0;
  std::string opening = zmtp_greeting() + zmtp_ready("ROUTER");
  Counters n;
  log::Once once;

  std::thread io_thread;
  std::vector<std::thread> workers;
  std::atomic<bool> stopping{false};
  std::atomic<bool> sleeping{false};

  std::mutex conns_mutex;
  std::unordered_map<ConnId, ConnPtr> conns;

  std::mutex users_mutex;
  std::unordered_map<uid_t, std::size_t> of_user;  // connections

  std::mutex dirty_mutex;
  std::vector<ConnPtr> dirty;

  std::mutex work_mutex;
  std::condition_variable work_ready;
  std::deque<ConnPtr> work;
  bool work_stop = false;

  // The I/O thread's.
  std::unordered_map<std::string, ConnPtr> by_routing_id;
  std::unordered_set<std::string> ending;  // routing ids that were cut, until libzmq says so
  std::deque<std::pair<Clock::time_point, ConnId>> handshake_ends;
  std::vector<ConnPtr> backlog;    // libzmq's pipe was full
  std::vector<ConnPtr> lingering;  // close_at is set
  std::optional<Clock::time_point> retry_at;
  milliseconds retry_pause = kRetryMin;
  std::size_t hello_total = 0;
  ConnId next_id = 1;

  ~Impl() { stop(); }

  Status bind();
  void stop();

  // ---- any thread ----
  void note(log::Level level, const Conn& conn, const Error& error, std::string_view what) {
    once.write(level, error.code + " " + conn.peer, what,
               {{"peer", conn.peer}, {"code", error.code}, {"reason", error.text()}});
  }
  void mark_dirty(const ConnPtr& conn) {  // conn->mutex is held
    if (std::exchange(conn->dirty, true)) return;
    {
      const std::lock_guard lock(dirty_mutex);
      dirty.push_back(conn);
    }
    if (sleeping.exchange(false)) wakeup->notify();
  }
  // Queues one ZMTP message or raw frames; conn->mutex is held. False if the peer has too much unread.
  bool enqueue(const ConnPtr& conn, const Parts& message, std::string_view raw = {}) {
    const std::size_t before = conn->out.size();
    if (!std::exchange(conn->greeted, true)) conn->out += opening;
    if (!message.empty()) zmtp_append(conn->out, message);
    conn->out += raw;
    const std::size_t added = conn->out.size() - before;
    conn->unsent += added;
    n.outbound_bytes += added;
    const bool fits = conn->unsent <= options.max_outbound;
    if (!fits) {
      conn->kill = true;
      ++n.overrun;
      note(log::Level::warning, *conn, Error{"overrun", "it does not read what it is sent"},
           "a connection was dropped");
    }
    mark_dirty(conn);
    return fits;
  }
  bool send(ConnId id, std::string_view plaintext);
  std::size_t unread(ConnId id);
  void close(ConnId id);
  ConnPtr find(ConnId id) {
    const std::lock_guard lock(conns_mutex);
    const auto it = conns.find(id);
    return it == conns.end() ? nullptr : it->second;
  }
  // False if the user has as many as may be.
  bool count_user(uid_t uid, int change) {
    const std::lock_guard lock(users_mutex);
    std::size_t& count = of_user[uid];
    const bool fits = change < 0 || uid == 0 || uid == geteuid() || count < options.max_of_user;
    if (fits) count = change < 0 ? count - 1 : count + 1;
    if (count == 0) of_user.erase(uid);
    return fits;
  }
  void end_handshake(Conn& conn) {
    if (conn.handshaking.exchange(false)) --n.handshakes;
  }

  // ---- workers ----
  void worker_loop();
  void take_turn(const ConnPtr& conn);
  void on_hello(const ConnPtr& conn, Parts hello);
  void on_frame(const ConnPtr& conn, const Parts& message);
  void give_work(const ConnPtr& conn) {
    {
      const std::lock_guard lock(work_mutex);
      work.push_back(conn);
    }
    work_ready.notify_one();
  }

  // ---- the I/O thread ----
  void io_loop();
  void receive_all();
  void on_connect(std::string routing_id, std::string peer, int fd);
  void on_bytes(const ConnPtr& conn, std::string_view bytes);
  bool take_message(const ConnPtr& conn, Parts message);
  void refuse(const ConnPtr& conn, const Error& error, std::atomic<std::uint64_t>& counter, bool tell);
  void drop(const ConnPtr& conn, bool tell_libzmq);
  bool make_room();
  void shed();
  void flush_dirty();
  void flush(const ConnPtr& conn);
  bool hand_over(const ConnPtr& conn);
  // libzmq tells the end of a connection that was closed here with the same empty message as a beginning. What that makes has the
  // routing id of the one before, hears nothing, and goes like everybody who says nothing.
  bool listed(const ConnPtr& conn) const {
    const auto it = by_routing_id.find(conn->routing_id);
    return it != by_routing_id.end() && it->second == conn;
  }
  void release_hello(Conn& conn) { hello_total -= std::exchange(conn.hello_bytes, 0); }
  void set_partial(Conn& conn, std::size_t bytes) {
    n.inbound_bytes += bytes;
    n.inbound_bytes -= std::exchange(conn.partial_bytes, bytes);
  }
  void do_timers(Clock::time_point now);
  long poll_ms(Clock::time_point now) const;
};

Status Listener::Impl::bind() {
  auto w = Wakeup::create();
  if (!w) return w.error();
  wakeup = std::move(*w);
  try {
    socket = zmq::socket_t(context, zmq::socket_type::stream);
    socket.set(zmq::sockopt::sndhwm, kQueuedChunks);
    socket.set(zmq::sockopt::rcvhwm, 32);
    socket.set(zmq::sockopt::backlog, options.backlog);
    socket.set(zmq::sockopt::linger, static_cast<int>(kStopGrace.count()));
    if (options.bind.find('[') != std::string::npos) socket.set(zmq::sockopt::ipv6, true);
    socket.bind("tcp://" + options.bind);
    const std::string at = socket.get(zmq::sockopt::last_endpoint);
    port = static_cast<std::uint16_t>(std::stoul(at.substr(at.rfind(':') + 1)));
  } catch (const std::exception& e) {
    return Error{"bind", std::string("cannot listen: ") + e.what(), options.bind,
                 "choose a free port and an address of this host"};
  }
  return {};
}

void Listener::Impl::stop() {
  if (!io_thread.joinable()) return;
  stopping = true;
  wakeup->notify();
  io_thread.join();
  {
    const std::lock_guard lock(work_mutex);
    work_stop = true;
  }
  work_ready.notify_all();
  for (auto& t : workers) t.join();
  socket.close();
  context.close();
}

bool Listener::Impl::send(ConnId id, std::string_view plaintext) {
  const ConnPtr conn = find(id);
  if (!conn || !conn->known) return false;
  const std::lock_guard lock(conn->mutex);
  if (conn->closing || conn->kill) return false;
  ++n.messages_out;
  return enqueue(conn, conn->session->seal(plaintext));
}

std::size_t Listener::Impl::unread(ConnId id) {
  const ConnPtr conn = find(id);
  if (!conn) return 0;
  const std::lock_guard lock(conn->mutex);
  return conn->unsent;
}

void Listener::Impl::close(ConnId id) {
  const ConnPtr conn = find(id);
  if (!conn) return;
  const std::lock_guard lock(conn->mutex);
  conn->closing = true;
  mark_dirty(conn);
}

// ---- workers ----

void Listener::Impl::worker_loop() {
  for (;;) {
    ConnPtr conn;
    {
      std::unique_lock lock(work_mutex);
      work_ready.wait(lock, [&] { return work_stop || !work.empty(); });
      if (work_stop) return;
      conn = std::move(work.front());
      work.pop_front();
    }
    take_turn(conn);
  }
}

void Listener::Impl::take_turn(const ConnPtr& conn) {
  for (int i = 0; i < kItemsPerTurn; ++i) {
    Parts message;
    {
      const std::lock_guard lock(conn->mutex);
      if ((conn->closing || conn->kill) && !conn->inbound.empty()) {
        conn->inbound.clear();
        n.inbound_bytes -= std::exchange(conn->inbound_bytes, 0);
      }
      if (conn->inbound.empty()) {
        conn->scheduled = false;
        if (!std::exchange(conn->gone, false)) return;
      } else {
        message = std::move(conn->inbound.front());
        conn->inbound.pop_front();
        conn->inbound_bytes -= size_of(message);
        n.inbound_bytes -= size_of(message);
      }
    }
    if (message.empty()) {  // gone, and nothing is left of it
      if (conn->known && callbacks.on_closed) callbacks.on_closed(conn->id);
      return;
    }
    if (conn->known) {
      on_frame(conn, message);
    } else {
      on_hello(conn, std::move(message));
    }
  }
  give_work(conn);
}

void Listener::Impl::on_hello(const ConnPtr& conn, Parts hello) {
  auto opened = DaemonSession::accept(options.self, hello);
  hello = {};
  if (!opened) {
    ++n.refused;
    note(log::Level::warning, *conn, opened.error(), "a caller was refused");
    const std::lock_guard lock(conn->mutex);
    enqueue(conn, make_refusal(opened.error()));
    conn->closing = true;
    end_handshake(*conn);
    return;
  }
  ++n.authenticated;
  conn->session.emplace(std::move(opened->session));
  conn->caller = std::move(opened->caller);
  {
    const std::lock_guard lock(conn->mutex);
    if (conn->closing || conn->kill || conn->gone) return;  // too late: nobody hears of it
    if (!count_user(conn->caller.uid, 1)) {
      ++n.refused;
      const Error busy{"busy", "too many connections of uid " + std::to_string(conn->caller.uid)};
      note(log::Level::warning, *conn, busy, "a caller was refused");
      enqueue(conn, make_refusal(busy));
      conn->closing = true;
      end_handshake(*conn);
      return;
    }
    conn->known = true;
    end_handshake(*conn);
    if (!opened->early) enqueue(conn, conn->session->seal({}));
    mark_dirty(conn);
  }
  if (opened->early) {
    ++n.messages_in;
    callbacks.on_message(conn->id, conn->caller, std::move(*opened->early));
  } else if (callbacks.on_opened) {
    callbacks.on_opened(conn->id, conn->caller);
  }
}

void Listener::Impl::on_frame(const ConnPtr& conn, const Parts& message) {
  auto plain = conn->session->open(message);
  if (!plain) {
    ++n.broken;
    note(log::Level::warning, *conn, plain.error(), "a session was ended");
    const std::lock_guard lock(conn->mutex);
    conn->kill = true;
    mark_dirty(conn);
    return;
  }
  ++n.messages_in;
  callbacks.on_message(conn->id, conn->caller, std::move(*plain));
}

// ---- the I/O thread ----

void Listener::Impl::io_loop() {
  std::optional<Clock::time_point> stop_at;
  for (;;) {
    auto now = Clock::now();
    if (stopping) {
      if (!stop_at) stop_at = now + kStopGrace;
      if (now >= *stop_at || n.outbound_bytes == 0) return;
    }
    sleeping = true;
    bool idle = false;
    {
      const std::lock_guard lock(dirty_mutex);
      idle = dirty.empty();
    }
    zmq::pollitem_t items[] = {{socket.handle(), 0, ZMQ_POLLIN, 0}, {nullptr, wakeup->fd(), ZMQ_POLLIN, 0}};
    const long wait = stopping ? 5 : poll_ms(now);
    zmq_poll(items, 2, idle ? wait : 0);  // EINTR is as good as a wake-up
    sleeping = false;
    if ((items[1].revents & ZMQ_POLLIN) != 0) wakeup->consume();
    if ((items[0].revents & ZMQ_POLLIN) != 0) receive_all();
    flush_dirty();
    if (n.outbound_bytes > options.max_outbound_total || n.inbound_bytes > options.max_inbound_total) shed();
    do_timers(Clock::now());
  }
}

long Listener::Impl::poll_ms(Clock::time_point now) const {
  long ms = 60000;
  const auto until = [&](Clock::time_point t) {
    const auto left = std::chrono::duration_cast<milliseconds>(t - now).count() + 1;
    ms = std::clamp<long>(left, 0, ms);
  };
  if (!handshake_ends.empty()) until(handshake_ends.front().first);
  if (retry_at) until(*retry_at);
  for (const auto& conn : lingering) until(*conn->close_at);
  return ms;
}

void Listener::Impl::receive_all() {
  zmq::message_t id, data;
  for (int i = 0; i < 1000; ++i) {  // then the others get their turn
    if (zmq_msg_recv(id.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) return;
    if (zmq_msg_recv(data.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) return;
    const std::string routing_id = id.to_string();
    const auto it = by_routing_id.find(routing_id);
    if (it == by_routing_id.end()) {
      if (data.size() == 0 && ending.erase(routing_id) == 0) {
        const char* peer = zmq_msg_gets(data.handle(), "Peer-Address");
        on_connect(routing_id, peer != nullptr ? peer : "unknown", zmq_msg_get(data.handle(), ZMQ_SRCFD));
      }
      continue;
    }
    const ConnPtr conn = it->second;
    if (data.size() == 0) {
      drop(conn, false);
    } else {
      n.bytes_in += data.size();
      conn->heard = true;
      on_bytes(conn, data.to_string_view());
    }
  }
}

void Listener::Impl::on_connect(std::string routing_id, std::string peer, int fd) {
  ++n.accepted;
  auto conn = std::make_shared<Conn>();
  conn->id = next_id++;
  conn->routing_id = std::move(routing_id);
  conn->peer = std::move(peer);
  if (far_end(fd, conn->far)) conn->fd = fd;
  conn->decoder.set_limits({.parts = 3, .part_bytes = options.max_hello, .message_bytes = options.max_hello});
  by_routing_id.emplace(conn->routing_id, conn);
  {
    const std::lock_guard lock(conns_mutex);
    conns.emplace(conn->id, conn);
  }
  ++n.connections;
  ++n.handshakes;
  while (n.connections > options.max_connections || n.handshakes > options.max_handshakes) {
    if (!make_room()) return refuse(conn, Error{"busy", "too many connections"}, n.refused, false);
  }
  handshake_ends.emplace_back(Clock::now() + options.handshake_time, conn->id);
}

// Ends a connection that was answered already, or else the stranger who has been silent longest: an honest caller's hello
// comes with its connection, so those who only hold connections keep nobody else out. False if there is none.
bool Listener::Impl::make_room() {
  if (n.connections > options.max_connections && !lingering.empty()) {
    const ConnPtr oldest = lingering.front();
    lingering.erase(lingering.begin());
    drop(oldest, true);
    return true;
  }
  while (!handshake_ends.empty()) {
    const ConnPtr conn = find(handshake_ends.front().second);
    if (conn && conn->handshaking) break;
    handshake_ends.pop_front();
  }
  for (const auto& [end, id] : handshake_ends) {
    const ConnPtr conn = find(id);
    if (!conn || !conn->handshaking || conn->hello_seen) continue;
    refuse(conn, Error{"busy", "too many connections without a hello"}, n.refused, false);
    return true;
  }
  return false;
}

// All callers together have more waiting than may be: the one with most goes.
void Listener::Impl::shed() {
  for (const bool outward : {true, false}) {
    while (outward ? n.outbound_bytes > options.max_outbound_total
                   : n.inbound_bytes > options.max_inbound_total) {
      ConnPtr largest;
      std::size_t most = 0;
      for (const auto& [routing_id, conn] : by_routing_id) {
        const std::lock_guard lock(conn->mutex);
        const std::size_t held = outward ? conn->unsent : conn->inbound_bytes + conn->partial_bytes;
        if (held > most) {
          most = held;
          largest = conn;
        }
      }
      if (!largest) break;  // what is left is in a worker's hands
      refuse(largest,
             Error{"overrun", outward ? "too much waits to be read, most of it by this caller"
                                      : "too much waits to be worked off, most of it from this caller"},
             n.overrun, false);
    }
  }
}

// Ends a connection for its own fault; `tell`: with an unproven hint, if it speaks ZMTP.
void Listener::Impl::refuse(const ConnPtr& conn, const Error& error, std::atomic<std::uint64_t>& counter,
                            bool tell) {
  ++counter;
  note(log::Level::warning, *conn, error, "a connection was dropped");
  if (!tell) return drop(conn, true);
  const std::lock_guard lock(conn->mutex);
  enqueue(conn, make_refusal(error));
  conn->closing = true;
}

void Listener::Impl::on_bytes(const ConnPtr& conn, std::string_view bytes) {
  {
    const std::lock_guard lock(conn->mutex);
    if (conn->closing || conn->kill) return;
  }
  if (conn->known) {
    if (!std::exchange(conn->known_limits, true)) {
      conn->decoder.set_limits(
          {.parts = 1, .part_bytes = options.max_message, .message_bytes = options.max_message});
      release_hello(*conn);
    }
    set_partial(*conn, conn->partial_bytes + bytes.size());
  } else {
    conn->hello_bytes += bytes.size();
    hello_total += bytes.size();
    if (conn->hello_bytes > options.max_hello + 4096) {
      return refuse(conn, Error{"zmtp", "its hello does not end"}, n.broken, false);
    }
    if (hello_total > options.max_hello_total && conn->hello_bytes > kSmallHello) {
      return refuse(conn, Error{"busy", "too many large hellos at once"}, n.refused, true);
    }
  }
  conn->decoder.feed(bytes);
  for (;;) {
    Parts message;
    const auto got = conn->decoder.next(message);
    if (got == ZmtpDecoder::Got::error) return refuse(conn, conn->decoder.error(), n.broken, false);
    if (got == ZmtpDecoder::Got::more) break;
    if (conn->known_limits) set_partial(*conn, 0);
    if (!take_message(conn, std::move(message))) return;
  }
  const std::string output = conn->decoder.take_output();
  const std::lock_guard lock(conn->mutex);
  // A caller that sent its whole hello at once needs our greeting no sooner than our answer: one packet for both.
  if (!output.empty() || (!conn->greeted && !conn->hello_seen)) enqueue(conn, {}, output);
}

bool Listener::Impl::take_message(const ConnPtr& conn, Parts message) {
  // Not `known`: a worker sets that at any time, and what came along with the hello was sent before the welcome.
  if (!conn->known_limits && std::exchange(conn->hello_seen, true)) {
    refuse(conn, Error{"bad_hello", "more than a hello before the welcome"}, n.refused, false);
    return false;
  }
  bool wake = false;
  {
    const std::lock_guard lock(conn->mutex);
    if (conn->inbound_bytes + size_of(message) <= options.max_inbound) {
      conn->inbound_bytes += size_of(message);
      n.inbound_bytes += size_of(message);
      conn->inbound.push_back(std::move(message));
      wake = !std::exchange(conn->scheduled, true);
    }
  }
  if (!message.empty()) {  // not taken
    refuse(conn, Error{"overrun", "it sends more than is worked off"}, n.overrun, false);
    return false;
  }
  if (wake) give_work(conn);
  return true;
}

// Forgets a connection; its worker tells on_closed.
void Listener::Impl::drop(const ConnPtr& conn, bool tell_libzmq) {
  if (!listed(conn)) return;
  by_routing_id.erase(conn->routing_id);
  {
    const std::lock_guard lock(conns_mutex);
    conns.erase(conn->id);
  }
  --n.connections;
  release_hello(*conn);
  set_partial(*conn, 0);
  if (tell_libzmq && conn->heard) {
    if (cut(*conn)) ending.insert(conn->routing_id);
  } else if (tell_libzmq) {  // an empty message closes it
    const auto& id = conn->routing_id;
    if (zmq_send(socket.handle(), id.data(), id.size(), ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
      zmq_send(socket.handle(), "", 0, ZMQ_DONTWAIT);
  }
  bool wake = false;
  {
    const std::lock_guard lock(conn->mutex);
    end_handshake(*conn);
    if (tell_libzmq) {
      conn->kill = true;  // what it sent before a good end still counts
      conn->inbound.clear();
      n.inbound_bytes -= std::exchange(conn->inbound_bytes, 0);
    }
    if (conn->known) count_user(conn->caller.uid, -1);
    n.outbound_bytes -= std::exchange(conn->unsent, 0);
    conn->out = {};
    conn->closing = conn->closing || tell_libzmq;
    conn->gone = true;
    wake = !std::exchange(conn->scheduled, true);
  }
  conn->sending = {};
  conn->sent = 0;
  if (wake) give_work(conn);
}

void Listener::Impl::flush_dirty() {
  std::vector<ConnPtr> list;
  {
    const std::lock_guard lock(dirty_mutex);
    list.swap(dirty);
  }
  for (const auto& conn : list) flush(conn);
}

void Listener::Impl::flush(const ConnPtr& conn) {
  bool kill = false;
  {
    const std::lock_guard lock(conn->mutex);
    conn->dirty = false;
    kill = conn->kill;
  }
  if (conn->known) release_hello(*conn);
  if (!listed(conn)) {  // somebody sent to it while it was dropped
    const std::lock_guard lock(conn->mutex);
    n.outbound_bytes -= std::exchange(conn->unsent, 0);
    conn->out = {};
    return;
  }
  if (kill) return drop(conn, true);
  if (!hand_over(conn)) {
    if (std::find(backlog.begin(), backlog.end(), conn) == backlog.end()) backlog.push_back(conn);
    if (!retry_at) retry_at = Clock::now() + (retry_pause = kRetryMin);
    return;
  }
  const std::lock_guard lock(conn->mutex);
  if (conn->closing && conn->unsent == 0 && !conn->close_at) {
    conn->close_at = Clock::now() + kCloseGrace;  // libzmq would throw away what it still holds
    lingering.push_back(conn);
  }
}

// Gives libzmq what is queued; false if its pipe is full.
bool Listener::Impl::hand_over(const ConnPtr& conn) {
  for (;;) {
    if (conn->sent == conn->sending.size()) {
      conn->sending.clear();
      conn->sent = 0;
      const std::lock_guard lock(conn->mutex);
      conn->sending.swap(conn->out);
      if (conn->sending.empty()) return true;
    }
    const auto size = std::min(kChunk, conn->sending.size() - conn->sent);
    if (zmq_send(socket.handle(), conn->routing_id.data(), conn->routing_id.size(),
                 ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
      if (zmq_errno() == EAGAIN) return false;
      drop(conn, false);  // libzmq knows it no more
      return true;
    }
    zmq_send(socket.handle(), conn->sending.data() + conn->sent, size, ZMQ_DONTWAIT);
    conn->sent += size;
    n.bytes_out += size;
    n.outbound_bytes -= size;
    const std::lock_guard lock(conn->mutex);
    conn->unsent -= size;
  }
}

void Listener::Impl::do_timers(Clock::time_point now) {
  while (!handshake_ends.empty()) {
    const ConnPtr conn = find(handshake_ends.front().second);
    const bool open = conn && conn->handshaking;
    if (open && handshake_ends.front().first > now) break;
    handshake_ends.pop_front();
    if (open) refuse(conn, Error{"timeout", "no hello in time"}, n.timed_out, false);
  }
  if (retry_at && now >= *retry_at) {
    retry_at.reset();
    const std::uint64_t before = n.bytes_out;
    std::vector<ConnPtr> list;
    list.swap(backlog);
    for (const auto& conn : list) flush(conn);
    if (!backlog.empty()) {
      retry_pause = n.bytes_out != before ? kRetryMin : std::min(retry_pause * 2, kRetryMax);
      retry_at = now + retry_pause;
    }
  }
  std::erase_if(lingering, [&](const ConnPtr& conn) {
    if (*conn->close_at > now && listed(conn)) return false;
    drop(conn, true);
    return true;
  });
}

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::start(const ListenerOptions& options,
                                                  ListenerCallbacks callbacks) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->callbacks = std::move(callbacks);
  if (auto bound = impl->bind(); !bound) return bound.error();
  Impl* const p = impl.get();
  p->io_thread = std::thread([p] { p->io_loop(); });
  for (int i = 0; i < std::max(1, options.workers); ++i) p->workers.emplace_back([p] { p->worker_loop(); });
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

std::uint16_t Listener::port() const { return impl_->port; }
bool Listener::send(ConnId conn, std::string_view plaintext) { return impl_->send(conn, plaintext); }
std::size_t Listener::unread(ConnId conn) const { return impl_->unread(conn); }
void Listener::close(ConnId conn) { impl_->close(conn); }
void Listener::stop() { impl_->stop(); }

ListenerStats Listener::stats() const {
  const Counters& n = impl_->n;
  return {n.accepted,    n.authenticated, n.refused,       n.broken,   n.overrun,
          n.timed_out,   n.messages_in,   n.messages_out,  n.bytes_in, n.bytes_out,
          n.connections, n.handshakes,    n.outbound_bytes};
}

}  // namespace bai::wire
