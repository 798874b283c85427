// Placement plugins: where Placement=plugin:NAME comes from; placement_plugin.h has their side. The one file of this room that touches files:
// the scheduler is handed what was loaded. Any thread; what was loaded stays so until the program ends.
#pragma once

#include <string>
#include <string_view>

#include "model/config.h"
#include "sokovan/sokovan.h"

namespace bai::sokovan {

// placement_NAME.so of the first of the directories ("DIR:DIR") that has it. Errors: bad_plugin, with the file and what is wrong with it.
Result<const bai_placement*> load_placement(std::string_view dirs, std::string_view name);
PlacementSource placements_in(std::string dirs);
// Whether the partition's can be had, if it names one.
Status check_placement(const Partition& partition, const PlacementSource& source);
// Of all partitions; the first error. What a controller asks of a configuration before it takes it.
Status check_placements(const ClusterConfig& config);

}  // namespace bai::sokovan
