// What a configuration says to a scheduler beside its nodes and partitions: one place for the controller and the simulator.
#pragma once

#include <vector>

#include "model/config.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

// SettingsSet, TopologySet and LicensesSet.
std::vector<Change> feed_of(const ClusterConfig& config);

}  // namespace bai::sokovan
