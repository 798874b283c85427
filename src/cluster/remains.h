// Ends what the steps of a cluster have left on this machine after its agents are gone: shepherds, which
// outlive agents on purpose, and the processes that they own. Blocks; one thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/layout.h"

namespace bai::cluster {

// The directories of all attempts below DIR/agents, in order.
std::vector<std::string> find_attempts(const Layout& layout);

// Of all attempts but these. Errors: the last step's that could not be ended.
Status end_step_remains(const Layout& layout, const std::vector<std::string>& but = {});

}  // namespace bai::cluster
