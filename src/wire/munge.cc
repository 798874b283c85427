#include "wire/munge.h"

#include <arpa/inet.h>
#include <munge.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

namespace bai::wire {
namespace {

struct CtxDelete {
  void operator()(munge_ctx_t ctx) const { munge_ctx_destroy(ctx); }
};
using Ctx = std::unique_ptr<munge_ctx, CtxDelete>;

std::string host_name() {
  utsname u{};
  return uname(&u) == 0 ? std::string(u.nodename) : std::string("this host");
}

std::string clock_text(std::int64_t t) {
  const auto when = static_cast<time_t>(t);
  tm parts{};
  gmtime_r(&when, &parts);
  char buf[40];
  strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return buf;
}

Error out_of_memory() { return Error{"munge_failed", "out of memory"}; }

Result<Ctx> make_ctx(const std::string& socket) {
  Ctx ctx(munge_ctx_create());
  if (!ctx) return out_of_memory();
  if (!socket.empty() && munge_ctx_set(ctx.get(), MUNGE_OPT_SOCKET, socket.c_str()) != EMUNGE_SUCCESS) {
    return Error{"munge_failed", "munge does not take its socket's path", socket};
  }
  return ctx;
}

std::string socket_of(munge_ctx_t ctx) {
  const char* path = nullptr;
  return munge_ctx_get(ctx, MUNGE_OPT_SOCKET, &path) == EMUNGE_SUCCESS && path != nullptr ? path
                                                                                          : "its socket";
}

Error general_error(munge_err_t err, munge_ctx_t ctx) {
  const char* detail = munge_ctx_strerror(ctx);
  const std::string why = detail != nullptr ? detail : munge_strerror(err);
  if (err == EMUNGE_SOCKET || err == EMUNGE_TIMEOUT) {
    return Error{"munge_unavailable",
                 "munged is not answering at " + socket_of(ctx) + " on " + host_name() + ": " + why, "",
                 "start munged on " + host_name() + ", e.g. `systemctl start munge`, and check its log"};
  }
  if (err == EMUNGE_BAD_LENGTH) return Error{"munge_failed", "too much for one MUNGE credential: " + why};
  return Error{"munge_failed", "munge on " + host_name() + " failed: " + why};
}

struct FreePtr {
  void operator()(void* p) const { std::free(p); }
};

void read_ctx(munge_ctx_t ctx, Credential& c) {
  time_t t = 0;
  if (munge_ctx_get(ctx, MUNGE_OPT_ENCODE_TIME, &t) == EMUNGE_SUCCESS) c.encode_time = t;
  if (munge_ctx_get(ctx, MUNGE_OPT_DECODE_TIME, &t) == EMUNGE_SUCCESS) c.decode_time = t;
  int ttl = 0;
  if (munge_ctx_get(ctx, MUNGE_OPT_TTL, &ttl) == EMUNGE_SUCCESS) c.ttl = ttl;
  int cipher = MUNGE_CIPHER_NONE;
  c.secret =
      munge_ctx_get(ctx, MUNGE_OPT_CIPHER_TYPE, &cipher) == EMUNGE_SUCCESS && cipher != MUNGE_CIPHER_NONE;
  uid_t only = static_cast<uid_t>(MUNGE_UID_ANY);
  if (munge_ctx_get(ctx, MUNGE_OPT_UID_RESTRICTION, &only) == EMUNGE_SUCCESS &&
      only != static_cast<uid_t>(MUNGE_UID_ANY)) {
    c.only_uid = only;
  }
  in_addr addr{};
  char text[INET_ADDRSTRLEN] = "";
  if (munge_ctx_get(ctx, MUNGE_OPT_ADDR4, &addr) == EMUNGE_SUCCESS &&
      inet_ntop(AF_INET, &addr, text, sizeof text) != nullptr) {
    c.host = text;
  }
}

std::string both_clocks(const Credential& c) {
  return "made on " + c.host + " at " + clock_text(c.encode_time) + " by its clock, read on " + host_name() +
         " at " + clock_text(c.decode_time) + " by this one";
}

Error decode_error(munge_err_t err, munge_ctx_t ctx, const Credential& c) {
  const std::string sync = "synchronise the clocks of both hosts (e.g. with chrony) and try again";
  switch (err) {
    case EMUNGE_CRED_EXPIRED:
      return Error{"credential_expired",
                   "the MUNGE credential is too old: " + both_clocks(c) + ", valid for " +
                       std::to_string(c.ttl) + " s",
                   "", sync};
    case EMUNGE_CRED_REWOUND:
      return Error{"credential_rewound", "the MUNGE credential is from the future: " + both_clocks(c), "",
                   sync};
    case EMUNGE_CRED_REPLAYED:
      return Error{"credential_replayed", "the MUNGE credential was used before (made on " + c.host + " at " +
                                              clock_text(c.encode_time) + ")"};
    case EMUNGE_CRED_UNAUTHORIZED:
      return Error{"credential_unauthorized",
                   "the MUNGE credential is for another user than uid " + std::to_string(geteuid()) +
                       " of this process on " + host_name(),
                   "", "the caller's BaiUser must be the user that the daemon runs as"};
    case EMUNGE_BAD_CRED:
    case EMUNGE_BAD_VERSION:
    case EMUNGE_BAD_CIPHER:
    case EMUNGE_BAD_MAC:
    case EMUNGE_BAD_ZIP:
    case EMUNGE_BAD_REALM:
    case EMUNGE_CRED_INVALID:
      return Error{"credential_invalid", "munged on " + host_name() + " does not accept the MUNGE credential",
                   "", "munge.key must be the same on both hosts"};
    default:
      return general_error(err, ctx);
  }
}

}  // namespace

Result<std::string> munge_encode(std::string_view payload, const MungeEncode& options) {
  auto ctx = make_ctx(options.socket);
  if (!ctx) return ctx.error();
  const auto set = [&](munge_opt_t opt, auto value) {
    return munge_ctx_set(ctx->get(), opt, value) == EMUNGE_SUCCESS;
  };
  // munged may be configured to encrypt nothing by default; our payloads hold keys.
  if (!set(MUNGE_OPT_CIPHER_TYPE, static_cast<int>(MUNGE_CIPHER_AES128)) ||
      !set(MUNGE_OPT_TTL, static_cast<int>(options.ttl.count())) ||
      (options.only_uid && !set(MUNGE_OPT_UID_RESTRICTION, *options.only_uid))) {
    return general_error(EMUNGE_BAD_ARG, ctx->get());
  }
  char* raw = nullptr;
  const munge_err_t err = ::munge_encode(&raw, ctx->get(), payload.data(), static_cast<int>(payload.size()));
  const std::unique_ptr<char, FreePtr> cred(raw);
  if (err != EMUNGE_SUCCESS) return general_error(err, ctx->get());
  return std::string(cred.get());
}

Result<Credential> munge_decode(std::string_view credential, const MungeDecode& options) {
  auto ctx = make_ctx(options.socket);
  if (!ctx) return ctx.error();
  void* raw = nullptr;
  int size = 0;
  Credential c;
  const munge_err_t err =
      ::munge_decode(std::string(credential).c_str(), ctx->get(), &raw, &size, &c.uid, &c.gid);
  const std::unique_ptr<void, FreePtr> payload(raw);
  read_ctx(ctx->get(), c);
  if (raw != nullptr && size > 0) {
    c.payload.assign(static_cast<const char*>(raw), static_cast<std::size_t>(size));
    explicit_bzero(raw, static_cast<std::size_t>(size));
  }
  c.expired = err == EMUNGE_CRED_EXPIRED;
  c.replayed = err == EMUNGE_CRED_REPLAYED;
  c.rewound = err == EMUNGE_CRED_REWOUND;
  const bool fine = err == EMUNGE_SUCCESS || (c.expired && options.allow_expired) ||
                    (c.replayed && options.allow_replayed) || (c.rewound && options.allow_rewound);
  if (!fine) return decode_error(err, ctx->get(), c);
  return c;
}

}  // namespace bai::wire
