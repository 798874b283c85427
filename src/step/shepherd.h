// The shepherd: runs one step from its spool directory to its durable end. It owns the step's processes, output files, time limit and exit
// status, and needs nobody: not the agent, not the network. One thread, one ppoll loop, no polling by time except while it kills.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace bai::step {

// Runs the step that DIR/launch describes and returns when DIR/status is written (also for a step that could not be launched: that is a
// status, not an error). Makes the calling process a subreaper, changes its directory to DIR and blocks signals: call it once, in a process of its own.
// `agent`: the process that started it; while it is our parent it makes the end durable.
// Errors: bad launch file, already_started, io_error.
Status run_shepherd(const std::string& dir, pid_t agent);

// Writes a line to stderr and appends it to DIR/stepd.log.
void log_shepherd(const std::string& dir, const std::string& text);

}  // namespace bai::step
