// What a shepherd leaves in its spool directory: `started` when it takes the step on, `status` when the step ended.
// `status` appears whole, synced, once; whoever has it knows the end. `started` appears before the first process of the step and guards
// against a second start in the same directory; it is not synced, since after a crash of the machine the boot id differs anyway.
// Any thread; plain values. Formats: record.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/env.h"
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
};
// "exited", "signalled", "timeout", ...
const char* reason_name(EndReason reason);

struct StepStatus {
  EndReason reason = EndReason::kExited;
  uint32_t exit_code = 0;  // of the script; 0 when a signal ended it
  uint32_t signal = 0;     // that ended the script; 0 when it exited
  bool core_dumped = false;
  std::string message;   // for a person: why it did not start, what else went wrong; empty when all is plain
  int64_t start_us = 0;  // Unix microseconds; 0: it never started
  int64_t end_us = 0;    // when the script ended
  uint64_t user_us = 0;  // CPU time of all processes that were reaped
  uint64_t system_us = 0;
  uint64_t max_rss_kib = 0;  // of the largest process
  bool operator==(const StepStatus&) const = default;
};

struct StepStarted {
  std::string boot_id;
  int32_t pid = 0;           // the shepherd
  uint64_t start_ticks = 0;  // its start time: field 22 of /proc/PID/stat
  // The script's process, which leads a session and a process group of its own; 0 until it was forked.
  int32_t script_pid = 0;
  uint64_t script_start_ticks = 0;
  bool operator==(const StepStarted&) const = default;
};

std::string encode_status(const StepStatus& status);
Result<StepStatus> decode_status(std::string_view bytes);
std::string encode_started(const StepStarted& started);
Result<StepStarted> decode_started(std::string_view bytes);

// Writes DIR/status: temporary file, sync, rename, sync of DIR. Also the agent's, for kShepherdLost. Errors: io_error.
Status write_status(const Env& env, const std::string& dir, const StepStatus& status);
// Errors: not_found (not ended), io_error, bad_record, newer_record.
Result<StepStatus> read_status(const std::string& dir);
// Errors: not_found (never begun), io_error, bad_record (also: cut short by a crash), newer_record.
Result<StepStarted> read_started(const std::string& dir);

// Makes DIR/started if it is not there. False when it is: a shepherd, or somebody who forbade one, came first. Errors: io_error.
Result<bool> claim_start(const std::string& dir, const StepStarted& started);
// For an agent that finds a launch without `started` and does not know whether a shepherd is just coming up: true when none has begun and,
// from now on, none ever will in this directory; false when one has (look at read_started). Then kill_step_remains and write the status.
Result<bool> forbid_start(const std::string& dir);
// Replaces what claim_start wrote, in place (the shepherd, once it knows the script's process). Errors: io_error.
Status update_started(const std::string& dir, const StepStarted& started);

// True when the very shepherd that wrote this still runs (boot, pid and start time agree).
bool shepherd_alive(const StepStarted& started);

}  // namespace bai::step
