#include "sokovan/site.h"

namespace bai::sokovan {

std::vector<Change> feed_of(const ClusterConfig& config) {
  return {SettingsSet{config.scheduling}, TopologySet{config.switches}, LicensesSet{config.licenses}};
}

NodeSet node_of(const Istr& name, const NodeShape& shape, const std::vector<std::string>& features,
                std::uint32_t weight) {
  NodeSet set;
  set.name = name;
  set.cpus = shape.cpus;
  set.mem_mib = shape.mem_mib;
  set.features = features;
  set.weight = weight;
  set.sockets = shape.sockets;
  set.cores_per_socket = shape.cores_per_socket;
  set.threads_per_core = shape.threads_per_core;
  set.tmp_mib = shape.tmp_mib;
  set.devices = shape.devices;
  return set;
}

}  // namespace bai::sokovan
