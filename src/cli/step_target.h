// Where a stream of a step's tasks goes, by srun's words for -i, -o and -e: "all" (the command's own), "none", a task's number, or a
// file name with patterns. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bai::cli {

struct StepTarget {
  enum class Kind : std::uint8_t { all, none, one, file };
  Kind kind = Kind::all;
  std::uint32_t task = 0;  // one
  std::string pattern;     // file

  bool operator==(const StepTarget&) const = default;
};

// An empty word is "all". A number that no task has is a file's name, as for srun.
StepTarget parse_step_target(std::string_view word, std::uint32_t task_count);

}  // namespace bai::cli
