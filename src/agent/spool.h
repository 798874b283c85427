// SPOOL, the agent's directory on its node: `lock`, `journal` (journal.h), `config` (the last one that the controller sent), and
// attempts/JOB.ATTEMPT/ with what passes between agent and shepherd: `launch`, `started`, `status`, `sock`, `script`, `stepd.log`.
// doc/agent-spool.md. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
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
  Result<std::vector<FoundAttempt>> scan(const JournalContents& journal, const std::string& boot_id);

  // Makes the attempt's directory and launch file. Not synced: the claim in the journal names the boot, and after a power cut
  // nothing is read but the status, which the shepherd syncs. Errors: io_error, no_space.
  Status prepare(wire::AttemptKey key, const step::StepLaunch& launch);
  // Names of new directories become durable, so that a status in one is found after a power cut (else that is NODE_FAIL).
  Status sync_attempts() const { return env_->sync_dir(dir_ + "/attempts"); }
  // Nobody needs it any more. It is renamed now and removed by empty_trash(): removing is not for the launch path (and ext4 without a
  // journal searches through all inodes deleted within a minute at every creation).
  void discard(wire::AttemptKey key, std::int64_t mono_ms);
  // Removes what was discarded until `until_ms`, oldest first, for about `budget_ms`. A full disk has it emptied at once.
  void empty_trash(std::int64_t until_ms, std::int64_t budget_ms);
  std::size_t trash_size() const { return trash_.size(); }

  // The last configuration text; empty when there is none.
  std::string read_config() const;
  Status write_config(const std::string& text) const;

 private:
  Spool(const Env& env, std::string dir, Fd lock)
      : env_(&env), dir_(std::move(dir)), lock_(std::move(lock)) {}
  FoundAttempt look(wire::AttemptKey key) const;
  Status write_launch(wire::AttemptKey key, const std::string& bytes) const;
  void remove(const std::string& dir) const;

  const Env* env_;
  std::string dir_;
  Fd lock_;
  std::deque<std::pair<std::int64_t, std::string>> trash_;  // since when, directory
};

}  // namespace bai::agent
