// MUNGE credentials (libmunge): who calls, said by the munged of the caller's host. A call is a round trip to the local munged
// (about 0.3 ms); it blocks, for some seconds when munged hangs. Any thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai::wire {

struct MungeEncode {
  std::string socket{};             // munged's socket; empty: libmunge's default
  std::optional<uid_t> only_uid{};  // only this uid (and root, if munged allows) may decode it
  std::chrono::seconds ttl{0};      // 0: munged's default (5 min)
};

// What a credential says. Times are the wall clocks of the two hosts, seconds since 1970.
struct Credential {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  std::string payload{};
  std::int64_t encode_time = 0;
  std::int64_t decode_time = 0;
  std::int64_t ttl = 0;
  std::string host{};               // IPv4 address of the host that made it
  std::optional<uid_t> only_uid{};  // whom it is restricted to
  bool secret = false;              // the payload was encrypted
  bool expired = false;             // these three: only if MungeDecode allows them
  bool replayed = false;
  bool rewound = false;  // made in the future, by this host's clock
};

struct MungeDecode {
  std::string socket{};
  bool allow_expired = false;
  bool allow_replayed = false;
  bool allow_rewound = false;
};

// A credential (printable text) that carries `payload`, encrypted. Errors: "munge_unavailable" (munged does not answer),
// "munge_failed".
Result<std::string> munge_encode(std::string_view payload, const MungeEncode& options = {});

// What `credential` says, once munged has judged it. Errors: "munge_unavailable", "credential_invalid" (altered, or made with
// another key), "credential_expired", "credential_rewound", "credential_replayed", "credential_unauthorized" (restricted to
// another uid), "munge_failed". Messages name the hosts and, for clocks, both times.
Result<Credential> munge_decode(std::string_view credential, const MungeDecode& options = {});

}  // namespace bai::wire
