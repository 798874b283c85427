#include "cli/step_target.h"

#include <charconv>

namespace bai::cli {

StepTarget parse_step_target(std::string_view word, std::uint32_t task_count) {
  using Kind = StepTarget::Kind;
  if (word.empty() || word == "all") return {};
  if (word == "none") return {Kind::none, 0, {}};
  std::uint32_t task = 0;
  const char* end = word.data() + word.size();
  const auto [at, error] = std::from_chars(word.data(), end, task);
  if (error == std::errc() && at == end && task < task_count) return {Kind::one, task, {}};
  return {Kind::file, 0, std::string(word)};
}

}  // namespace bai::cli
