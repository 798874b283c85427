#include "wire/seal.h"

#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/archive.h"
#include "base/text.h"
#include "wire/munge.h"

namespace bai::wire {
namespace {

static_assert(kSealOverhead == crypto_secretstream_xchacha20poly1305_ABYTES);
static_assert(kSealHeader == crypto_secretstream_xchacha20poly1305_HEADERBYTES);
static_assert(crypto_secretstream_xchacha20poly1305_KEYBYTES == 32);

using Key = std::array<std::uint8_t, 32>;
constexpr std::string_view kMagic = "BAI";
constexpr std::string_view kRefusal = "BAI-ERR";
constexpr std::size_t kNonce = 32;
constexpr std::size_t kMaxRefusal = 512;
constexpr std::string_view kEarlyLabel = "bai early request";
constexpr std::string_view kToDaemonLabel = "bai caller to daemon";
constexpr std::string_view kToCallerLabel = "bai daemon to caller";

// What the credential carries, readable by the daemon's uid alone.
struct HelloBody {
  std::string purpose = "bai hello";  // no other credential of ours can be taken for a hello
  std::uint8_t min = kProtocolMin;
  std::uint8_t max = kProtocolMax;
  std::string cluster_uuid;
  Role role = Role::none;
  std::string name;
  Role daemon_role = Role::none;
  std::string daemon_name;
  Key key{};

  ~HelloBody() { sodium_memzero(key.data(), key.size()); }
  template <class A>
  void serialize(A& a) {
    a(cap(purpose, 16), min, max, cap(cluster_uuid, 64), at_most(role, Role::web), cap(name, kMaxName),
      at_most(daemon_role, Role::web), cap(daemon_name, kMaxName), key);
  }
};

void init_sodium() {
  static const int ready = sodium_init();
  if (ready < 0) std::abort();  // no random numbers: nothing may go on
}

const std::uint8_t* bytes(std::string_view s) { return reinterpret_cast<const std::uint8_t*>(s.data()); }

// A hash over the parts that both ends saw, each with its length.
class Transcript {
 public:
  Transcript() { crypto_generichash_init(&state_, nullptr, 0, 32); }
  void add(std::string_view part) {
    std::array<std::uint8_t, 8> size{};
    for (std::size_t i = 0; i < 8; ++i) size[i] = static_cast<std::uint8_t>(part.size() >> (8 * i));
    crypto_generichash_update(&state_, size.data(), size.size());
    crypto_generichash_update(&state_, bytes(part), part.size());
  }
  void add(const Parts& parts, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) add(parts[i]);
  }
  Key key(const Key& fresh, std::string_view label) const {
    crypto_generichash_state copy = state_;
    Key hash{};
    crypto_generichash_final(&copy, hash.data(), hash.size());
    crypto_generichash_init(&copy, fresh.data(), fresh.size(), 32);
    crypto_generichash_update(&copy, bytes(label), label.size());
    crypto_generichash_update(&copy, hash.data(), hash.size());
    Key out{};
    crypto_generichash_final(&copy, out.data(), out.size());
    return out;
  }

 private:
  crypto_generichash_state state_;
};

std::string version_part(std::uint8_t a) { return std::string(kMagic) + static_cast<char>(a); }

std::string clean(std::string_view text, std::size_t max) {
  std::string out(text.substr(0, max));
  for (char& c : out) {
    if (static_cast<std::uint8_t>(c) < 0x20 || c == 0x7f) c = '?';
  }
  if (has_control(out))
    std::replace_if(
        out.begin(), out.end(), [](char c) { return (c & 0x80) != 0; }, '?');
  return out;
}

Error broken() {
  return Error{"seal",
               "a message does not belong to this session: altered, repeated, reflected or out of order"};
}

Error bad_hello(std::string why) { return Error{"bad_hello", "not a bai hello: " + std::move(why)}; }

}  // namespace

std::string_view role_name(Role role) {
  switch (role) {
    case Role::none:
      return "none";
    case Role::command:
      return "command";
    case Role::agent:
      return "agent";
    case Role::controller:
      return "controller";
    case Role::step:
      return "step";
    case Role::web:
      return "web";
  }
  return "unknown";
}

struct Seal::State {
  crypto_secretstream_xchacha20poly1305_state stream{};
  Key key{};           // a receiver's, until it has seen the header
  std::string header;  // a sender's, until it is sent
  bool opened = false;
  bool failed = false;
  ~State() {
    sodium_memzero(&stream, sizeof stream);
    sodium_memzero(key.data(), key.size());
  }
};

Seal::Seal() = default;
Seal::~Seal() = default;
Seal::Seal(Seal&&) noexcept = default;
Seal& Seal::operator=(Seal&&) noexcept = default;

