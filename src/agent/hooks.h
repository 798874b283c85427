// Prolog and Epilog as steps of a job on this node: which programs they are now, what they are told, as whom and how long they run.
// Pure but for the patterns, which are looked up. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "model/config.h"
#include "step/launch.h"
#include "step/status.h"
#include "wire/agent_messages.h"

namespace bai::agent {

// Of the node's own file only.
struct HookSettings {
  std::vector<std::string> prolog, epilog;  // patterns
  Seconds timeout = 600;                    // 0: none
  std::string conf;                         // for the programs' commands
  std::string task_prolog, task_epilog;     // empty: none
  bool security_limits = true;              // jobs get those of /etc/security
};
HookSettings hook_settings(const ClusterConfig& own, const std::string& conf);
// What the controller is told of them.
wire::NodeHooks node_hooks(const ClusterConfig& own);

struct HookPlace {
  std::string cluster_name;
  std::string node;
  std::uint32_t index = 0;  // of the node among the job's
};

// Completes the launch of an order whose step is kPrologStep or kEpilogStep. `own_uid`: the agent's, as whom it runs.
void make_hook(const wire::LaunchOrder& order, const HookSettings& settings, const HookPlace& place,
               std::uint32_t own_uid, step::StepLaunch& launch);

// The programs around the script or the tasks: the site's, then the step's own; at the end the other way round.
void add_task_hooks(const wire::LaunchOrder& order, const HookSettings& settings, step::StepLaunch& launch);

// For a node's reason and a user's eyes: "exit status 3: no /scratch", "it took longer than 600 s". `output`: what the programs printed.
std::string hook_failure(const step::StepStatus& status, std::string_view output);

}  // namespace bai::agent
