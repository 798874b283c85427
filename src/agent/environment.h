// A job's environment: what its user had at submission, and what the scheduler tells it, under bai's names and Slurm's
// (sbatch(1), "OUTPUT ENVIRONMENT VARIABLES"). One table, in environment.cc. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/users.h"
#include "wire/agent_messages.h"

namespace bai::agent {

struct EnvironmentContext {
  const wire::LaunchOrder& order;
  const User& user;
  std::string cluster_name;
  std::string node;  // this one
  std::uint32_t node_index = 0;
  // "K=V" of the devices that it is given here; null: no plugin knows this node's devices.
  const std::vector<std::string>* devices = nullptr;
};

// "K=V" each. Variables of ours replace the user's of the same name.
std::vector<std::string> job_environment(const EnvironmentContext& context);

// The indices of the job's GPUs on its nth node: "0,2".
std::string gpus_on_node(const Job& job, std::uint32_t index);

}  // namespace bai::agent
