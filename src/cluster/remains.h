// Ends what the steps of a cluster have left on this machine after its agents are gone: shepherds, which
// outlive agents on purpose, and the processes that they own. Blocks; one thread.
#pragma once

#include <string>

#include "base/result.h"
#include "cluster/layout.h"

namespace bai::cluster {

// Looks into every attempt below DIR/agents. Errors: the last step's that could not be ended.
Status end_step_remains(const Layout& layout);

}  // namespace bai::cluster
