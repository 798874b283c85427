#include "wire/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/fd.h"
#include "wire/local.h"
#include "wire/zmtp.h"

namespace bai::wire {
namespace {

using Clock = Client::Clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kNoticeAfter{1};
constexpr milliseconds kConnectTime{3000};  // one try; then the next address
// For an answer on one connection: a third of the time there is, within these; doubles.
constexpr milliseconds kPatienceMin{1000}, kPatience{10000};
constexpr milliseconds kPauseMin{20}, kPauseMax{500};
constexpr std::size_t kMaxHostsFile = 1 << 20;

bool is_address(const std::string& text, bool& v6) {
  in6_addr buf{};
  v6 = inet_pton(AF_INET6, text.c_str(), &buf) == 1;
  return v6 || inet_pton(AF_INET, text.c_str(), &buf) == 1;
}

// The first address that a hosts(5) file gives for a name.
std::string look_up(std::string_view hosts, std::string_view name) {
  const auto same = [&](std::string_view a) {
    return std::equal(a.begin(), a.end(), name.begin(), name.end(),
                      [](char x, char y) { return (x | 32) == (y | 32); });
  };
  while (!hosts.empty()) {
    const auto end = std::min(hosts.find('\n'), hosts.size());
    std::string_view line = hosts.substr(0, end);
    hosts.remove_prefix(std::min(end + 1, hosts.size()));
    line = line.substr(0, line.find('#'));
    std::string_view address;
    while (!line.empty()) {
      const auto from = line.find_first_not_of(" \t\r");
      if (from == std::string_view::npos) break;
      line.remove_prefix(from);
      const auto word = line.substr(0, line.find_first_of(" \t\r"));
      line.remove_prefix(word.size());
      if (address.empty()) {
        address = word;
      } else if (same(word)) {
        return std::string(address);
      }
    }
  }
  return {};
}

Error connection_error(const std::string& daemon, const std::string& endpoint, std::string_view why) {
  return Error{"unreachable", daemon + " at " + endpoint + " cannot be reached: " + std::string(why), "",
               "check that it runs there, and the controller's address in bai.conf"};
}

}  // namespace

Result<SocketAddress> resolve_endpoint(std::string_view endpoint, const std::string& hosts_file) {
  const auto bad = [&](std::string why) {
    return Error{"bad_endpoint", std::move(why), std::string(endpoint),
                 "write HOST:PORT, ADDRESS:PORT or [V6ADDRESS]:PORT"};
  };
  SocketAddress out;
  const auto colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return bad("an address without a port");
  const auto port = endpoint.substr(colon + 1);
  const auto [end, err] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (err != std::errc() || end != port.data() + port.size() || out.port == 0)
    return bad("not a port number");
  std::string_view host = endpoint.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  out.host = host;
  if (host.empty()) return bad("an address without a host");
  if (is_address(out.host, out.v6)) {
    if (out.v6 != bracketed) return bad("only an IPv6 address stands in brackets");
    return out;
  }
  if (bracketed) return bad("not an IPv6 address");
  auto hosts = read_all(hosts_file, kMaxHostsFile);
  if (hosts) out.host = look_up(*hosts, host);
  if (!hosts || out.host.empty() || !is_address(out.host, out.v6)) {
    return Error{"bad_endpoint", "no address is known for host " + std::string(host), std::string(endpoint),
                 "put it into " + hosts_file + ", or write its numeric address into bai.conf"};
  }
  return out;
}

struct Client::Impl {
  ClientOptions options;
  Fd fd{};
  ZmtpDecoder decoder{};
  std::optional<ClientSession> session{};
  std::vector<SocketAddress> addresses{};

  std::string where{};  // the endpoint in use
  bool near = true;     // it is looked for on this machine first
  Clock::time_point deadline{};
  std::optional<Clock::time_point> notice_at{};

  void maybe_notice(Clock::time_point now) {
    if (!notice_at || now < *notice_at || now >= deadline) return;
    notice_at.reset();
    if (!options.notice) return;
    const auto left = std::chrono::ceil<seconds>(deadline - now).count();
    options.notice(options.daemon + " at " + where + " does not answer yet; still trying for " +
                   std::to_string(left) + " s");
  }

