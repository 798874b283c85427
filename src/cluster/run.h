// Runs one command for `bai-cluster run`, in the foreground. One thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/interrupt.h"

namespace bai::cluster {

// PATH begins with the directory of this program; BAI_CONF names the cluster's configuration.
std::string path_with_programs();

// Makes this process inherit what the command leaves behind (prctl(2), PR_SET_CHILD_SUBREAPER). Before the
// cluster is started.
void adopt_orphans();
// After the cluster was taken down: ends whatever of the command is left, politely for a second.
void end_orphans();

// Runs it with those two set. The terminal's Ctrl-C reaches the command itself; SIGTERM and SIGHUP are passed
// on. Returns its exit status, as a shell does (128 + the signal's number if one ended it, 127 if there is no
// such program). Errors: spawn_failed, interrupted (before it began).
Result<int> run_command(const std::vector<std::string>& words, const std::string& conf, Interrupt& interrupt);

}  // namespace bai::cluster
