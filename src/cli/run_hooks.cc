#include "cli/run_hooks.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace bai::cli {

void run_beside_step(const std::string& program, const std::string& context,
                     const std::vector<std::string>& variables, const std::string& step,
                     const Reporter& reporter) {
  if (program.empty() || program == "none") return;
  std::vector<std::string> own = variables;
  for (const std::string prefix : {"BAI_", "SLURM_"}) {
    own.push_back(prefix + "SCRIPT_CONTEXT=" + context);
    if (!step.empty()) own.push_back(prefix + "STEP_ID=" + step);
  }
  const auto name = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  std::vector<char*> env;
  for (char** p = environ; *p; ++p)
    if (std::none_of(own.begin(), own.end(), [&](const auto& entry) { return name(entry) == name(*p); }))
      env.push_back(*p);
  for (auto& entry : own) env.push_back(entry.data());
  env.push_back(nullptr);
  char* argv[] = {const_cast<char*>(program.c_str()), nullptr};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);  // our input is the tasks'
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, program.c_str(), &files, &attributes, argv, env.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return reporter.note("cannot run " + program + ": " + strerror(failed));
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace bai::cli
