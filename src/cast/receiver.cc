#include "cast/receiver.h"

#include <algorithm>

#include "base/env.h"
#include "cast/tree.h"
#include "step/stream_socket.h"

namespace bai::cast {

using step::Frame;
using step::LinkKind;

namespace {

std::int64_t now_ms() { return Env::real().monotonic_ms(); }

// The sooner of two pauses; -1 is none.
std::int64_t sooner(std::int64_t a, std::int64_t b) { return a < 0 ? b : b < 0 ? a : std::min(a, b); }

}  // namespace

Receiver::Receiver(const ReceiverPlan& plan, NewFile file, step::Listener listener)
    : plan_(plan),
      file_(std::move(file)),
      root_(plan.root, plan.key, LinkKind::kClient, plan.rank, geteuid(), now_ms()),
      children_(std::move(listener.fd), plan.key, LinkKind::kPeer, plan.count) {
  root_.link().put(kHere, 0, 0, step::u32_payload({plan.count, listener.port}));
}

Status Receiver::run(const ReceiverPlan& plan) {
  auto file = NewFile::make(plan.path, plan.replace);
  if (!file.ok()) return file.error();
  const bool loopback = std::all_of(plan.root.begin(), plan.root.end(), [](const std::string& endpoint) {
    return endpoint.starts_with("127.") || endpoint.starts_with("[::1]");
  });
  auto listener = step::listen_any(loopback);
  if (!listener.ok()) return listener.error();
  Receiver receiver(plan, std::move(*file), std::move(*listener));
  while (!receiver.over_ && receiver.failed_.ok())
    if (auto turned = receiver.turn(); !turned.ok()) return turned;
  return receiver.failed_;
}

Status Receiver::turn() {
  std::vector<pollfd> fds;
  const bool reading = room();
  // While children are slow, whoever feeds us is not read, so that it waits too.
  root_.add_pollfd(&fds, reading || !fed_by_root_);
  if (parent_) parent_->add_pollfd(&fds, reading);
  children_.add_pollfds(&fds);
  std::int64_t pause = sooner(1000, root_.pause_ms(now_ms()));
  if (parent_) pause = sooner(pause, parent_->pause_ms(now_ms()));
  if (poll(fds.data(), fds.size(), static_cast<int>(pause)) < 0)
    for (auto& entry : fds) entry.revents = 0;
  const std::int64_t now = now_ms();
  root_.serve(fds, now, [this](const Frame& frame) { on_root(frame); });
  if (parent_) parent_->serve(fds, now, [this](const Frame& frame) { on_piece(frame); });
  children_.serve(fds, now, [](std::uint32_t, const Frame&) {});
  root_.on_time(now);
  if (parent_) parent_->on_time(now);
  if (root_.gone()) return Error{"gone", "the command that sends the file has gone: " + root_.why()};
  if (auto minded = mind_parent(); !minded.ok()) return minded;
  greet();
  root_.flush(now);
  if (parent_) parent_->flush(now);
  children_.flush();
  return {};
}

// A parent that never answered is done without; one that was met and is lost may have passed on what never came.
Status Receiver::mind_parent() {
  if (!parent_) return {};
  met_ |= parent_->link().connected();
  if (!parent_->gone()) return {};
  if (met_) return Error{"gone", "the node that passes the file on has gone: " + parent_->why()};
  parent_.reset();
  root_.link().put(kOrphan, 0, 0, {});
  return {};
}

// A child is ready when it has heard from us: from then on its link is among those that pieces go to.
void Receiver::greet() {
  for (std::uint32_t rank = 0; rank < plan_.count; ++rank)
    if (auto* link = children_.link(rank); link && greeted_.insert(rank).second) link->put(kReady, 0, 0, {});
}

void Receiver::get_ready() {
  if (ready_) return;
  ready_ = true;
  root_.link().put(kReady, 0, 0, {});
}

bool Receiver::room() {
  for (std::uint32_t rank = 0; rank < plan_.count; ++rank)
    if (auto* link = children_.link(rank); link && !link->room()) return false;
  return true;
}

void Receiver::on_root(const Frame& frame) {
  if (frame.type == step::FrameType::kLeave) {
    over_ = true;
  } else if (frame.type == kParent) {
    if (ready_) return;
    if (frame.payload.empty()) {
      fed_by_root_ = true;
      return get_ready();
    }
    parent_.emplace(std::vector<std::string>{std::string(frame.payload)}, plan_.key, LinkKind::kPeer,
                    plan_.rank, geteuid(), now_ms());
  } else if (fed_by_root_) {
    on_piece(frame);
  }
}

void Receiver::on_piece(const Frame& frame) {
  if (frame.type == kReady) return get_ready();
  if (frame.type != kPiece && frame.type != kEnd) return;
  for (std::uint32_t rank = 0; rank < plan_.count; ++rank)
    if (auto* link = children_.link(rank)) link->put(frame.type, frame.detail, 0, frame.payload);
  if (frame.type == kPiece) {
    auto bytes = unpack(frame.detail, frame.payload);
    if (!bytes.ok()) return fail(bytes.error());
    if (auto written = file_.write(*bytes); !written.ok()) fail(written.error());
    return;
  }
  const std::uint64_t size = step::u32_at(frame.payload, 0) | std::uint64_t{step::u32_at(frame.payload, 1)}
                                                                  << 32;
  if (size != file_.size()) return fail({"bad_frame", "the file came incomplete"});
  if (auto finished = file_.finish(plan_.look); !finished.ok()) return fail(finished.error());
  root_.link().put(kDone, 0, 0, {});
}

}  // namespace bai::cast
