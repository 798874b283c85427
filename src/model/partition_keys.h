// Partitions changed or made while the controller runs, by the keys of PartitionName lines. Pure functions; any thread.
#pragma once

#include <string_view>

#include "base/result.h"
#include "model/config.h"

namespace bai {

// Errors: bad_key, bad_value, both with the key as place. Nodes= is text only: see fill_partition().
Status set_partition_key(Partition& partition, std::string_view key, std::string_view value);

// Nodes= into nodes of the configuration, in its order, and their processors. Errors: bad_node, bad_value.
Status fill_partition(const ClusterConfig& config, Partition& partition);

}  // namespace bai
