// Recording: everything that a Scheduler was told, in order, and everything that it decided, as bytes. Played to another Scheduler it gives
// the same decisions, so a report about the scheduler is a file. A job's owner is kept as a number; what the scheduler never looks at
// (names of jobs, paths, commands, comments) is left out. The format is in doc/recording.md. No I/O; one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sokovan/sokovan.h"

namespace bai::sokovan {

inline constexpr std::string_view kRecordingMagic = "bai scheduler recording\n";
// Raised when the encoding of anything in a recording changes. A recording is read by programs of its own version only.
inline constexpr std::uint32_t kRecordingVersion = 1;
inline constexpr std::size_t kMaxRecord = std::size_t{256} << 20;  // bytes of one

// What the scheduler compares by address stays equal in a replay: it is written once for each job, and "the same as before" afterwards.
struct SharedParts {
  std::shared_ptr<const JobSpec> spec;
  std::shared_ptr<const ArrayHead> array;
  std::shared_ptr<const Allocation> allocation;
};

class Recorder {
 public:
  // `write` gets whole records, to be appended. `program`: who makes the recording, "bai-ctld 0.1.0".
  Recorder(std::function<void(std::string_view)> write, std::string_view program);

  void fresh();  // from here on it is another scheduler, new and empty
  void applied(const Change& change);
  void decided(Time now, const Budget& budget, const Decisions& decisions);

 private:
  template <class T>
  void put(const T& record);

  std::function<void(std::string_view)> write_;
  std::unordered_map<JobId, SharedParts> known_;  // of jobs that have not ended; looked up, never walked
  std::string buffer_, body_;
};

// One thing in a recording: a change, or a decision, or neither (a fresh scheduler).
struct Recorded {
  struct Decided {
    Time now;
    Budget budget;
    Decisions decisions;
  };
  std::optional<Change> change;
  std::optional<Decided> decided;
};

class RecordingReader {
 public:
  // Each takes what is at the beginning of `bytes`, and says in `used` how long that is: 0 when more bytes are needed.
  // Errors: bad_recording.
  static Result<std::string> header(std::string_view bytes, std::size_t& used);  // who made it
  Result<Recorded> next(std::string_view bytes, std::size_t& used);

 private:
  std::unordered_map<JobId, SharedParts> known_;
};

// Empty when both say the same of starts, of those that wait, and of when to look again; else the first difference in words.
std::string difference(const Decisions& recorded, const Decisions& now);

}  // namespace bai::sokovan
