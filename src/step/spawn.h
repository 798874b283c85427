// Starting a shepherd from the agent. Any thread.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace bai::step {

struct SpawnedShepherd {
  pid_t pid = 0;
  Fd pidfd;  // readable when it has ended
};

// Starts `STEPD DIR` in a session of its own with default signals, its three streams on /dev/null (what it has to say it writes into DIR/stepd.log, made
// when there is something to say), and
// no environment but BAI_STEP_MARK (so that a shepherd, or its child before the exec, is found by find_step_remains) and BAI_CRASH_POINT. It is the caller's child: reap it with waitpid(pid) when pidfd becomes
// readable. It lives on when the caller dies. DIR is absolute and holds `launch`.
// Errors: spawn_failed.
Result<SpawnedShepherd> spawn_shepherd(const std::string& stepd, const std::string& dir,
                                       const std::string& mark);

}  // namespace bai::step
