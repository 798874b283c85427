// The listener's inside, shared by its three files: listener.cc (the calls), listener_io.cc (sockets, caps, timers: the I/O
// thread) and listener_work.cc (hellos and frames: the workers). Nobody else includes this.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/log.h"
#include "wire/listener.h"

namespace bai::wire {

using Clock = std::chrono::steady_clock;

struct Conn {
  ConnId id = 0;
  std::string peer;  // address without port, for the log

  // The I/O thread's.
  ZmtpDecoder decoder;
  bool hello_seen = false;
  bool known_limits = false;
  std::size_t partial_bytes = 0;              // of a known caller's message that is not complete
  std::optional<Clock::time_point> close_at;  // it is closing, and goes then at the latest

  std::atomic<bool> known{false};        // the caller is; set once by a worker, session and caller are there
  std::atomic<bool> handshaking{true};   // counted as such
  std::optional<DaemonSession> session;  // open(): the worker whose turn it is; seal(): under mutex
  Caller caller;

  std::mutex mutex;  // guards what follows
  Fd fd;             // closed by the I/O thread only; anybody may write to it
  std::deque<Parts> inbound;
  std::size_t inbound_bytes = 0;
  std::size_t hello_bytes = 0;  // counted in hello_total
  bool scheduled = false;       // in a worker's hands or queue
  bool followed = false;        // on_message wants on_closed
  bool gone = false;            // tell on_closed when inbound is done
  std::string out;              // from `sent` on: what the system did not take yet
  std::size_t sent = 0;
  bool greeted = false;      // greeting and READY are in `out` or sent
  bool awaits_room = false;  // epoll tells when the system takes more
  bool dirty = false;        // on the I/O thread's list
  bool closing = false;      // nothing more in either direction; goes when `out` is sent
  bool kill = false;         // goes now

  std::size_t unsent() const { return out.size() - sent; }
};
using ConnPtr = std::shared_ptr<Conn>;

// What an inbound message takes.
std::size_t held_by(const Parts& parts);

struct Counters {
  std::atomic<std::uint64_t> accepted{0}, authenticated{0}, refused{0}, broken{0}, overrun{0}, timed_out{0},
      messages_in{0}, messages_out{0}, bytes_in{0}, bytes_out{0}, connections{0}, handshakes{0},
      outbound_bytes{0}, inbound_bytes{0}, hello_bytes{0};
};

struct Listener::Impl {
  ListenerOptions options;
  ListenerCallbacks callbacks;
  Fd socket;
  Fd local;  // may be none
  Fd epoll;
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
  std::vector<ConnPtr> dirty;  // to be looked at by the I/O thread: closing, or to be killed

  std::mutex work_mutex;
  std::condition_variable work_ready;
  std::deque<ConnPtr> work, strangers;  // whose callers are known, and are not
  int greeting = 0;                     // workers that are at strangers
  bool work_stop = false;

  // The I/O thread's.
  std::deque<std::pair<Clock::time_point, ConnId>> handshake_ends;
  std::vector<ConnPtr> lingering;               // close_at is set
  std::optional<Clock::time_point> deaf_until;  // out of descriptors: nobody is accepted
  ConnId next_id = 1;

  ~Impl() { stop(); }

  Status bind();
  void start_threads();
  void stop();

  // ---- any thread (listener.cc) ----
  void note(log::Level level, const Conn& conn, const Error& error, std::string_view what);
  ConnPtr find(ConnId id);
  bool send(ConnId id, std::string_view plaintext);
  std::size_t unread(ConnId id);
  void close(ConnId id);
  // The rest with conn->mutex held. Puts a connection on the I/O thread's list.
  void mark_dirty(const ConnPtr& conn);
  // Sends one ZMTP message or raw frames, or as much as the system takes now. False if the peer has too much unread.
  bool enqueue(const ConnPtr& conn, const Parts& message, std::string_view raw = {});
  void write_some(const ConnPtr& conn);
  void release_hello(Conn& conn) { n.hello_bytes -= std::exchange(conn.hello_bytes, 0); }
  void refuse_with(const ConnPtr& conn, const Error& error);  // an unproven hint, then the end

  void end_handshake(Conn& conn) {
    if (conn.handshaking.exchange(false)) --n.handshakes;
  }
  bool count_user(uid_t uid, int change);  // false if the user has as many as may be

  // ---- workers (listener_work.cc) ----
  void work_loop();
  void take_turn(const ConnPtr& conn);
  void on_hello(const ConnPtr& conn, Parts hello);
  void on_frame(const ConnPtr& conn, const Parts& message);
  void deliver(const ConnPtr& conn, std::string plaintext);
  void give_work(const ConnPtr& conn);  // any thread

  // ---- the I/O thread (listener_io.cc) ----
  void io_loop();
  int wait_ms(Clock::time_point now) const;
  void accept_all(const Fd& from);
  void listen_to(std::uint32_t events);  // of both sockets
  void on_connect(Fd fd, std::string peer);
  void on_readable(const ConnPtr& conn);
  void on_bytes(const ConnPtr& conn, std::string_view bytes);
  bool take_message(const ConnPtr& conn, Parts message);
  void refuse(const ConnPtr& conn, const Error& error, std::atomic<std::uint64_t>& counter, bool tell);
  // Forgets a connection; if it is followed, its worker tells on_closed. `reset`: what is queued in either direction is thrown away.
  void drop(const ConnPtr& conn, bool reset);
  bool make_room(bool of_any_kind);
  void shed();
  void look_at_dirty();
  void let_linger(const ConnPtr& conn);
  void set_partial(Conn& conn, std::size_t bytes) {
    n.inbound_bytes += bytes;
    n.inbound_bytes -= std::exchange(conn.partial_bytes, bytes);
  }
  void do_timers(Clock::time_point now);
};

}  // namespace bai::wire
