// Starts a program of the agent's apart from it: a session of its own, no descriptor but what is named, no signal blocked
// or ignored, its words to nowhere.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace bai::agent {

// A descriptor of ours that the program has under a number of its own.
struct PassedFd {
  int ours = -1;   // -1: none
  int theirs = 3;  // > 2
};

// The number of the process, which leads its own session and group. The caller waits for it. Only async-signal-safe work is
// done between fork and exec (posix_spawn), so any thread may call it. Errors: io_error, with the system's words.
Result<pid_t> spawn_apart(const std::string& path, std::vector<std::string> words,
                          std::vector<std::string> environment, PassedFd passed = {});

// The agent's own environment, NAME=VALUE.
std::vector<std::string> own_environment();

}  // namespace bai::agent
