#include "step/stream_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace bai::step {

namespace {

constexpr size_t kMaxRecord = kRecordHead + kMaxBlock + kMaxSeal;
constexpr size_t kFirstBuffer = 16u << 10;
constexpr size_t kLargeBuffer = 2 * kMaxRecord;
// A block that was sent with less than this in it is kept in a buffer of its size.
constexpr size_t kSmallBlock = kMaxBlock / 4;

}  // namespace

Block& StreamLink::writable(size_t least) {
  if (first_ + blocks_.size() > sealed_ && blocks_.back().room() >= least) return blocks_.back();
  if (spare_) {
    blocks_.push_back(std::move(*spare_));
    spare_.reset();
    blocks_.back().clear();
  } else {
    blocks_.emplace_back();
  }
  return blocks_.back();
}

StreamLink::Space StreamLink::space(size_t least) {
  Block& block = writable(std::min(least, kMaxPayload));
  return {block.payload_space(), std::min(block.room(), kMaxPayload)};
}

void StreamLink::drop_space() {
  if (blocks_.back().size() > 0) return;
  spare_ = std::move(blocks_.back());
  blocks_.pop_back();
}

void StreamLink::put_written(FrameType type, uint8_t detail, uint32_t task, size_t length) {
  blocks_.back().put_written(type, detail, task, length);
  kept_ += kFrameHead + length;
}

void StreamLink::put(FrameType type, uint8_t detail, uint32_t task, std::string_view payload) {
  do {
    const std::string_view part = payload.substr(0, kMaxPayload);
    writable(part.size() + 1).put({type, detail, task, part});
    kept_ += kFrameHead + part.size();
    payload.remove_prefix(part.size());
  } while (!payload.empty());
}

bool StreamLink::connect(Session session) {
  disconnect();
  if (session.peer_received < first_ || session.peer_received > sealed_) return false;
  acknowledged(session.peer_received);
  session_.emplace(std::move(session));
  return true;
}

void StreamLink::disconnect() {
  session_.reset();
  sent_ = 0;
  out_at_ = out_end_ = in_end_ = 0;
  plain_ = {};
  writing_data_ = false;
  owes_ack_ = false;
}

void StreamLink::acknowledged(uint64_t count) {
  for (; first_ < count; ++first_) {
    kept_ -= blocks_.front().size();
    if (!spare_ && blocks_.front().capacity() == kMaxBlock) spare_ = std::move(blocks_.front());
    blocks_.pop_front();
    if (sent_ > 0) --sent_;
  }
}

short StreamLink::events(bool reading) const {
  const bool more = writing() || sent_ < blocks_.size() || owes_ack_;
  return static_cast<short>((reading ? POLLIN : 0) | (more ? POLLOUT : 0));
}

Status StreamLink::serve(short revents, const Handler& handler) {
  Status status;
  if ((revents & (POLLIN | POLLHUP | POLLERR)) != 0) status = read_records(handler);
  if (status.ok() && session_) status = flush();
  if (!status.ok()) disconnect();
  return status;
}

Status StreamLink::read_records(const Handler& handler) {
  if (in_.empty()) in_.resize(kFirstBuffer);
  ssize_t n;
  do n = recv(session_->fd.get(), in_.data() + in_end_, in_.size() - in_end_, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return {};
  if (n <= 0) return Error{"gone", n == 0 ? "the other end closed the connection" : strerror(errno)};
  in_end_ += static_cast<size_t>(n);
  const bool full = in_end_ == in_.size();
  size_t at = 0;
  while (in_end_ - at >= kRecordHead) {
    const RecordHead head = decode_head(in_.data() + at);
    const size_t overhead = session_->in.overhead();
    if (head.length < overhead || head.length > kMaxBlock + overhead)
      return Error{"bad_record", "a block's length is out of range"};
    if (in_end_ - at - kRecordHead < head.length) break;
    if (auto taken = take_record(head, in_.data() + at, handler); !taken.ok()) return taken;
    if (!session_) return {};  // the handler closed it
    at += kRecordHead + head.length;
  }
  memmove(in_.data(), in_.data() + at, in_end_ - at);
  in_end_ -= at;
  if (full && in_.size() < kLargeBuffer) in_.resize(kLargeBuffer);
  return {};
}

Status StreamLink::take_record(const RecordHead& head, char* at, const Handler& handler) {
  char* const sealed = at + kRecordHead;
  if (!session_->in.plain() && !session_->in.open({at, kRecordHead}, sealed, head.length))
    return Error{"bad_record", "a block was altered on its way"};
  if (head.received > sealed_) return Error{"bad_record", "blocks were acknowledged that were not sent"};
  // One that is being written is needed until it is; that it has come will be said again.
  acknowledged(writing_data_ ? std::min(head.received, first_ + sent_ - 1) : head.received);
  std::string_view block(sealed, head.length - session_->in.overhead());
  if (block.empty()) return {};
  owes_ack_ = true;
  if (head.number < received_) return {};
  if (head.number != received_) return Error{"bad_record", "a block is missing"};
  ++received_;
  while (!block.empty()) {
    auto frame = take_frame(&block);
    if (!frame.ok()) return frame.error();
    handler(*frame);
  }
  return {};
}

// Makes the next record ready; false when there is none.
bool StreamLink::begin_next() {
  const bool data = sent_ < blocks_.size();
  if (!data && !owes_ack_) return false;
  const std::string_view block = data ? blocks_[sent_].view() : std::string_view();
  const bool plain = session_->out.plain();
  const size_t length = block.size() + session_->out.overhead();
  out_at_ = 0;
  out_end_ = kRecordHead + (plain ? 0 : length);
  if (out_.size() < out_end_) out_.resize(std::max(out_end_, plain ? kRecordHead : kFirstBuffer));
  encode_head({static_cast<uint32_t>(length), first_ + sent_, received_}, out_.data());
  if (plain)
    plain_ = block;
  else
    session_->out.seal({out_.data(), kRecordHead}, block, out_.data() + kRecordHead);
  owes_ack_ = false;
  writing_data_ = data;
  if (data) {
    ++sent_;
    sealed_ = std::max(sealed_, first_ + sent_);
  }
  return true;
}

void StreamLink::written(size_t bytes) {
  const size_t of_out = std::min(bytes, out_end_ - out_at_);
  out_at_ += of_out;
  plain_.remove_prefix(bytes - of_out);
  if (writing() || !std::exchange(writing_data_, false)) return;
  shrink_sent();
}

void StreamLink::shrink_sent() {
  Block& block = blocks_[sent_ - 1];
  if (block.size() >= kSmallBlock || block.capacity() < kMaxBlock) return;
  Block small = block.copy();
  std::swap(block, small);
  if (!spare_) spare_ = std::move(small);
}

Status StreamLink::flush() {
  for (;;) {
    if (!writing() && !begin_next()) return {};
    iovec parts[2] = {{out_.data() + out_at_, out_end_ - out_at_},
                      {const_cast<char*>(plain_.data()), plain_.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t n = sendmsg(session_->fd.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return {};
    if (n < 0) {
      const Error error{"gone", strerror(errno)};
      disconnect();
      return error;
    }
    written(static_cast<size_t>(n));
  }
}

}  // namespace bai::step