  // Waits for `events` (0: merely waits). False when `until` (none: never) has passed.
  bool wait(short events, std::optional<Clock::time_point> until) {
    for (;;) {
      const auto now = Clock::now();
      maybe_notice(now);
      std::optional<Clock::time_point> next = until;
      if (notice_at && (!next || *notice_at < *next)) next = notice_at;
      int ms = -1;
      if (next) {
        const auto left = std::chrono::ceil<milliseconds>(*next - now).count();
        ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 3600 * 1000));
      }
      pollfd p{events != 0 ? fd.get() : -1, events, 0};
      if (poll(&p, 1, ms) > 0) return true;
      if (until && Clock::now() >= *until) return false;
    }
  }

  Status open_socket(const SocketAddress& address) {
    if (near && (fd = connect_local(where, options.hello.daemon_uid))) return {};
    near = false;
    fd = Fd(socket(address.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return errno_error("cannot make a socket", "", errno);
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in6 six{};
    sockaddr_in four{};
    const sockaddr* to = nullptr;
    socklen_t size = 0;
    if (address.v6) {
      six.sin6_family = AF_INET6;
      six.sin6_port = htons(address.port);
      inet_pton(AF_INET6, address.host.c_str(), &six.sin6_addr);
      to = reinterpret_cast<const sockaddr*>(&six);
      size = sizeof six;
    } else {
      four.sin_family = AF_INET;
      four.sin_port = htons(address.port);
      inet_pton(AF_INET, address.host.c_str(), &four.sin_addr);
      to = reinterpret_cast<const sockaddr*>(&four);
      size = sizeof four;
    }
    if (connect(fd.get(), to, size) != 0 && errno != EINPROGRESS)
      return errno_error("cannot connect", "", errno);
    return {};
  }

  // Sends everything; while the connection is being made the first send() says so, which saves asking.
  // At least once in `patience` something must go out.
  Status send_all(std::string_view bytes, milliseconds patience, std::optional<Clock::time_point> end) {
    auto until = Clock::now() + patience;
    while (!bytes.empty()) {
      const auto n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
        if (!bytes.empty()) until = Clock::now() + kPatience;  // it takes its time, but it takes
      } else if (errno == EAGAIN || errno == ENOTCONN) {
        if (!wait(POLLOUT, end ? std::min(until, *end) : until))
          return Error{"timeout", "it does not accept data in time"};
      } else if (errno != EINTR) {
        return Error{"lost", std::strerror(errno)};
      }
    }
    return {};
  }

  // The next ZMTP message. Errors: "timeout", "lost", "zmtp".
  Result<Parts> receive(std::optional<Clock::time_point> until) {
    std::array<char, 65536> buf;
    for (;;) {
      Parts message;
      const auto got = decoder.next(message);
      if (got == ZmtpDecoder::Got::message) return message;
      if (got == ZmtpDecoder::Got::error) return decoder.error();
      if (const std::string out = decoder.take_output(); !out.empty()) {
        if (auto sent = send_all(out, kPatience, until); !sent) return sent.error();
      }
      if (!wait(POLLIN, until)) return Error{"timeout", "no answer in time"};
      const auto n = recv(fd.get(), buf.data(), buf.size(), 0);
      if (n > 0) {
        decoder.feed({buf.data(), static_cast<std::size_t>(n)});
      } else if (n == 0) {
        return Error{"lost", "the connection was closed"};
      } else if (errno != EAGAIN && errno != EINTR) {
        return Error{"lost", std::strerror(errno)};
      }
    }
  }

  // One try. `sent` says whether the whole request went out.
  Result<std::string> attempt(const SocketAddress& address, std::string_view request, milliseconds patience,
                              bool& sent) {
    if (auto opened = open_socket(address); !opened) return Error{"lost", opened.error().message};
    // The daemon accepts while munged is asked.
    auto begun = ClientSession::begin(options.hello, request);
    if (!begun) return begun.error();
    session.emplace(std::move(*begun));
    decoder = ZmtpDecoder({.parts = 3, .part_bytes = options.max_reply, .message_bytes = options.max_reply});
    // All at once: the listener takes it, and a round trip is saved. (libzmq's ROUTER would want its READY awaited.)
    std::string bytes = zmtp_greeting();
    bytes += zmtp_ready("DEALER");
    zmtp_append(bytes, session->hello());
    if (auto done = send_all(bytes, kConnectTime, deadline); !done) return done.error();
    sent = true;
    auto message = receive(std::min(deadline, Clock::now() + patience));
    if (!message) return message.error();
    if (auto refusal = read_refusal(*message)) {
      // A daemon refuses before it looks at the request. But it may have seen this hello twice, and taken the other one.
      sent = refusal->code == "credential_replayed";
      return std::move(*refusal);
    }
    auto reply = session->open(*message);
    if (!reply) return reply.error();
    return reply->value_or(std::string());
  }

  Result<std::string> call(const std::function<std::string(bool)>& build);
};

