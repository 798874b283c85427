#include "model/request.h"

namespace bai {

bool operator==(const RequestExtras&, const RequestExtras&) = default;

bool operator==(const ResourceRequest& a, const ResourceRequest& b) {
  const bool plain = a.min_nodes == b.min_nodes && a.max_nodes == b.max_nodes && a.tasks == b.tasks &&
                     a.cpus_per_task == b.cpus_per_task && a.tasks_per_node == b.tasks_per_node &&
                     a.exclusive == b.exclusive && a.exclusive_user == b.exclusive_user &&
                     a.asked == b.asked && a.mem_per_node_mib == b.mem_per_node_mib &&
                     a.mem_per_cpu_mib == b.mem_per_cpu_mib && a.nodes_wanted == b.nodes_wanted &&
                     a.nodes_excluded == b.nodes_excluded && a.constraint == b.constraint &&
                     a.licenses == b.licenses;
  return plain && (a.extras_or_null == b.extras_or_null || a.extras() == b.extras());
}

const RequestExtras& ResourceRequest::extras() const {
  static const RequestExtras kDefaults;
  return extras_or_null ? *extras_or_null : kDefaults;
}

void ResourceRequest::set_extras(RequestExtras extras) {
  if (extras == RequestExtras{})
    extras_or_null.reset();
  else
    extras_or_null = std::make_shared<const RequestExtras>(std::move(extras));
}

}  // namespace bai
