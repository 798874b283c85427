// Classes of equal requests, and what each partition makes of them.
#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "model/constraint.h"
#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

std::string class_key(const JobSpec& spec) {
  const auto& r = spec.request;
  std::string key;
  for (auto text : {spec.partition.view(), r.nodes_wanted.view(), r.nodes_excluded.view(),
                    r.constraint.view(), r.licenses.view()}) {
    key += text;
    key += '\0';
  }
  const std::uint64_t numbers[] = {
      r.min_nodes,       r.max_nodes,      r.tasks,
      r.cpus_per_task,   r.tasks_per_node, r.mem_per_node_mib,
      r.mem_per_cpu_mib, r.exclusive,      static_cast<std::uint64_t>(spec.time_limit)};
  key.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  if (r.exclusive_user) key += "user " + std::to_string(spec.uid);
  return key;
}

}  // namespace

JobClass Scheduler::Impl::make_class(const std::shared_ptr<const JobSpec>& spec) {
  JobClass c;
  c.spec = spec;
  for (auto name : split_list(spec->partition)) c.partitions.emplace_back(name);
  if (auto licenses = parse_licenses(spec->request.licenses))
    c.licenses = *std::move(licenses);
  else
    c.bad_licenses = true;
  return c;
}

// Counts one more job in.
std::uint32_t Scheduler::Impl::class_of(const JobPtr& job) {
  auto key = class_key(*job->spec);
  auto [it, is_new] = class_index.try_emplace(key, 0);
  if (is_new) {
    if (free_classes.empty()) {
      it->second = static_cast<std::uint32_t>(classes.size());
      classes.emplace_back();
    } else {
      it->second = free_classes.back();
      free_classes.pop_back();
    }
    classes[it->second] = std::make_unique<JobClass>(make_class(job->spec));
    classes[it->second]->key = std::move(key);
  }
  ++classes[it->second]->jobs;
  return it->second;
}

void Scheduler::Impl::leave_class(std::uint32_t job_class) {
  auto& slot = classes[job_class];
  if (--slot->jobs != 0) return;
  class_index.erase(slot->key);
  slot.reset();
  free_classes.push_back(job_class);
}

Seconds Scheduler::Impl::limit_in(const JobSpec& spec, const Partition& partition) const {
  if (spec.time_limit != 0) return spec.time_limit;
  return partition.default_time != 0 ? partition.default_time : partition.max_time;
}

std::shared_ptr<const Domain> Scheduler::Impl::domain_of(const Partition& partition,
                                                         const ResourceRequest& request) const {
  std::string key = partition.name.str();
  for (auto text : {request.constraint.view(), request.nodes_excluded.view()}) {
    key += '\0';
    key += text;
  }
  auto& slot = domains[key];
  if (auto known = slot.lock(); known && known->generation == generation) return known;
  auto domain = std::make_shared<Domain>();
  domain->generation = generation;
  const auto constraint = parse_constraint(request.constraint);
  const auto excluded = expand_hostlist(request.nodes_excluded);
  std::set<std::string_view> out;
  if (excluded) out.insert(excluded->begin(), excluded->end());
  if (constraint) {
    for (const auto& name : partition.nodes) {
      auto it = node_index.find(name.str());
      if (it == node_index.end()) continue;
      const auto& node = nodes[it->second];
      if (node.exists && !out.count(name.view()) && constraint->each.holds(node.features))
        domain->nodes.push_back(it->second);
    }
    std::stable_sort(domain->nodes.begin(), domain->nodes.end(),
                     [&](auto a, auto b) { return nodes[a].weight < nodes[b].weight; });
  }
  slot = domain;
  if (domains.size() > 2 * classes.size() + 64)
    std::erase_if(domains, [](const auto& item) { return item.second.expired(); });
  return domain;
}

