// What agent and shepherd say to each other on DIR/sock, a SOCK_SEQPACKET Unix socket: one message is one frame, so nothing is ever cut.
//   frame: u16 protocol version (1), u16 type, then fields as in record.h; at most kMaxFrame bytes
// The format is frozen: a new agent speaks to old shepherds. Unknown fields are skipped; an unknown request type is answered with an error.
// Every request is answered in order by State, Use or Refused; Ended comes to subscribers (and to those who ask later) once `status` is durable.
// Any thread; plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/step_use.h"
#include "step/status.h"

namespace bai::step {

constexpr size_t kMaxFrame = 8192;
constexpr size_t kMaxMessage = 4096;  // bytes of a message for a person
constexpr uint16_t kProtocolVersion = 1;
constexpr int64_t kFreshLookMs =
    100;  // who asks a step's use in a loop costs no more than ten looks a second

enum class Scope : uint8_t {
  kAll = 1,       // every process of the step (scancel --full: the script's and its children)
  kBatch = 2,     // the script's own process only (scancel --batch)
  kChildren = 3,  // every process but the script's own
};

// Requests.
struct SignalRequest {
  uint32_t signum = 0;  // 1..64
  Scope scope = Scope::kAll;
};
// What a step gets at once that is to end after a grace.
enum class Notice : uint8_t {
  kNone = 0,
  kOwnSignal = 1,        // the launch's warning signal, if it has one that was not sent yet
  kOwnSignalOrTerm = 2,  // that, else SIGCONT and SIGTERM to all but the script's own process
};
// SIGTERM and SIGCONT to all, SIGKILL after the step's kill_wait. Repeating changes nothing; the first reason stays. With a grace, all that
// comes so much later, and the notice at once; another request may only make it sooner.
struct TerminateRequest {
  EndReason reason = EndReason::kCancelled;
  std::string message;        // goes into the status
  int64_t kill_wait_ms = -1;  // negative: the launch's
  int64_t grace_ms = 0;
  Notice notice = Notice::kNone;
};
// SIGKILL at once.
struct KillRequest {
  EndReason reason = EndReason::kCancelled;
  std::string message;
};
struct QueryRequest {};
// Answered by State at once; later by Ended.
struct SubscribeRequest {};
// A new time limit, counted from the step's start; 0: none. Not durable: repeat it to a shepherd that may not have had it.
struct SetTimeLimitRequest {
  uint64_t time_limit_s = 0;
};
// A further client of the step's streams: dialled, and given what the tasks write from now on. Refused for a batch step.
struct AttachRequest {
  std::vector<std::string> clients;  // as in StreamPlan
  std::string key;                   // this client's own, kStreamKeyBytes
  bool may_write = false;            // stdin, signals
};
// What it uses now. Answered by Use; a look that is not older than kFreshLookMs will do.
struct UseRequest {
  uint64_t query = 0;  // comes back with the answer
};
// All processes stand still, or go on; the time limit does not run meanwhile. The highest generation counts. A step that is being ended
// goes on to do so.
struct SuspendRequest {
  bool suspended = true;
  uint64_t generation = 0;
};
using Request = std::variant<SignalRequest, TerminateRequest, KillRequest, QueryRequest, SubscribeRequest,
                             SetTimeLimitRequest, AttachRequest, UseRequest, SuspendRequest>;

// Replies.
enum class Phase : uint8_t {
  kLaunching = 1,  // before the exec
  kRunning = 2,
  kEnding = 3,    // was told to end, or reached its limit
  kCleaning = 4,  // the script ended; what it left behind is being ended
  kEnded = 5,
};
struct StateReply {
  Phase phase = Phase::kLaunching;
  int32_t shepherd_pid = 0;
  int32_t script_pid = 0;  // 0: none
  int64_t start_us = 0;    // Unix microseconds; 0: not started
  uint64_t time_limit_s = 0;
  std::string mark;  // of the launch: whose shepherd this is
  bool suspended = false;
};
struct RefusedReply {
  std::string code;  // "bad_request", "ended"
  std::string message;
};
struct EndedReply {
  StepStatus status;
};
struct UseReply {
  uint64_t query = 0;
  LiveUse use;
};
using Reply = std::variant<StateReply, RefusedReply, EndedReply, UseReply>;

std::string encode_request(const Request& request);
Result<Request> decode_request(std::string_view frame);  // errors: bad_request
std::string encode_reply(const Reply& reply);
Result<Reply> decode_reply(std::string_view frame);  // errors: bad_reply

}  // namespace bai::step
