// What a configuration says to a scheduler: one place for the controller and the simulator.
#pragma once

#include <vector>

#include "model/config.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

// SettingsSet, TopologySet and LicensesSet.
std::vector<Change> feed_of(const ClusterConfig& config);
// A node that is not usable yet.
NodeSet node_of(const Istr& name, const NodeShape& shape, const std::vector<std::string>& features,
                std::uint32_t weight);

}  // namespace bai::sokovan
