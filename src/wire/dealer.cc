#include "wire/dealer.h"

#include <sodium.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <zmq.hpp>

#include "base/aside.h"
#include "base/fd.h"
#include "wire/zmtp.h"

namespace bai::wire {
namespace {

using Clock = Dealer::Clock;
using std::chrono::milliseconds;

constexpr int kMessagesPerStep = 1000;
constexpr int kMaxParts = 3;
constexpr int kMonitored = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                           ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;

}  // namespace

struct Dealer::Impl {
  enum class State {
    idle,
    asking,
    dialling,
    hello,
    connected
  };  // asking MUNGE for a credential, for the hello

  DealerOptions options;
  zmq::context_t context{1};
  Fd epoll{};
  State state = State::idle;
  zmq::socket_t socket{};
  zmq::socket_t monitor{};
  std::optional<ClientSession> session{};
  Result<std::unique_ptr<Aside>> aside = Aside::start();
  std::size_t tries = 0;
  Clock::time_point dial_at{};         // while idle
  Clock::time_point handshake_ends{};  // while dialling or waiting for the welcome
  milliseconds pause{};
  bool pending = false;  // something may be read though fd() is silent
  std::string where{};
  std::vector<DealerEvent> events{};

  explicit Impl(DealerOptions o)
      : options(std::move(o)), epoll(epoll_create1(EPOLL_CLOEXEC)), pause(options.retry_min) {
    if (aside) watch((*aside)->fd());
  }
  ~Impl() { hang_up(); }

  void watch(zmq::socket_t& s, int op) {
    epoll_event e{};
    e.events = EPOLLIN;
    epoll_ctl(epoll.get(), op, s.get(zmq::sockopt::fd), &e);
  }

  void watch(int fd) {
    epoll_event e{};
    e.events = EPOLLIN;
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &e);
  }

  // Before it dials: a daemon does not wait long for a hello, and munged may hang.
  void ask(Clock::time_point now) {
    where = options.endpoints.empty() ? "" : options.endpoints[tries % options.endpoints.size()];
    if (!aside) return lose(now, aside.error());
    state = State::asking;
    (*aside)->run([this, hello = options.hello]() -> Aside::Finish {
      auto begun = std::make_shared<Result<ClientSession>>(ClientSession::begin(hello));
      return [this, begun] {
        if (!*begun) return lose(Clock::now(), begun->error());
        session.emplace(std::move(**begun));
        dial(Clock::now());
      };
    });
  }

