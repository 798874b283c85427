// The step's first process between fork and exec: becomes the user, enters the cgroups, opens the files, runs the script. What goes wrong travels
// to the shepherd over a close-on-exec pipe as a ChildFailure, and becomes a sentence there.
// Single-threaded processes only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "step/launch.h"

namespace bai::step {

enum class ChildStage : int32_t {
  kSession = 1,
  kGroups,
  kIds,
  kWorkdir,
  kStdin,
  kStdout,
  kStderr,
  kDescriptors,
  kExec,
  kCgroup,
  kPrivate,
  kTaskProlog,  // with its exit status in place of errno
};
struct ChildFailure {
  ChildStage stage = ChildStage::kSession;
  int32_t err = 0;  // errno
};

// What the child needs beyond the launch. Made ready before the fork: what a child writes to, the kernel copies.
struct ChildPlan {
  std::string program;               // the file to run; when it has no slash, PATH is searched
  std::vector<std::string> cgroups;  // to join by itself
  std::string mark;                  // of the environment
  std::vector<const char*> argv, envp;

  // Of a task: what its streams are when they are no files, and whether they are its terminal.
  std::array<int, 3> stdio = {-1, -1, -1};
  bool terminal = false;
  int inherited = -1;   // one more descriptor that it keeps
  bool prologs = true;  // the task prologs come first

  // Sets mark, argv and envp; both must stay where they are.
  void prepare(const StepLaunch& launch);
  // The same for a task, with its environment as it shall be but for the mark; and the program.
  void prepare_task(const StepLaunch& launch, const TaskLaunch& task, std::vector<const char*> environment);
};

// Never returns. Ends with status 127 after a failure.
[[noreturn]] void run_child(const StepLaunch& launch, const ChildPlan& plan, int report_fd);

// The same for one task of a step. What goes wrong is said on its standard error, in the words of Slurm's stepd, and it ends with errno.
[[noreturn]] void run_task(const StepLaunch& launch, const TaskLaunch& task, const ChildPlan& plan);

// A process of the user's that runs the task epilogs of the script (null) or of one task, with that one's environment. Never returns.
[[noreturn]] void run_epilogs(const StepLaunch& launch, const TaskLaunch* task, const ChildPlan& plan);

// Why this launch cannot be for us; empty when it can.
std::string refused_user(const StepLaunch& launch, uint32_t own_uid);

// For the user: "working directory /x does not exist", "cannot open output file ...", "interpreter /bin/nosuch of the script does not exist".
std::string failure_message(const StepLaunch& launch, const ChildPlan& plan, ChildFailure failure);

}  // namespace bai::step
