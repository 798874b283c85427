#include "wire/fleet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/aside.h"
#include "base/fd.h"
#include "wire/client.h"
#include "wire/zmtp.h"

namespace bai::wire {
namespace {

using Clock = Fleet::Clock;
using std::chrono::milliseconds;

constexpr std::size_t kOtherFiles = 64;  // descriptors of the process beside the members'
constexpr std::uint64_t kAsideTag = ~std::uint64_t{0};
constexpr std::chrono::seconds kStood{10};  // a session that stood for so long was well
constexpr int kPeerGoneMs = 60'000;         // what was sent is not acknowledged

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> address_of(const std::string& endpoint) {
  auto resolved = resolve_endpoint(endpoint);
  if (!resolved.ok()) return resolved.error();
  Address out;
  if (resolved->v6) {
    auto& at = reinterpret_cast<sockaddr_in6&>(out.storage);
    at.sin6_family = AF_INET6;
    at.sin6_port = htons(resolved->port);
    inet_pton(AF_INET6, resolved->host.c_str(), &at.sin6_addr);
    out.size = sizeof at;
  } else {
    auto& at = reinterpret_cast<sockaddr_in&>(out.storage);
    at.sin_family = AF_INET;
    at.sin_port = htons(resolved->port);
    inet_pton(AF_INET, resolved->host.c_str(), &at.sin_addr);
    out.size = sizeof at;
  }
  return out;
}

Status make_room_for(std::size_t members) {
  const rlim_t wanted = members + kOtherFiles;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit))
    return errno_error("cannot ask for the limit of open files", "", errno);
  if (limit.rlim_max < wanted)
    return Error{"too_many_files",
                 std::to_string(members) + " sessions need " + std::to_string(wanted) +
                     " open files, and this process may have " + std::to_string(limit.rlim_max),
                 "", "raise the hard limit (ulimit -Hn, LimitNOFILE=), or ask for fewer"};
  if (limit.rlim_cur >= wanted) return {};
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit)) return errno_error("cannot raise the limit of open files", "", errno);
  return {};
}

}  // namespace

struct Fleet::Impl {
  enum class State { waiting, asking, hello, connected };  // to be dialled; for MUNGE; for the welcome

  struct Member {
    std::string name;
    State state = State::waiting;
    Clock::time_point at{};  // waiting: when to dial; hello: when that ends; connected: since
    milliseconds pause{};
    Fd fd{};
    ZmtpDecoder decoder{};
    std::optional<ClientSession> session{};
    std::string out{};  // from `sent` on: what the system did not take
    std::size_t sent = 0;
    bool awaits_room = false;
  };

  FleetOptions options;
  std::vector<Address> addresses;
  std::vector<Member> members;
  Fd epoll{};
  std::unique_ptr<Aside> aside;
  std::set<std::pair<Clock::time_point, std::size_t>> waiting{}, greeting{};  // by Member::at
  std::size_t asking = 0, standing = 0, tries = 0;
  // Since the last session that came about: how long all wait, and until when.
  milliseconds pause{};
  Clock::time_point not_before{};
  std::vector<std::pair<std::size_t, DealerEvent>> events{};

  std::size_t allowed() const { return pause.count() ? 1 : options.at_once; }
  std::size_t on_their_way() const { return asking + greeting.size(); }

  void wait_until(std::size_t i, Clock::time_point at) {
    members[i].state = State::waiting;
    members[i].at = at;
    waiting.emplace(at, i);
  }

  // Before it dials: a daemon does not wait long for a hello, and munged may hang.
  void ask(std::size_t i) {
    members[i].state = State::asking;
    ++asking;
    HelloOptions hello = options.hello;
    hello.name = members[i].name;
    aside->run([this, i, hello = std::move(hello)]() -> Aside::Finish {
      auto begun = std::make_shared<Result<ClientSession>>(ClientSession::begin(hello));
      return [this, i, begun] {
        --asking;
        if (!*begun) return lose(i, begun->error());
        members[i].session.emplace(std::move(**begun));
        dial(i);
      };
    });
  }

