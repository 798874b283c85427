#include "sokovan/site.h"

namespace bai::sokovan {

std::vector<Change> feed_of(const ClusterConfig& config) {
  return {SettingsSet{config.scheduling}, TopologySet{config.switches}, LicensesSet{config.licenses}};
}

}  // namespace bai::sokovan
