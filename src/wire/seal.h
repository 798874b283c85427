// The hello and the sealed session (DESIGN 5; byte by byte in doc/wire.md). No I/O but MUNGE's.
//
// The caller's hello, one message:
//   "BAI" MIN MAX            the protocol versions it speaks, a byte each
//   credential               MUNGE, restricted to the daemon's uid; its payload carries the versions, cluster uuid, roles and names
//                            and a fresh 32-byte key
//   [header + frame]         optional early data: the first request, sealed by a key from the fresh key and the parts before
// The daemon's welcome, one message:
//   "BAI" VERSION            the version chosen
//   nonce                    32 fresh bytes
//   header + frame           its first sealed message (empty if there was no early data: then it only proves who it is)
// From then on each message is one part, a crypto_secretstream frame; the first one from the caller begins with its header.
// Keys come from the fresh key, the nonce, the whole transcript and a label of the direction, so a frame is bound to its
// session, direction and place; any failure ends the session. Instead of a welcome a daemon may send an unsealed
// refusal ("BAI-ERR", code, text): a hint that proves nothing.
// Any thread; the two directions of a session may be used by two threads, one each.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/zmtp.h"

namespace bai::wire {

inline constexpr std::uint8_t kProtocolMin = 1;
inline constexpr std::uint8_t kProtocolMax = 1;
inline constexpr std::size_t kSealOverhead = 17;  // bytes that sealing adds to a message
inline constexpr std::size_t kSealHeader = 24;    // and once per direction
inline constexpr std::size_t kMaxCredential = 4096;
inline constexpr std::size_t kMaxName = 256;

// What a process is. A caller's role is its own claim; the uid is MUNGE's word. Numbers are on the wire.
enum class Role : std::uint8_t { none = 0, command = 1, agent = 2, controller = 3, step = 4, web = 5 };
std::string_view role_name(Role role);

// What the caller of a daemon needs to know and says.
struct HelloOptions {
  std::string munge_socket{};  // empty: the default
  uid_t daemon_uid = 0;        // who alone may read the hello
  std::string cluster_uuid{};  // empty: not known yet
  Role role = Role::command;   // the caller's
  std::string name{};          // the caller's: an agent's node name; may be empty
  Role daemon_role = Role::controller;
  std::string daemon_name{};  // empty: any
};

// Who a daemon is.
struct DaemonIdentity {
  std::string munge_socket{};
  Role role = Role::controller;
  std::string name{};
  std::string cluster_uuid{};  // empty: any caller's is accepted
};

// Who called, and how it is known.
struct Caller {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  Role role = Role::none;
  std::string name{};
  std::string cluster_uuid{};
  std::string host{};  // IPv4 address in the credential
  std::chrono::seconds credential_age{0};
  std::uint8_t version = 0;  // of the protocol, agreed
};

// One direction of a session. Errors: code "seal".
class Seal {
 public:
  Seal();
  ~Seal();
  Seal(Seal&&) noexcept;
  Seal& operator=(Seal&&) noexcept;

  // A sender's: its first message begins with the header.
  static Seal sender(const std::array<std::uint8_t, 32>& key);
  static Seal receiver(const std::array<std::uint8_t, 32>& key);

  std::string seal(std::string_view plaintext);
  // Refuses what was altered, reordered, dropped, repeated or meant for the other direction; after that everything.
  Result<std::string> open(std::string_view part);

 private:
  struct State;
  std::unique_ptr<State> state_;  // wiped when it goes
};

// The caller's end.
class ClientSession {
 public:
  // Makes the hello (a MUNGE round trip). Errors: munge_encode's.
  static Result<ClientSession> begin(const HelloOptions& options, std::optional<std::string_view> early = {});

  const Parts& hello() const { return hello_; }
  bool established() const { return established_; }
  std::uint8_t version() const { return version_; }

  // Takes a message from the daemon: the welcome first, then sealed messages. The plaintext; for the welcome of a hello
  // without early data, nothing. Errors: "refused" (with the daemon's unproven text), "seal".
  Result<std::optional<std::string>> open(const Parts& message);
  // One message to the daemon, once established.
  std::string seal(std::string_view plaintext);

 private:
  Result<std::optional<std::string>> open_welcome(const Parts& message);

  Parts hello_;
  std::array<std::uint8_t, 32> key_{};
  bool early_ = false;
  bool established_ = false;
  std::uint8_t version_ = 0;
  Seal out_, in_;
};

// The daemon's end.
class DaemonSession {
 public:
  struct Opened;
  // Judges a hello (a MUNGE round trip). Errors: munge_decode's, "bad_hello", "version", "wrong_daemon", "wrong_cluster", "seal".
  static Result<Opened> accept(const DaemonIdentity& self, const Parts& hello);

  // One message to the caller; the first one is the welcome that carries it. Own thread or lock; open() may run beside it.
  Parts seal(std::string_view plaintext);
  Result<std::string> open(const Parts& message);

 private:
  std::uint8_t version_ = 0;
  std::string nonce_;
  bool welcomed_ = false;
  Seal out_, in_;
};
struct DaemonSession::Opened {
  DaemonSession session;
  Caller caller;
  std::optional<std::string> early;  // the first request; if none, send a welcome with seal("") at once
};

// An unsealed refusal and what it says; texts are cut at 512 bytes and freed of control characters, on both ends.
Parts make_refusal(const Error& error);
std::optional<Error> read_refusal(const Parts& message);

}  // namespace bai::wire