Result<std::string> Client::Impl::call(const std::function<std::string(bool)>& build) {
  if (options.endpoints.empty())
    return Error{"bad_endpoint", "no address of " + options.daemon + " is known", "", "name it in bai.conf"};
  if (addresses.empty()) {
    for (const auto& e : options.endpoints) {
      auto a = resolve_endpoint(e);
      if (!a) return a.error();
      addresses.push_back(std::move(*a));
    }
  }
  const std::size_t count = addresses.size();
  bool maybe_done = false;
  milliseconds pause = kPauseMin;
  auto patience =
      std::clamp(std::chrono::ceil<milliseconds>((deadline - Clock::now()) / 3), kPatienceMin, kPatience);
  notice_at = Clock::now() + kNoticeAfter;
  const auto finish = [&](Error error) {
    fd.reset();
    session.reset();
    notice_at.reset();
    if (maybe_done) error.code = "outcome_unknown";
    return error;
  };
  for (std::size_t i = 0;; ++i) {
    where = options.endpoints[i % count];
    bool sent = false;
    auto reply = attempt(addresses[i % count], build(maybe_done), patience, sent);
    if (reply) {
      notice_at.reset();
      return reply;
    }
    maybe_done = maybe_done || sent;
    near = false;
    const std::string& code = reply.error().code;
    const bool again = code == "lost" || code == "timeout" || code == "zmtp" || code == "busy" ||
                       code == "credential_replayed";  // by the network: the next hello is a fresh one
    if (!again) return finish(reply.error());
    if (code == "timeout" && sent) patience *= 2;
    fd.reset();
    const auto now = Clock::now();
    Error failed = connection_error(options.daemon, where, reply.error().message);
    if (now >= deadline) return finish(std::move(failed));
    if ((i + 1) % count == 0) {
      if (!wait(0, std::min(deadline, now + pause)) && Clock::now() >= deadline)
        return finish(std::move(failed));
      pause = std::min(pause * 2, kPauseMax);
    }
  }
}

Client::Client(ClientOptions options) : impl_(new Impl{.options = std::move(options)}) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Result<std::string> Client::call(const std::function<std::string(bool repeat)>& build,
                                 Clock::time_point deadline) {
  impl_->deadline = deadline;
  return impl_->call(build);
}

Result<std::string> Client::next(std::optional<Clock::time_point> deadline) {
  if (!impl_->session || !impl_->session->established()) return Error{"lost", "there is no connection"};
  auto message = impl_->receive(deadline);
  if (!message) {
    if (message.error().code == "timeout") return message.error();
    return Error{"lost", "the connection to " + impl_->options.daemon + " at " + impl_->where +
                             " was lost: " + message.error().message};
  }
  auto plain = impl_->session->open(*message);
  if (!plain) return plain.error();
  return plain->value_or(std::string());
}

Status Client::send(std::string_view plaintext) {
  if (!impl_->session || !impl_->session->established()) return Error{"lost", "there is no connection"};
  std::string out;
  zmtp_append_part(out, impl_->session->seal(plaintext), false);
  return impl_->send_all(out, kPatience, {});
}

int Client::fd() const { return impl_->fd.get(); }

}  // namespace bai::wire
