// SPOOL, the agent's directory on its node: `lock`, `journal` (journal.h), `config` (the last one that the controller sent),
// attempts/JOB.ATTEMPT/ (attempts_dir.h) with what passes between agent and shepherd: `launch`, `started`, `status`, `sock`, `script`,
// `stepd.log`; and ends/JOB.ATTEMPT, how steps ended while no agent was there. doc/agent-spool.md. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/attempts_dir.h"
#include "agent/machine.h"
#include "base/fd.h"
#include "step/launch.h"

namespace bai::agent {

class Spool {
 public:
  // Makes what is missing and takes the lock. `runtime`: where attempts shall lie if it is fit for that (attempts_dir.h).
  // Errors: spool_in_use, io_error.
  static Result<Spool> open(const Env& env, const std::string& dir, const std::string& runtime = "");

  const std::string& dir() const { return dir_; }
  std::string journal_path() const { return dir_ + "/journal"; }
  std::string attempt_dir(wire::AttemptKey key) const;
  // Why attempts do not lie where they should; empty when they do.
  const std::string& why_on_disk() const { return place_.why_not; }

  // Everything that is there, judged against what the journal says. No shepherd begins where none was found: such starts are
  // forbidden. Directories that no claim stands for, and that nothing runs in, go.
  Result<std::vector<FoundAttempt>> scan(const JournalContents& journal, const std::string& boot_id);

  // Makes the attempt's directory and launch file. Not synced: after a power cut nothing is read here. Errors: io_error, no_space.
  Status prepare(wire::AttemptKey key, step::StepLaunch launch);
  // Nobody needs it any more. On a disk it is renamed now and removed by empty_trash(): removing is not for the launch path (and
  // ext4 without a journal searches through all inodes deleted within a minute at every creation).
  void discard(wire::AttemptKey key, std::int64_t mono_ms);
  // Removes what was discarded until `until_ms`, oldest first, for about `budget_ms`. A full disk has it emptied at once.
  void empty_trash(std::int64_t until_ms, std::int64_t budget_ms);
  std::size_t trash_size() const { return trash_.size(); }

  // The last configuration text; empty when there is none.
  std::string read_config() const;
  Status write_config(const std::string& text) const;

 private:
  Spool(const Env& env, std::string dir, Fd lock, AttemptsDir place)
      : env_(&env), dir_(std::move(dir)), lock_(std::move(lock)), place_(std::move(place)) {}
  std::string end_file(wire::AttemptKey key) const;
  FoundAttempt look(wire::AttemptKey key) const;
  Status write_launch(wire::AttemptKey key, const std::string& bytes) const;
  void remove(const std::string& dir) const;

  const Env* env_;
  std::string dir_;
  Fd lock_;
  AttemptsDir place_;
  std::set<wire::AttemptKey> adopted_;  // started by an earlier agent: they may have an end file
  std::deque<std::pair<std::int64_t, std::string>> trash_;  // since when, directory
};

}  // namespace bai::agent
