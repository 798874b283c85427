// How many tasks the nodes of a job take, and how Slurm writes such numbers. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/job.h"

namespace bai {

// Slurm's short form of numbers per node: "4(x2),3".
std::string compress_counts(const std::vector<std::uint32_t>& counts);
// How many tasks each node of the allocation takes (SLURM_TASKS_PER_NODE).
std::vector<std::uint32_t> tasks_per_node(const Job& job);

}  // namespace bai
