// The caller's resource limits as a job takes them along: variables of its environment that the node's agent takes out again
// (model/rlimits.h). One thread.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "model/rlimits.h"

namespace bai::cli {

// "BAI_RLIMIT_NOFILE=1024" each, for the soft limits of --propagate if it was given, else of `configured`. Errors: bad_value.
Result<std::vector<std::string>> passed_limits(const Parsed& parsed, RlimitSet configured);

}  // namespace bai::cli
