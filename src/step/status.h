// What a shepherd leaves in its spool directory: `started` when it takes the step on, `status` when the step ended.
// `status` appears whole, once; whoever has it knows the end. `started` appears before the first process of the step and guards
// against a second start in the same directory. Neither need outlive the boot, after which the directory means nothing: the end is
// made durable elsewhere, by the agent in its journal, or by the shepherd when there is no agent (StepLaunch::end_file).
// Any thread; plain values. Formats: record.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/env.h"
#include "base/fd.h"
#include "base/result.h"

namespace bai::step {

// Numbers are frozen. The step's own exit code and signal stand beside it, whatever the reason.
enum class EndReason : uint8_t {
  kExited = 1,        // by itself, with exit_code
  kSignalled = 2,     // by a signal that we did not send to end it
  kTimeout = 3,       // time limit reached
  kDeadline = 4,      // deadline reached
  kCancelled = 5,     // terminate or kill was asked for
  kPreempted = 6,     // likewise, for a more important job
  kNodeShutdown = 7,  // the shepherd was told to stop (SIGTERM): the node goes down
  kLaunchFailed = 8,  // never ran; message says why
  kShepherdLost = 9,  // the shepherd died; written by the agent
  kOutOfMemory = 10,  // it, or one of its processes, was ended by the kernel for want of memory
};
// "exited", "signalled", "timeout", ...
const char* reason_name(EndReason reason);

// What a step used on this node. A task is a process that the shepherd started, and its descendants.
struct StepUse {
  uint64_t user_us = 0;  // CPU time
  uint64_t system_us = 0;
  uint64_t max_rss_kib = 0;  // of the task that had the most at any look
  uint64_t sum_rss_kib = 0;  // over the tasks, of the most of each
  uint64_t read_bytes = 0, write_bytes = 0;
  uint64_t max_read_bytes = 0, max_write_bytes = 0;  // of one task
  bool operator==(const StepUse&) const = default;
};

struct StepStatus {
  EndReason reason = EndReason::kExited;
  uint32_t exit_code = 0;  // of the script; 0 when a signal ended it
  uint32_t signal = 0;     // that ended the script; 0 when it exited
  bool core_dumped = false;
  std::string message;   // for a person: why it did not start, what else went wrong; empty when all is plain
  int64_t start_us = 0;  // Unix microseconds; 0: it never started
  int64_t end_us = 0;    // when the script ended
  StepUse use;
  bool operator==(const StepStatus&) const = default;
};

struct StepStarted {
  std::string boot_id;
  int32_t pid = 0;           // the shepherd
  uint64_t start_ticks = 0;  // its start time: field 22 of /proc/PID/stat
  int32_t script_pid = 0;    // leads a session and a process group of its own; 0 until it was forked
  bool operator==(const StepStarted&) const = default;
};

std::string encode_status(const StepStatus& status);
Result<StepStatus> decode_status(std::string_view bytes);
std::string encode_started(const StepStarted& started);
Result<StepStarted> decode_started(std::string_view bytes);

// Writes FILE durably. Errors: io_error, no_space.
Status save_status(const Env& env, const std::string& file, const StepStatus& status);
// Makes the file that will be DIR/status, with room for any, so that no full disk can lose an end. Errors: io_error, no_space.
Result<Fd> reserve_status(const std::string& dir);
// Makes DIR/status, whole and at once, for processes of this boot; of `room`, when there was some reserved. Errors: io_error, no_space.
Status leave_status(const std::string& dir, const StepStatus& status, const Fd& room = Fd());
// Errors: not_found, io_error, bad_record, newer_record.
Result<StepStatus> load_status(const std::string& file);
// DIR/status; not_found: it has not ended.
Result<StepStatus> read_status(const std::string& dir);
// Errors: not_found (never begun), io_error, bad_record (also: cut short by a crash), newer_record.
Result<StepStarted> read_started(const std::string& dir);

// Makes DIR/started if it is not there, and returns it open for update_started(). No descriptor: it is there, because a shepherd, or
// somebody who forbade one, came first. Errors: io_error.
Result<Fd> claim_start(const std::string& dir, const StepStarted& started);
// For an agent that finds a launch without `started` and does not know whether a shepherd is just coming up: true when none has begun and,
// from now on, none ever will in this directory; false when one has (look at read_started). Then kill_step_remains and write the status.
Result<bool> forbid_start(const std::string& dir);
// Replaces what claim_start wrote, in place (the shepherd, once it knows the script's process). Errors: io_error.
Status update_started(const Fd& file, const StepStarted& started);

// True when the very shepherd that wrote this still runs (boot, pid and start time agree).
bool shepherd_alive(const StepStarted& started);

}  // namespace bai::step
