// SPOOL, the agent's directory on its node: `lock`, `journal` (journal.h), `config` (the last one that the controller sent), and
// attempts/JOB.ATTEMPT/ with what passes between agent and shepherd: `launch`, `started`, `status`, `sock`, `script`, `stepd.log`.
// doc/agent-spool.md. One thread.
#pragma once

#include <string>
#include <vector>

#include "agent/machine.h"
#include "base/fd.h"
#include "step/launch.h"

namespace bai::agent {

class Spool {
 public:
  // Makes what is missing and takes the lock. Errors: spool_in_use, io_error.
  static Result<Spool> open(const Env& env, const std::string& dir);

  const std::string& dir() const { return dir_; }
  std::string journal_path() const { return dir_ + "/journal"; }
  std::string attempt_dir(wire::AttemptKey key) const;

  // Everything that is there, judged against what the journal says. No shepherd begins where none was found: such starts are
  // forbidden. Directories that no claim stands for, and that nothing runs in, go.
  Result<std::vector<FoundAttempt>> scan(const JournalContents& journal, const std::string& boot_id) const;

  // Makes the attempt's directory and launch file. Not synced: the claim in the journal names the boot, and after a power cut
  // nothing is read but the status, which the shepherd syncs. Errors: io_error, no_space.
  Status prepare(wire::AttemptKey key, const step::StepLaunch& launch) const;
  // Names of new directories become durable, so that a status in one is found after a power cut.
  Status sync_attempts() const { return env_->sync_dir(dir_ + "/attempts"); }
  void discard(wire::AttemptKey key) const;

  // The last configuration text; empty when there is none.
  std::string read_config() const;
  Status write_config(const std::string& text) const;

 private:
  Spool(const Env& env, std::string dir, Fd lock) : env_(&env), dir_(std::move(dir)), lock_(std::move(lock)) {}
  FoundAttempt look(wire::AttemptKey key) const;

  const Env* env_;
  std::string dir_;
  Fd lock_;
};

}  // namespace bai::agent
