// Replay: plays a recording of the controller's scheduler to another one and compares what it decides.
#pragma once

#include <string>

#include "base/result.h"
#include "sokovan/sokovan.h"

namespace bai::sim {

struct Replayed {
  std::string program;  // that made the recording
  std::uint64_t changes = 0, decisions = 0, starts = 0;
  std::uint64_t different = 0;   // decisions that are not those recorded
  std::string first_difference;  // "decision 7 at 2026-01-02T03:04:05: start 1 was ..."
  bool cut_off = false;  // the recording ends within a record: its program was ended, or the disk was full
};

// After a decision that differs, the recorded one is what goes on: its changes follow. Errors: no_file, bad_file, bad_recording,
// bad_plugin (a partition's, which `plugins` do not have).
Result<Replayed> replay_file(const std::string& path, const sokovan::PlacementSource& plugins);

}  // namespace bai::sim
