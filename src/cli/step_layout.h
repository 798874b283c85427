// Who runs where in a step, as the controller said. Plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/ids.h"

namespace bai::cli {

struct StepLayout {
  JobId job = 0;
  std::string step = "0";  // after the dot of "7.0"
  std::vector<std::string> nodes;
  std::vector<std::vector<std::uint32_t>> ranks;  // of each node

  std::uint32_t task_count() const {
    std::size_t count = 0;
    for (const auto& node : ranks) count += node.size();
    return static_cast<std::uint32_t>(count);
  }
  // "StepId=7.0"
  std::string name() const { return "StepId=" + std::to_string(job) + "." + step; }
};

}  // namespace bai::cli