  void dial(Clock::time_point now) {
    handshake_ends = now + options.handshake_time;
    try {
      socket = zmq::socket_t(context, zmq::socket_type::dealer);
      socket.set(zmq::sockopt::linger, 0);
      socket.set(zmq::sockopt::reconnect_ivl, -1);  // each connection needs a hello of its own
      socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(options.max_message));
      socket.set(zmq::sockopt::connect_timeout, static_cast<int>(options.handshake_time.count()));
      socket.set(zmq::sockopt::handshake_ivl, static_cast<int>(options.handshake_time.count()));
      if (options.heartbeat.count() > 0) {
        socket.set(zmq::sockopt::heartbeat_ivl, static_cast<int>(options.heartbeat.count()));
        socket.set(zmq::sockopt::heartbeat_timeout, static_cast<int>(3 * options.heartbeat.count()));
      }
      if (where.starts_with('[')) socket.set(zmq::sockopt::ipv6, true);
      const std::string name = "inproc://bai-dealer-" + std::to_string(tries);
      if (zmq_socket_monitor(socket.handle(), name.c_str(), kMonitored) != 0) throw zmq::error_t();
      monitor = zmq::socket_t(context, zmq::socket_type::pair);
      monitor.set(zmq::sockopt::linger, 0);
      monitor.connect(name);
      watch(socket, EPOLL_CTL_ADD);
      watch(monitor, EPOLL_CTL_ADD);
      socket.connect("tcp://" + where);
      state = State::dialling;
    } catch (const zmq::error_t& e) {
      lose(now, Error{"unreachable", std::string("cannot connect: ") + e.what(), where});
    }
    ++tries;
  }

  void hang_up() {
    if (socket) {
      watch(socket, EPOLL_CTL_DEL);
      zmq_socket_monitor(socket.handle(), nullptr, 0);
    }
    if (monitor) watch(monitor, EPOLL_CTL_DEL);
    socket.close();
    monitor.close();
    session.reset();
    state = State::idle;
  }

  void lose(Clock::time_point now, Error reason) {
    hang_up();
    // Between half and all of the pause, so that a thousand agents do not come back in one moment.
    const auto ms = static_cast<std::uint32_t>(pause.count());
    dial_at = now + milliseconds(ms / 2 + randombytes_uniform(ms / 2 + 1));
    pause = std::min(pause * 2, options.retry_max);
    events.emplace_back(DealerLost{std::move(reason)});
  }

  bool put(const Parts& message) {
    for (std::size_t i = 0; i < message.size(); ++i) {
      const int more = i + 1 < message.size() ? ZMQ_SNDMORE : 0;
      if (zmq_send(socket.handle(), message[i].data(), message[i].size(), ZMQ_DONTWAIT | more) < 0)
        return false;
    }
    return true;
  }

  // One event of the monitor's; false if there is none.
  bool read_monitor(Clock::time_point now) {
    zmq::message_t head, address;
    if (!monitor || zmq_msg_recv(head.handle(), monitor.handle(), ZMQ_DONTWAIT) < 0) return false;
    zmq_msg_recv(address.handle(), monitor.handle(), ZMQ_DONTWAIT);
    std::uint16_t event = 0;
    if (head.size() >= sizeof event) std::memcpy(&event, head.data(), sizeof event);
    if (event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      int budget = kMessagesPerStep;
      while (socket && budget-- > 0 && read_message(now)) {  // what came before the end still counts
      }
      if (state == State::idle) return false;
      lose(now, state == State::dialling
                    ? Error{"unreachable", "cannot connect", where, "check that the daemon runs there"}
                    : Error{"lost", "the connection was lost", where});
      return false;
    }
    if (state != State::dialling) return true;
    state = State::hello;
    if (!put(session->hello())) lose(now, Error{"lost", "the hello could not be sent", where});
    return state == State::hello;
  }

  // One message; false if there is none or the session ended.
  bool read_message(Clock::time_point now) {
    Parts parts;
    zmq::message_t part;
    do {
      if (zmq_msg_recv(part.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) return false;
      parts.emplace_back(part.to_string());
    } while (part.more() && parts.size() <= kMaxParts);
    if (state == State::dialling) {
      lose(now, Error{"seal", "a message before the hello", where});
      return false;
    }
    const bool first = !session->established();
    auto plain = session->open(parts);
    if (!plain) {
      Error e = plain.error();
      if (e.place.empty()) e.place = where;
      lose(now, std::move(e));
      return false;
    }
    if (first) {
      state = State::connected;
      pause = options.retry_min;
      events.emplace_back(DealerConnected{});
    } else if (*plain) {
      events.emplace_back(DealerMessage{std::move(**plain)});
    }
    return true;
  }

  void step(Clock::time_point now) {
    pending = false;
    if (aside) (*aside)->finish();
    if (state == State::idle && now >= dial_at) ask(now);
    int budget = kMessagesPerStep;
    while (socket) {
      if (read_monitor(now)) continue;
      if (!socket || !read_message(now)) break;
      if (--budget == 0) {
        pending = true;
        break;
      }
    }
    if ((state == State::dialling || state == State::hello) && now >= handshake_ends) {
      lose(now, Error{"unreachable", "no answer in time", where, "check that the daemon runs there"});
    }
  }

  // After libzmq was called elsewhere than in step(), its descriptor may have lost its edge.
  void recheck() {
    if (socket && (socket.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0) pending = true;
    if (monitor && (monitor.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0) pending = true;
  }
};

Dealer::Dealer(DealerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Dealer::~Dealer() = default;

int Dealer::fd() const { return impl_->epoll.get(); }

std::optional<Dealer::Clock::time_point> Dealer::next_deadline() const {
  if (impl_->pending) return Clock::time_point{};
  switch (impl_->state) {
    case Impl::State::idle:
      return impl_->dial_at;
    case Impl::State::dialling:
    case Impl::State::hello:
      return impl_->handshake_ends;
    case Impl::State::asking:
    case Impl::State::connected:
      return {};
  }
  return {};
}

std::vector<DealerEvent> Dealer::step(Clock::time_point now) {
  impl_->step(now);
  impl_->recheck();
  return std::exchange(impl_->events, {});
}

bool Dealer::connected() const { return impl_->state == Impl::State::connected; }

bool Dealer::send(std::string_view plaintext) {
  if (!connected()) return false;
  // A sealed message that is not sent would break the order, so room is asked for first.
  if ((impl_->socket.get(zmq::sockopt::events) & ZMQ_POLLOUT) == 0) {
    impl_->recheck();
    return false;
  }
  const bool sent = impl_->put({impl_->session->seal(plaintext)});
  impl_->recheck();
  if (!sent) reconnect();
  return sent;
}

void Dealer::reconnect() {
  if (impl_->state == Impl::State::asking) return;
  if (impl_->state == Impl::State::idle) {
    impl_->dial_at = {};
    return;
  }
  impl_->lose(Clock::now(), Error{"lost", "the connection was given up", impl_->where});
  impl_->dial_at = {};
  impl_->pending = true;
}

}  // namespace bai::wire
