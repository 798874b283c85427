#include "step/uplink.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "step/process.h"
#include "step/stream_socket.h"

namespace bai::step {

namespace {

constexpr int64_t kAttemptMs = 3000;  // for one address to answer
constexpr int64_t kFirstRetryMs = 5;  // before the first address is tried again, doubling
constexpr int64_t kMaxRetryMs = 200;
constexpr int64_t kMaxPatientRetryMs = 2000;

}  // namespace

Uplink::Uplink(std::vector<std::string> endpoints, std::string key, LinkKind kind, uint32_t node_index,
               uid_t user, int64_t now_ms, int64_t patience_ms)
    : endpoints_(std::move(endpoints)),
      key_(std::move(key)),
      kind_(kind),
      node_index_(node_index),
      user_(user),
      near_(kind != LinkKind::kPeer),
      give_up_at_(now_ms + patience_ms),
      patient_(patience_ms > kGiveUpMs),
      retry_ms_(kFirstRetryMs) {
  randombytes_buf(&id_, sizeof id_);
  dial(now_ms);
}

void Uplink::close() {
  link_.disconnect();
  shaking_.reset();
  dial_at_.reset();
  attempt_end_.reset();
  gone_ = true;
}

void Uplink::dial(int64_t now_ms) {
  dial_at_.reset();
  Result<Fd> fd = near_ ? connect_near(near_name(key_, boot_id()), user_) : Fd();
  near_ = bool(*fd);
  if (!near_) fd = begin_connect(endpoints_[endpoint_]);
  if (!fd.ok())
    return next(now_ms, fd.error().text(), fd.error().code != "bad_value" && errno == ECONNREFUSED);
  Hello hello;
  hello.kind = kind_;
  hello.node_index = node_index_;
  hello.link_id = id_;
  hello.received = link_.received();
  shaking_.emplace(Handshake::dial(std::move(*fd), hello, key_, near_));
  attempt_end_ = now_ms + kAttemptMs;
}

// `nobody`: it is certain that the listener is not there.
void Uplink::next(int64_t now_ms, const std::string& why, bool nobody) {
  if (std::exchange(near_, false)) return dial(now_ms);
  certain_ &= nobody;
  why_ = endpoints_[endpoint_] + ": " + why;
  shaking_.reset();
  attempt_end_.reset();
  endpoint_ = (endpoint_ + 1) % endpoints_.size();
  tried_all_ |= endpoint_ == 0;
  if (tried_all_ && now_ms >= give_up_at_ - (certain_ && !patient_ ? kGiveUpMs - kNobodyMs : 0))
    return close();
  dial_at_ = now_ms;
  if (endpoint_ != 0) return;
  *dial_at_ += retry_ms_;
  retry_ms_ = std::min(2 * retry_ms_, patient_ ? kMaxPatientRetryMs : kMaxRetryMs);
}

void Uplink::lost(int64_t now_ms, std::string why) {
  why_ = std::move(why);
  link_.disconnect();
  tried_all_ = false;
  certain_ = true;
  near_ = kind_ != LinkKind::kPeer;
  give_up_at_ = now_ms + kGiveUpMs;
  dial_at_ = now_ms;  // the address that worked is tried first
}

void Uplink::shake(int64_t now_ms) {
  if (const int error = connect_error(shaking_->fd()); error != 0) {
    if (error != EINPROGRESS) next(now_ms, strerror(error), error == ECONNREFUSED);
    return;
  }
  auto session = shaking_->go_on();
  if (!session.ok()) return next(now_ms, session.error().message, session.error().code == "wrong_key");
  if (!*session) return;
  shaking_.reset();
  attempt_end_.reset();
  tried_all_ = patient_ = false;
  retry_ms_ = kFirstRetryMs;
  if (!link_.connect(std::move(**session))) {
    why_ = "the client has lost what it had";
    return close();
  }
  flush(now_ms);
}

void Uplink::flush(int64_t now_ms) {
  if (!link_.connected()) return;
  if (auto flushed = link_.flush(); !flushed.ok()) lost(now_ms, flushed.error().message);
}

void Uplink::add_pollfd(std::vector<pollfd>* fds, bool reading) {
  slot_ = -1;
  if (!shaking_ && !link_.connected()) return;
  slot_ = static_cast<int>(fds->size());
  if (link_.connected())
    fds->push_back({link_.fd(), link_.events(reading), 0});
  else
    fds->push_back({shaking_->fd(), shaking_->events(), 0});
}

void Uplink::serve(const std::vector<pollfd>& fds, int64_t now_ms, const StreamLink::Handler& handler) {
  const short revents = slot_ < 0 ? short{0} : fds[static_cast<size_t>(slot_)].revents;
  slot_ = -1;
  if (link_.connected()) {
    if (revents == 0) return;
    if (auto served = link_.serve(revents, handler); !served.ok() && !gone_)
      lost(now_ms, served.error().message);
  } else if (shaking_ && revents != 0) {
    shake(now_ms);
  }
}

void Uplink::on_time(int64_t now_ms) {
  if (attempt_end_ && *attempt_end_ <= now_ms) next(now_ms, "no answer", false);
  if (dial_at_ && *dial_at_ <= now_ms) dial(now_ms);
}

int64_t Uplink::pause_ms(int64_t now_ms) const {
  int64_t pause = -1;
  for (const auto& at : {attempt_end_, dial_at_})
    if (at)
      pause = pause < 0 ? std::max<int64_t>(*at - now_ms, 0)
                        : std::min(pause, std::max<int64_t>(*at - now_ms, 0));
  return pause;
}

}  // namespace bai::step