Option Scheduler::Impl::make_option(const JobClass& c, const PartitionPtr& partition, bool limits) const {
  const auto& request = c.spec->request;
  Option option;
  option.partition = partition;
  option.limit = limit_in(*c.spec, *partition);
  option.domain = domain_of(*partition, request);
  auto& wish = option.wish;
  auto never = [&](Reason reason, std::string detail = {}) {
    option.reason = reason;
    option.detail = std::move(detail);
    return option;
  };
  wish.cpus_per_task = std::max(1u, request.cpus_per_task);
  wish.tasks_per_node = request.tasks_per_node;
  wish.exclusive = request.exclusive || partition->oversubscribe_exclusive;
  wish.exclusive_user = request.exclusive_user;
  if (wish.exclusive_user) wish.uid = c.spec->uid;
  if (partition->max_mem_per_node_mib) wish.max_mem_mib = partition->max_mem_per_node_mib;
  wish.memory = memory_rule(request, *partition);
  wish.min_nodes = std::max({1u, request.min_nodes, limits ? partition->min_nodes : 0});
  wish.max_nodes = request.max_nodes;
  if (limits && partition->max_nodes && (wish.max_nodes == 0 || wish.max_nodes > partition->max_nodes))
    wish.max_nodes = partition->max_nodes;
  const auto names = expand_hostlist(request.nodes_wanted);
  if (!names) return never(Reason::kBadConstraints, names.error().message);
  for (const auto& name : *names) {
    auto it = node_index.find(name);
    if (it == node_index.end() || !nodes[it->second].exists)
      return never(Reason::kReqNodeNotAvail, "there is no node " + name);
    if (std::find(option.domain->nodes.begin(), option.domain->nodes.end(), it->second) ==
        option.domain->nodes.end())
      return never(Reason::kBadConstraints,
                   name + " is wanted, but is excluded, lacks the features or is in another partition");
    if (std::find(wish.wanted.begin(), wish.wanted.end(), it->second) == wish.wanted.end())
      wish.wanted.push_back(it->second);
  }
  wish.min_nodes = std::max(wish.min_nodes, static_cast<std::uint32_t>(wish.wanted.size()));
  wish.tasks = std::max({1u, request.tasks, wish.min_nodes});
  if (limits && partition->state == PartitionState::kDown) return never(Reason::kPartitionDown);
  if (limits && partition->state == PartitionState::kInactive) return never(Reason::kPartitionInactive);
  if (limits && partition->max_time != kUnlimited &&
      (option.limit == kUnlimited || option.limit > partition->max_time))
    return never(Reason::kPartitionTimeLimit,
                 "the partition's limit is " + format_duration(partition->max_time));
  if (wish.max_nodes && wish.min_nodes > wish.max_nodes)
    return never(Reason::kPartitionNodeLimit, "at most " + std::to_string(wish.max_nodes) + " nodes");
  if (!parse_constraint(request.constraint))
    return never(Reason::kBadConstraints, "the constraint cannot be read");
  if (option.domain->nodes.empty()) return never(Reason::kBadConstraints, "no node has the features");
  const auto picks =
      place(option.domain->nodes, wish, [&](std::uint32_t node) { return nodes[node].empty(); });
  if (picks.empty()) return never(Reason::kPartitionConfig, "more than the partition's nodes have");
  return option;
}

std::vector<PartitionPtr> Scheduler::Impl::partitions_of(const JobClass& c) const {
  std::vector<PartitionPtr> list;
  for (const auto& name : c.partitions)
    if (auto it = partitions.find(name); it != partitions.end()) list.push_back(it->second);
  if (c.partitions.empty())
    for (const auto& [name, partition] : partitions)
      if (partition->is_default) list.push_back(partition);
  return list;
}

void Scheduler::Impl::refresh(JobClass& c) const {
  if (c.generation == generation) return;
  c.generation = generation;
  c.tier = 0;
  c.options.clear();
  for (const auto& partition : partitions_of(c)) {
    c.options.push_back(make_option(c, partition, true));
    c.tier = std::max(c.tier, partition->priority_tier);
  }
}

}  // namespace bai::sokovan
