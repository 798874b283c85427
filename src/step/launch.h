// What the agent tells a shepherd: one step to run. Written by the agent as DIR/launch before it starts `bai-stepd DIR`; read by
// the shepherd, and by a later agent of the same boot that finds DIR. The format is frozen (record.h).
// Any thread; plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "step/confinement.h"
#include "step/task_launch.h"

namespace bai::step {

// The bounds that decoding enforces.
constexpr size_t kMaxLaunchBytes = 64u << 20;  // the whole file
constexpr size_t kMaxScriptBytes = 32u << 20;
constexpr size_t kMaxPath = 4096;
constexpr size_t kMaxName = 256;
constexpr size_t kMaxWord = 128u << 10;  // one argument or one K=V; the kernel's MAX_ARG_STRLEN
constexpr size_t kMaxWords = 65536;      // arguments and, apart, environment entries
constexpr size_t kMaxGroups = 65536;
constexpr size_t kMaxCgroups = 16;
constexpr size_t kMaxRlimits = 32;
constexpr size_t kMaxTaskHooks = 16;

enum class OpenMode : uint8_t { kTruncate = 0, kAppend = 1 };

constexpr uint64_t kKeepLimit = UINT64_MAX - 1;

// One setrlimit(2); UINT64_MAX is RLIM_INFINITY, kKeepLimit what the shepherd has itself. A value above the hard limit of a shepherd that
// is not root is clipped to it, and a soft limit to the hard one.
struct ResourceLimit {
  uint32_t resource = 0;  // RLIMIT_*
  uint64_t soft = 0;
  uint64_t hard = 0;
  bool operator==(const ResourceLimit&) const = default;
};

struct StepLaunch {
  // Who this is.
  std::string cluster;  // the cluster's uuid
  uint32_t job_id = 0;
  uint32_t attempt = 0;
  std::string step = "batch";
  std::string node;  // this node's name
  std::string
      boot_id;  // the boot (boot_id() of process.h) in which the agent wrote this; one of another boot is dead
  // 32 hex digits, fresh and random for each attempt. The shepherd adds it to the environment as BAI_STEP_MARK.
  std::string mark;

  // For whom it runs. A shepherd that is not root runs its own uid only; uid 0 needs as_root.
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  std::string user;   // name, for messages
  std::string home;   // not used by the shepherd; the agent puts HOME into env
  std::string shell;  // likewise
  bool as_root = false;
  uint32_t umask = 022;
  std::vector<ResourceLimit> rlimits;
  std::optional<int> priority;  // setpriority(2)'s, -20..19, before it becomes the user

  // What runs. With a script: its bytes are written to DIR/script (0700, the user's) and run as
  // [DIR/script, argv[1], ...], argv[0] being only its name for messages; so DIR and what is above it must be searchable by the user (0711).
  // Without one: argv[0] is run, searched in env's PATH when it has no slash.
  std::string script;
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "K=V", complete but for BAI_STEP_MARK
  std::string workdir;           // absolute

  // Patterns already expanded; relative paths are relative to workdir; empty is /dev/null. The same path for both outputs is opened once.
  std::string stdin_path;
  std::string stdout_path;
  std::string stderr_path;
  OpenMode open_mode = OpenMode::kTruncate;

  // When it ends.
  uint64_t time_limit_s = 0;    // 0: none
  uint64_t kill_wait_s = 30;    // between SIGTERM and SIGKILL
  int64_t deadline_us = 0;      // Unix microseconds; 0: none
  uint32_t warning_signal = 0;  // 0: none. sbatch's --signal=[B:]SIG@TIME
  uint64_t warning_before_s = 60;
  bool warning_to_batch_only = false;
  uint64_t leftover_grace_ms = 2000;  // SIGTERM to SIGKILL for what the script left behind
  uint64_t unkillable_after_s =
      60;  // after this long of SIGKILL the end is reported although processes remain

  // Existing absolute cgroup directories, v2 or of v1 hierarchies (freezer, pids...), each of which gets a child for this step.
  // Empty: processes are tracked by descent and by the mark.
  std::vector<std::string> cgroups;
  // What else holds it. Its trees are further cgroups, with limits.
  Confinement confinement;

  // Where the end is made durable when the agent that started the step is not there to do it: absolute. Empty: DIR/status itself, always.
  std::string end_file;

  // The processes of a step that is not the batch script: each runs argv with env, and their streams go where `streams` says; script,
  // stdin_path, stdout_path and stderr_path above are not used. Empty: the batch step.
  std::vector<TaskLaunch> tasks;
  StreamPlan streams;
  // Programs that the user runs before and after the script or each task (task_hooks.h), absolute, in this order.
  std::vector<std::string> task_prologs, task_epilogs;

  bool operator==(const StepLaunch&) const = default;
};

std::string encode_launch(const StepLaunch& launch);
// Errors: bad_record, newer_record; every length is checked before anything is copied.
Result<StepLaunch> decode_launch(std::string_view bytes);

// Writes DIR/launch so that it survives a power cut (file and DIR are synced). Errors: io_error.
Status write_launch(const Env& env, const std::string& dir, const StepLaunch& launch);
// Errors: not_found, io_error, bad_record, newer_record.
Result<StepLaunch> read_launch(const std::string& dir);

// "job 7 attempt 1 step batch", for logs.
std::string step_name(const StepLaunch& launch);

}  // namespace bai::step
