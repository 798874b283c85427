#include "model/partition_keys.h"

#include <set>

#include "base/hostlist.h"
#include "base/text.h"
#include "model/config_keys.h"

namespace bai {

Status set_partition_key(Partition& partition, std::string_view key, std::string_view value) {
  const auto* row = find_row(partition_rows(), key);
  if (!row || same_key(row->key.name, "PartitionName"))
    return Error{"bad_key", "a partition has no " + quote(key) + " that can be updated", std::string(key),
                 "see bai.conf(5), PartitionName"};
  if (auto set = row->set(partition, value); !set)
    return Error{"bad_value", set.error().message, std::string(key), set.error().remedy};
  return {};
}

Status fill_partition(const ClusterConfig& config, Partition& partition) {
  const auto text = partition.nodes_text.view();
  std::set<std::string> wanted;
  const bool all = iequals(text, "ALL");
  if (!all && !text.empty()) {
    auto names = expand_hostlist(text);
    if (!names) return Error{"bad_value", names.error().message, "nodes", names.error().remedy};
    wanted.insert(names->begin(), names->end());
  }
  partition.nodes.clear();
  partition.total_cpus = 0;
  for (const auto& node : config.nodes) {
    if (!all && wanted.erase(node.name.str()) == 0) continue;
    partition.nodes.push_back(node.name);
    partition.total_cpus += node.shape.cpus;
  }
  if (!wanted.empty())
    return Error{"bad_node", "invalid node name specified: " + quote(*wanted.begin()), "nodes",
                 "see bai-info -N"};
  return {};
}

}  // namespace bai