Seal Seal::sender(const Key& key) {
  init_sodium();
  Seal s;
  s.state_ = std::make_unique<State>();
  s.state_->header.resize(kSealHeader);
  crypto_secretstream_xchacha20poly1305_init_push(
      &s.state_->stream, reinterpret_cast<std::uint8_t*>(s.state_->header.data()), key.data());
  return s;
}

Seal Seal::receiver(const Key& key) {
  init_sodium();
  Seal s;
  s.state_ = std::make_unique<State>();
  s.state_->key = key;
  return s;
}

std::string Seal::seal(std::string_view plaintext) {
  std::string out = std::exchange(state_->header, {});
  const std::size_t at = out.size();
  out.resize(at + plaintext.size() + kSealOverhead);
  crypto_secretstream_xchacha20poly1305_push(&state_->stream,
                                             reinterpret_cast<std::uint8_t*>(out.data()) + at, nullptr,
                                             bytes(plaintext), plaintext.size(), nullptr, 0, 0);
  return out;
}

Result<std::string> Seal::open(std::string_view part) {
  if (!state_ || state_->failed) return broken();
  State& s = *state_;
  s.failed = true;  // until shown otherwise
  if (!s.opened) {
    if (part.size() < kSealHeader ||
        crypto_secretstream_xchacha20poly1305_init_pull(&s.stream, bytes(part), s.key.data()) != 0) {
      return broken();
    }
    sodium_memzero(s.key.data(), s.key.size());
    part.remove_prefix(kSealHeader);
    s.opened = true;
  }
  if (part.size() < kSealOverhead) return broken();
  std::string out(part.size() - kSealOverhead, '\0');
  std::uint8_t tag = 0;
  if (crypto_secretstream_xchacha20poly1305_pull(&s.stream, reinterpret_cast<std::uint8_t*>(out.data()),
                                                 nullptr, &tag, bytes(part), part.size(), nullptr, 0) != 0 ||
      tag != 0) {
    return broken();
  }
  s.failed = false;
  return out;
}

Result<ClientSession> ClientSession::begin(const HelloOptions& options,
                                           std::optional<std::string_view> early) {
  init_sodium();
  HelloBody body;
  body.cluster_uuid = options.cluster_uuid;
  body.role = options.role;
  body.name = options.name;
  body.daemon_role = options.daemon_role;
  body.daemon_name = options.daemon_name;
  ClientSession s;
  randombytes_buf(s.key_.data(), s.key_.size());
  body.key = s.key_;
  std::string payload = encode(body);
  auto credential = munge_encode(payload, {.socket = options.munge_socket, .only_uid = options.daemon_uid});
  sodium_memzero(payload.data(), payload.size());
  if (!credential) return credential.error();
  s.hello_.push_back(version_part(kProtocolMin) + static_cast<char>(kProtocolMax));
  s.hello_.push_back(std::move(*credential));
  if (early) {
    Transcript t;
    t.add(s.hello_, 2);
    s.hello_.push_back(Seal::sender(t.key(s.key_, kEarlyLabel)).seal(*early));
    s.early_ = true;
  }
  return s;
}

Result<std::optional<std::string>> ClientSession::open(const Parts& message) {
  if (!established_) return open_welcome(message);
  if (message.size() != 1) return broken();
  auto plain = in_.open(message[0]);
  if (!plain) return plain.error();
  return std::optional<std::string>(std::move(*plain));
}

Result<std::optional<std::string>> ClientSession::open_welcome(const Parts& message) {
  if (auto refusal = read_refusal(message)) return std::move(*refusal);
  if (message.size() != 3 || message[0].size() != kMagic.size() + 1 || !message[0].starts_with(kMagic) ||
      message[1].size() != kNonce) {
    return Error{"seal", "the daemon's answer is not a welcome"};
  }
  const auto version = static_cast<std::uint8_t>(message[0].back());
  if (version < kProtocolMin || version > kProtocolMax)
    return Error{"version", "the daemon chose a protocol version that was not offered"};
  Transcript t;
  t.add(hello_, hello_.size());
  t.add(message, 2);
  out_ = Seal::sender(t.key(key_, kToDaemonLabel));
  in_ = Seal::receiver(t.key(key_, kToCallerLabel));
  auto plain = in_.open(message[2]);
  if (!plain)
    return Error{
        "seal",
        "the answer does not come from the daemon that was called: it cannot have read the credential"};
  if (!early_ && !plain->empty()) return Error{"seal", "the daemon's welcome answers nothing that was asked"};
  sodium_memzero(key_.data(), key_.size());
  established_ = true;
  version_ = version;
  hello_.clear();
  if (!early_) return std::optional<std::string>();
  return std::optional<std::string>(std::move(*plain));
}

