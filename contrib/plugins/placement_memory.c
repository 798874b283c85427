/* An example of a placement plugin, see doc/placement-plugins.md: nodes with little memory first, and of those the ones that have the least to
 * spare, so that jobs which need much of it find large nodes free. PartitionName=... Placement=plugin:memory */
#include "placement_plugin.h"

static int64_t cost(const struct bai_placement_node* node, const struct bai_placement_share* share) {
  const int64_t left = node->memory_free_mib - share->memory_mib;
  return node->memory_mib * 4096 + left * 4096 / (node->memory_mib + 1);
}

const struct bai_placement bai_placement_plugin = {BAI_PLACEMENT_VERSION, "memory", cost};
