// The tasks of a step for its shepherd on this node. Pure function; any thread.
#pragma once

#include <string>

#include "agent/users.h"
#include "base/result.h"
#include "step/launch.h"
#include "wire/agent_messages.h"

namespace bai::agent {

// Adds what a step is to a launch that holds all that it has in common with a batch script (who, where, environment). Errors: bad_order,
// bad_multi_prog.
Status add_tasks(const wire::LaunchOrder& order, const User& user, const std::string& node,
                 step::StepLaunch& launch);

}  // namespace bai::agent
