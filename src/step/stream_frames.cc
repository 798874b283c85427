#include "step/stream_frames.h"

#include <cstring>

#include "step/task_launch.h"

namespace bai::step {

namespace {

void put32(char* to, uint32_t n) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<char>(n >> (8 * i));
}

uint32_t get32(const char* from) {
  uint32_t n = 0;
  for (int i = 4; i-- > 0;) n = n << 8 | static_cast<unsigned char>(from[i]);
  return n;
}

}  // namespace

Result<Frame> take_frame(std::string_view* block) {
  if (block->size() < kFrameHead) return Error{"bad_frame", "cut short in a frame's head"};
  const size_t length = get32(block->data());
  if (length > kMaxPayload || length > block->size() - kFrameHead)
    return Error{"bad_frame", "a frame is longer than its block"};
  Frame frame{static_cast<FrameType>(static_cast<uint8_t>((*block)[4])), static_cast<uint8_t>((*block)[5]),
              get32(block->data() + 8), block->substr(kFrameHead, length)};
  block->remove_prefix(kFrameHead + length);
  return frame;
}

std::string u32_payload(std::initializer_list<uint32_t> numbers) {
  std::string out(4 * numbers.size(), '\0');
  char* to = out.data();
  for (uint32_t n : numbers) {
    put32(to, n);
    to += 4;
  }
  return out;
}

uint32_t u32_at(std::string_view payload, size_t index, uint32_t otherwise) {
  return payload.size() / 4 > index ? get32(payload.data() + 4 * index) : otherwise;
}

std::string encode_started_tasks(const StartedTasks& s) {
  std::string out = u32_payload({s.node_index, static_cast<uint32_t>(s.ranks.size())});
  for (uint32_t rank : s.ranks) out += u32_payload({rank});
  return out + s.node;
}

Result<StartedTasks> decode_started_tasks(std::string_view payload) {
  const size_t count = u32_at(payload, 1);
  if (payload.size() < 8 || count > kMaxTasks || payload.size() - 8 < 4 * count ||
      payload.size() - 8 - 4 * count > 256)
    return Error{"bad_frame", "no list of tasks"};
  StartedTasks out;
  out.node_index = u32_at(payload, 0);
  for (size_t i = 0; i < count; ++i) out.ranks.push_back(u32_at(payload, 2 + i));
  out.node = payload.substr(8 + 4 * count);
  return out;
}

Block Block::copy() const {
  Block out(size_);
  memcpy(out.bytes_.get(), bytes_.get(), size_);
  out.size_ = size_;
  return out;
}

void Block::put(const Frame& frame) {
  frame.payload.copy(payload_space(),
                     frame.payload.size());  // it may be of nothing, which memcpy may not take
  put_written(frame.type, frame.detail, frame.task, frame.payload.size());
}

void Block::put_written(FrameType type, uint8_t detail, uint32_t task, size_t length) {
  char* head = bytes_.get() + size_;
  put32(head, static_cast<uint32_t>(length));
  head[4] = static_cast<char>(type);
  head[5] = static_cast<char>(detail);
  head[6] = head[7] = 0;
  put32(head + 8, task);
  size_ += kFrameHead + length;
}

}  // namespace bai::step
