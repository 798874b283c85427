// The dialing end of a link: keeps it up to one listener, which has several addresses. Dials (a client first on this very machine), proves
// the key, dials again when the
// connection breaks, and gives up when nobody has answered for kGiveUpMs, or at first for as long as the caller says.
// One thread; times are monotonic milliseconds.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "step/handshake.h"
#include "step/stream_link.h"

namespace bai::step {

constexpr int64_t kGiveUpMs = 5000;
constexpr int64_t kNobodyMs = 1000;  // when at all addresses nobody listens, or somebody without the key

class Uplink {
 public:
  // `user`: whose the listener is, for the machine that both may be on. `patience_ms`: how long the listener may take to be there at first.
  Uplink(std::vector<std::string> endpoints, std::string key, LinkKind kind, uint32_t node_index, uid_t user,
         int64_t now_ms, int64_t patience_ms = kGiveUpMs);

  StreamLink& link() { return link_; }
  const StreamLink& link() const { return link_; }
  LinkKind kind() const { return kind_; }
  bool gone() const { return gone_; }
  // Why the last connection failed: for a person.
  const std::string& why() const { return why_; }
  // No more of it: nothing is sent or dialled any longer.
  void close();

  // Adds what to poll for, if anything; serve() takes the same entries. `reading`: is the caller ready for frames?
  void add_pollfd(std::vector<pollfd>* fds, bool reading = true);
  void serve(const std::vector<pollfd>& fds, int64_t now_ms, const StreamLink::Handler& handler);
  // Sends what was put, as far as it goes at once.
  void flush(int64_t now_ms);
  void on_time(int64_t now_ms);
  // Until on_time() has something to do; -1: nothing.
  int64_t pause_ms(int64_t now_ms) const;

 private:
  void dial(int64_t now_ms);
  void next(int64_t now_ms, const std::string& why, bool nobody);
  void lost(int64_t now_ms, std::string why);
  void shake(int64_t now_ms);

  std::vector<std::string> endpoints_;
  std::string key_;
  LinkKind kind_;
  uint32_t node_index_;
  uid_t user_;
  uint64_t id_;
  StreamLink link_;
  bool gone_ = false;
  std::string why_;

  bool near_;               // it is looked for on this machine first
  size_t endpoint_ = 0;     // that is tried
  bool tried_all_ = false;  // since the connection broke
  bool certain_ = true;     // nobody listens anywhere, since then
  std::optional<Handshake> shaking_;
  std::optional<int64_t> dial_at_;      // when to dial next
  std::optional<int64_t> attempt_end_;  // when this address has had its time
  int64_t give_up_at_;
  bool patient_;      // it may not be there yet
  int64_t retry_ms_;  // before the first address is tried again
  int slot_ = -1;     // among the entries polled
};

}  // namespace bai::step
