// Which nodes of a job a step gets, how much of them, and which tasks run where: srun(1)'s rules as a pure function.
#pragma once

#include <optional>
#include <vector>

#include "base/idset.h"
#include "base/result.h"
#include "model/step.h"

namespace bai::controller {

// One node of the job: what the job has there, and what its running steps took of that.
struct StepRoom {
  NodeShare has;
  std::uint32_t steps = 0;  // that do not overlap
  std::uint32_t cpus_used = 0;
  std::uint64_t mem_used_mib = 0;
  std::vector<DeviceShare> devices_used{};
  IdSet cpus_taken{};
};

// Takes or gives back what a step counts as its own on each node. An overlapping step counts nothing.
void take(std::vector<StepRoom>& rooms, const Step& step);
void give(std::vector<StepRoom>& rooms, const Step& step);

// The shares, ranks filled in; nothing when other steps must end first; an Error when it can never be in this job (codes "step_too_large",
// "bad_node", "bad_request").
Result<std::optional<std::vector<StepShare>>> lay_out(const StepSpec& spec,
                                                      const std::vector<StepRoom>& rooms);

}  // namespace bai::controller
