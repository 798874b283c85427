// Where SPOOL/attempts lies. Nothing in it need outlive the boot, so it is best a link into a memory file system: an attempt makes
// half a dozen small files, and a disk's file system takes its time over each. One thread, when the agent starts.
#pragma once

#include <string>

#include "base/env.h"
#include "base/result.h"

namespace bai::agent {

struct AttemptsDir {
  bool in_memory = false;
  std::string why_not;  // what was found wrong with RUNTIME
};

// Makes `attempts` (an absolute path): a link to `runtime` (a directory, made if need be; empty: none), or a plain directory when
// that is not a memory file system, cannot run scripts (noexec) or is not ours alone. Where attempts are left, it stays where it is.
// Errors: io_error.
Result<AttemptsDir> place_attempts(const Env& env, const std::string& attempts, const std::string& runtime);

// What was discarded there begins with this.
inline constexpr std::string_view kTrashPrefix = "gone-";

}  // namespace bai::agent
