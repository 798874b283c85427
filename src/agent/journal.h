// SPOOL/journal: what the agent has promised, one record after the other, each a whole post-image: attempts that it claimed
// (before the fork), how they ended, signals already sent, attempts forgotten, and the cluster's lineage. One append and one sync
// serve all launches and ends that came together. Records are those of step/record.h, so the format is frozen the same way: doc/agent-spool.md.
// One thread; plain values, save Journal, which writes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "step/status.h"
#include "wire/agent_messages.h"

namespace bai::agent {

// What is to be remembered of one attempt.
struct AttemptRecord {
  wire::AttemptKey key;
  std::string boot_id;                     // the boot in which it was claimed
  std::string mark;                        // of its processes; empty: never to be started
  std::uint64_t signal_generation = 0;     // of the last signal that was passed on
  std::uint64_t suspend_generation = 0;    // of the last suspend or resume
  bool suspended = false;                  // which of the two
  std::optional<step::StepStatus> status;  // its end, as its shepherd saw it
  bool ended = false;                      // by the agent's word; these four then count
  wire::AttemptEnd end = wire::AttemptEnd::kNeverStarted;
  Time ended_at;
  ExitStatus exit;
  std::string message;

  friend bool operator==(const AttemptRecord&, const AttemptRecord&) = default;
};

// Encoded records, to be appended.
std::string encode_attempt(const AttemptRecord& record);
std::string encode_forget(const wire::AttemptKey& key);
std::string encode_lineage(const Lineage& lineage);

struct JournalContents {
  Lineage lineage;
  std::map<wire::AttemptKey, AttemptRecord> attempts;
  bool damaged = false;  // something after the last good record could not be read (a cut tail after a crash)
};
JournalContents decode_journal(std::string_view bytes);

// The file. After an error nothing is known of its tail: rewrite() before the next append().
class Journal {
 public:
  Journal(const Env& env, std::string path) : env_(env), path_(std::move(path)) {}

  // An absent file is empty. Errors: io_error, too_large.
  Result<JournalContents> read() const;
  // Appends and syncs. Errors: io_error, no_space.
  Status append(std::string_view records);
  // Replaces everything, durably. Errors: io_error, no_space.
  Status rewrite(std::string_view records);
  // True when it has grown so far that a rewrite pays.
  bool bloated() const { return bytes_ > kCompactBytes && bytes_ > 4 * base_bytes_; }

 private:
  static constexpr std::size_t kCompactBytes = 1 << 20;

  const Env& env_;
  std::string path_;
  std::size_t bytes_ = 0;       // written since
  std::size_t base_bytes_ = 0;  // the last rewrite
};

}  // namespace bai::agent