  void dial(std::size_t i) {
    Member& m = members[i];
    const Address& to = addresses[tries % addresses.size()];
    m.fd = Fd(socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!m.fd) return lose(i, errno_error("cannot make a socket", "", errno));
    const int on = 1;
    setsockopt(m.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(m.fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(m.fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kPeerGoneMs, sizeof kPeerGoneMs);
    if (connect(m.fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) && errno != EINPROGRESS)
      return lose(i, unreachable(errno));
    m.decoder =
        ZmtpDecoder({.parts = 3, .part_bytes = options.max_message, .message_bytes = options.max_message});
    m.out = zmtp_greeting() + zmtp_ready("DEALER");
    zmtp_append(m.out, m.session->hello());
    m.sent = 0;
    m.state = State::hello;
    m.at = Clock::now() + options.handshake_time;
    greeting.emplace(m.at, i);
    m.awaits_room = true;
    epoll_event event{EPOLLIN | EPOLLOUT, {.u64 = i}};
    epoll_ctl(epoll.get(), EPOLL_CTL_ADD, m.fd.get(), &event);
  }

  Error unreachable(int err) const {
    return Error{"unreachable", std::string("cannot connect: ") + strerror(err),
                 options.endpoints[tries % addresses.size()], "check that the daemon runs there"};
  }

  // Back among those who wait, whatever it was at.
  void lose(std::size_t i, Error reason) {
    Member& m = members[i];
    const auto now = Clock::now();
    if (m.state == State::connected) {
      --standing;
      if (now - m.at >= kStood) m.pause = {};
    } else {
      greeting.erase({m.at, i});
      pause = std::clamp(pause * 2, options.retry_min, options.retry_max);
      not_before = now + pause;
      ++tries;
    }
    m.fd.reset();
    m.session.reset();
    m.decoder = ZmtpDecoder();
    m.out = {};
    m.pause = std::clamp(m.pause * 2, options.retry_min, options.retry_max);
    const auto ms = static_cast<std::uint32_t>(m.pause.count());
    wait_until(i, now + milliseconds(ms / 2 + randombytes_uniform(ms / 2 + 1)));
    events.emplace_back(i, DealerLost{std::move(reason)});
  }

  void begin_what_is_due(Clock::time_point now) {
    while (!waiting.empty() && now >= not_before && on_their_way() < allowed() &&
           waiting.begin()->first <= now) {
      const std::size_t i = waiting.begin()->second;
      waiting.erase(waiting.begin());
      ask(i);
    }
    while (!greeting.empty() && greeting.begin()->first <= now)
      lose(greeting.begin()->second,
           Error{"unreachable", "no answer in time", "", "check that the daemon runs there"});
  }

  void write_some(std::size_t i) {
    Member& m = members[i];
    while (m.sent < m.out.size()) {
      const auto wrote = ::send(m.fd.get(), m.out.data() + m.sent, m.out.size() - m.sent, MSG_NOSIGNAL);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0 && errno != EAGAIN) return;  // reading tells why
      if (wrote < 0) break;
      m.sent += static_cast<std::size_t>(wrote);
    }
    if (m.sent == m.out.size()) {
      m.out.clear();
      m.sent = 0;
    }
    if (m.awaits_room == m.out.empty()) {
      m.awaits_room = !m.out.empty();
      epoll_event event{EPOLLIN | (m.awaits_room ? EPOLLOUT : 0u), {.u64 = i}};
      epoll_ctl(epoll.get(), EPOLL_CTL_MOD, m.fd.get(), &event);
    }
  }

  void read_some(std::size_t i) {
    static thread_local std::array<char, 64 * 1024> buffer;
    Member& m = members[i];
    const auto got = recv(m.fd.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0 && m.state == State::hello) return lose(i, unreachable(errno));
    if (got <= 0) return lose(i, Error{"lost", "the connection was lost"});
    m.decoder.feed({buffer.data(), static_cast<std::size_t>(got)});
    for (;;) {
      Parts parts;
      const auto what = m.decoder.next(parts);
      if (what == ZmtpDecoder::Got::error) return lose(i, m.decoder.error());
      if (what == ZmtpDecoder::Got::more) break;
      if (!take(i, parts)) return;
    }
    if (std::string pongs = m.decoder.take_output(); !pongs.empty()) {
      m.out += pongs;
      write_some(i);
    }
  }

  bool take(std::size_t i, const Parts& parts) {
    Member& m = members[i];
    auto plain = m.session->open(parts);
    if (!plain) {
      lose(i, plain.error());
      return false;
    }
    if (m.state == State::hello) {
      greeting.erase({m.at, i});
      m.state = State::connected;
      m.at = Clock::now();
      ++standing;
      pause = {};
      events.emplace_back(i, DealerConnected{});
    } else if (*plain) {
      events.emplace_back(i, DealerMessage{std::move(**plain)});
    }
    return true;
  }

  void step(Clock::time_point now) {
    begin_what_is_due(now);
    std::array<epoll_event, 512> ready{};
    const int n = epoll_wait(epoll.get(), ready.data(), ready.size(), 0);
    for (int k = 0; k < n; ++k) {
      const auto& event = ready[static_cast<std::size_t>(k)];
      if (event.data.u64 == kAsideTag) {
        aside->finish();
        continue;
      }
      const auto i = static_cast<std::size_t>(event.data.u64);
      if (members[i].fd && (event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) read_some(i);
      if (members[i].fd && (event.events & EPOLLOUT) != 0) write_some(i);
    }
    begin_what_is_due(now);
  }
};

Fleet::Fleet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Fleet::~Fleet() = default;

Result<std::unique_ptr<Fleet>> Fleet::start(FleetOptions options, std::vector<std::string> names) {
  if (auto room = make_room_for(names.size()); !room.ok()) return room.error();
  if (sodium_init() < 0) return Error{"io_error", "libsodium cannot begin"};
  auto impl = std::make_unique<Impl>();
  for (const auto& endpoint : options.endpoints) {
    auto address = address_of(endpoint);
    if (!address.ok()) return address.error();
    impl->addresses.push_back(*address);
  }
  if (impl->addresses.empty()) return Error{"bad_endpoint", "no daemon is named"};
  impl->options = std::move(options);
  impl->epoll = Fd(epoll_create1(EPOLL_CLOEXEC));
  auto aside = Aside::start();
  if (!aside.ok()) return aside.error();
  impl->aside = std::move(*aside);
  epoll_event event{EPOLLIN, {.u64 = kAsideTag}};
  if (!impl->epoll || epoll_ctl(impl->epoll.get(), EPOLL_CTL_ADD, impl->aside->fd(), &event))
    return errno_error("cannot set up the event loop", "", errno);
  impl->members.resize(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    impl->members[i].name = std::move(names[i]);
    impl->wait_until(i, Clock::time_point{});
  }
  return std::unique_ptr<Fleet>(new Fleet(std::move(impl)));
}

int Fleet::fd() const { return impl_->epoll.get(); }

std::optional<Fleet::Clock::time_point> Fleet::next_deadline() const {
  std::optional<Clock::time_point> out;
  if (!impl_->waiting.empty() && impl_->on_their_way() < impl_->allowed())
    out = std::max(impl_->waiting.begin()->first, impl_->not_before);
  if (!impl_->greeting.empty())
    out = std::min(out.value_or(Clock::time_point::max()), impl_->greeting.begin()->first);
  if (!impl_->events.empty()) out = Clock::time_point{};
  return out;
}

void Fleet::step(Clock::time_point now, const OnEvent& tell) {
  impl_->step(now);
  for (auto& [member, event] : std::exchange(impl_->events, {})) tell(member, std::move(event));
}

bool Fleet::connected(std::size_t member) const {
  return impl_->members[member].state == Impl::State::connected;
}
std::size_t Fleet::connected() const { return impl_->standing; }

bool Fleet::send(std::size_t member, std::string_view plaintext) {
  auto& m = impl_->members[member];
  if (m.state != Impl::State::connected) return false;
  if (m.out.size() - m.sent > impl_->options.max_unsent) {
    impl_->lose(member, Error{"lost", "the daemon does not read what it is sent"});
    return false;
  }
  zmtp_append(m.out, {m.session->seal(plaintext)});
  if (!m.awaits_room) impl_->write_some(member);
  return true;
}

void Fleet::reconnect(std::size_t member) {
  if (connected(member)) impl_->lose(member, Error{"lost", "the connection was given up"});
}

}  // namespace bai::wire
