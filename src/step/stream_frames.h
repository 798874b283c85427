// What travels between the shepherds of a step and its clients: frames, packed into blocks. A block is what is sealed, sent and
// acknowledged as one (stream_link.h).
//   frame: u32 payload's length, u8 type, u8 detail, u16 zero, u32 task, payload; integers little endian
// A frame of an unknown type is skipped.
// Any thread; plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::step {

constexpr size_t kFrameHead = 12;
constexpr size_t kMaxPayload = 128u << 10;
constexpr size_t kMaxBlock = kFrameHead + kMaxPayload;
constexpr uint32_t kAllTasks = UINT32_MAX;

// Numbers are on the wire.
enum class FrameType : uint8_t {
  // From the shepherd.
  kStarted = 1,   // payload: encode_started_tasks()
  kOutput = 2,    // detail 1 stdout, 2 stderr; an empty payload is its end
  kTaskExit = 3,  // payload: u32 as of waitpid(2)
  kStepEnd = 4,   // the last one; payload: encode_status() of status.h
  kCredit = 5,    // payload: u32 more bytes of stdin may be sent
  kNote = 6,      // payload: a line for a person
  // From the client.
  kInput = 16,      // to `task` or kAllTasks
  kInputEnd = 17,   // likewise
  kSignal = 18,     // detail: the number; to every process of the step on the node
  kWindow = 19,     // payload: u32 rows, u32 columns of the client's terminal
  kTerminate = 20,  // SIGTERM, later SIGKILL, to the step; payload: why, for its status
  kKill = 21,       // SIGKILL to the step; payload likewise
  kLeave = 22,      // the client goes; the step does not mind
  // Both ways. The step ends by its own doing (MPI_Abort); detail: its exit code, 0: that of its tasks; payload: why.
  kEndAll = 32,
  // Between shepherds.
  kPeer = 33,  // peers.h
};
constexpr uint8_t kStdout = 1;
constexpr uint8_t kStderr = 2;

struct Frame {
  FrameType type = FrameType::kNote;
  uint8_t detail = 0;
  uint32_t task = 0;
  std::string_view payload;
};

// Takes the next frame off `block`. Errors: bad_frame (cut short, too long).
Result<Frame> take_frame(std::string_view* block);

std::string u32_payload(std::initializer_list<uint32_t> numbers);
// The number at `index` of such a payload; `otherwise` when it has no so many.
uint32_t u32_at(std::string_view payload, size_t index, uint32_t otherwise = 0);

// Who runs on a node: the payload of kStarted.
struct StartedTasks {
  uint32_t node_index = 0;
  std::string node;
  std::vector<uint32_t> ranks;
};
std::string encode_started_tasks(const StartedTasks& started);
// Errors: bad_frame.
Result<StartedTasks> decode_started_tasks(std::string_view payload);

// A block that is being filled. One thread.
class Block {
 public:
  // Its room is `capacity`; bytes are not initialised.
  explicit Block(size_t capacity = kMaxBlock)
      : bytes_(std::make_unique_for_overwrite<char[]>(capacity)), capacity_(capacity) {}

  std::string_view view() const { return {bytes_.get(), size_}; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  void clear() { size_ = 0; }
  // The same bytes with no room for more.
  Block copy() const;
  // Bytes of payload that one more frame may have; 0: none may.
  size_t room() const { return capacity_ - size_ > kFrameHead ? capacity_ - size_ - kFrameHead : 0; }

  // The payload must fit.
  void put(const Frame& frame);
  // Where a payload may be written in place, room() bytes; put_written() makes it a frame.
  char* payload_space() { return bytes_.get() + size_ + kFrameHead; }
  void put_written(FrameType type, uint8_t detail, uint32_t task, size_t length);

 private:
  std::unique_ptr<char[]> bytes_;
  size_t capacity_;
  size_t size_ = 0;
};

}  // namespace bai::step