std::string ClientSession::seal(std::string_view plaintext) { return out_.seal(plaintext); }

Result<DaemonSession::Opened> DaemonSession::accept(const DaemonIdentity& self, const Parts& hello) {
  init_sodium();
  if (hello.empty() || hello[0].size() != kMagic.size() + 2 || !hello[0].starts_with(kMagic))
    return bad_hello("no opening");
  const auto min = static_cast<std::uint8_t>(hello[0][3]);
  const auto max = static_cast<std::uint8_t>(hello[0][4]);
  if (min > max) return bad_hello("no version range");
  if (min > kProtocolMax || max < kProtocolMin) {
    return Error{"version",
                 "the caller speaks protocol versions " + std::to_string(min) + " to " + std::to_string(max) +
                     ", this daemon " + std::to_string(kProtocolMin) + " to " + std::to_string(kProtocolMax),
                 "", "install the same release of bai on both hosts"};
  }
  if (hello.size() < 2 || hello.size() > 3) return bad_hello("no credential");
  if (hello[1].empty() || hello[1].size() > kMaxCredential || hello[1].find('\0') != std::string::npos)
    return bad_hello("no credential");
  auto credential = munge_decode(hello[1], {.socket = self.munge_socket});
  if (!credential) return credential.error();
  if (!credential->secret) return bad_hello("its credential is not encrypted");
  if (credential->only_uid != geteuid())
    return bad_hello("its credential is not restricted to this daemon's user");
  auto body = decode<HelloBody>(credential->payload);
  sodium_memzero(credential->payload.data(), credential->payload.size());
  if (!body || body->purpose != HelloBody{}.purpose)
    return bad_hello("its credential was made for something else");
  if (body->min != min || body->max != max) return bad_hello("the version range was changed on the way");
  if (body->daemon_role != self.role ||
      (!body->daemon_name.empty() && !self.name.empty() && body->daemon_name != self.name)) {
    return Error{"wrong_daemon",
                 "the caller wanted the " + std::string(role_name(body->daemon_role)) + " " +
                     body->daemon_name + ", this is the " + std::string(role_name(self.role)) + " " +
                     self.name,
                 "", "check the address in the caller's bai.conf"};
  }
  if (!body->cluster_uuid.empty() && !self.cluster_uuid.empty() && body->cluster_uuid != self.cluster_uuid) {
    return Error{"wrong_cluster",
                 "the caller belongs to cluster " + body->cluster_uuid + ", this is " + self.cluster_uuid, "",
                 "check the controller's address and database, and the caller's state directory"};
  }

  Opened opened;
  if (hello.size() == 3) {
    Transcript t;
    t.add(hello, 2);
    auto early = Seal::receiver(t.key(body->key, kEarlyLabel)).open(hello[2]);
    if (!early) return early.error();
    opened.early = std::move(*early);
  }
  DaemonSession& s = opened.session;
  s.version_ = std::min(max, kProtocolMax);
  s.nonce_.resize(kNonce);
  randombytes_buf(s.nonce_.data(), kNonce);
  Transcript t;
  t.add(hello, hello.size());
  t.add(version_part(s.version_));
  t.add(s.nonce_);
  s.out_ = Seal::sender(t.key(body->key, kToCallerLabel));
  s.in_ = Seal::receiver(t.key(body->key, kToDaemonLabel));

  Caller& c = opened.caller;
  c.uid = credential->uid;
  c.gid = credential->gid;
  c.role = body->role;
  c.name = std::move(body->name);
  c.cluster_uuid = std::move(body->cluster_uuid);
  c.host = std::move(credential->host);
  c.credential_age = std::chrono::seconds(credential->decode_time - credential->encode_time);
  c.version = s.version_;
  return opened;
}

Parts DaemonSession::seal(std::string_view plaintext) {
  if (std::exchange(welcomed_, true)) return {out_.seal(plaintext)};
  return {version_part(version_), std::move(nonce_), out_.seal(plaintext)};
}

Result<std::string> DaemonSession::open(const Parts& message) {
  if (message.size() != 1) return broken();
  return in_.open(message[0]);
}

Parts make_refusal(const Error& error) {
  std::string text = error.message;
  if (!error.remedy.empty()) text += " (" + error.remedy + ")";
  return {std::string(kRefusal), clean(error.code, 40), clean(text, kMaxRefusal)};
}

std::optional<Error> read_refusal(const Parts& message) {
  if (message.size() != 3 || message[0] != kRefusal) return {};
  const bool plain = !message[1].empty() && message[1].size() <= 40 &&
                     std::all_of(message[1].begin(), message[1].end(),
                                 [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  return Error{plain ? message[1] : "refused",
               "refused, so says an unproven answer: " + clean(message[2], kMaxRefusal)};
}

}  // namespace bai::wire
