#include "sim/site.h"

#include <algorithm>
#include <limits>

#include "base/suggest.h"
#include "base/text.h"
#include "sokovan/plugins.h"
#include "sokovan/site.h"

namespace bai::sim {
namespace {

const Istr kGpu = "gpu";

void follow(Partition& partition, const Rules& rules) {
  if (rules.policy) partition.scheduling.policy = *rules.policy;
  if (!rules.placement.empty()) partition.scheduling.placement = rules.placement;
}

SchedulingSettings at_every_event() {
  SchedulingSettings settings;
  settings.backfill_interval = 0;
  return settings;
}

void add(Site& site, sokovan::NodeSet node) {
  node.usable = true;
  site.cpus += node.cpus;
  site.gpu_milli += total_of(node.devices, kGpu);
  site.changes.emplace_back(std::move(node));
}

void add(Site& site, Partition partition) {
  site.partitions.insert(partition.name);
  site.changes.emplace_back(sokovan::PartitionSet{std::make_shared<Partition>(std::move(partition))});
}

// A partition of all nodes that were added.
void add_partition_of_all(Site& site, const Rules& rules) {
  Partition partition;
  partition.name = "all";
  partition.is_default = true;
  for (const auto& change : site.changes)
    if (const auto* node = std::get_if<sokovan::NodeSet>(&change)) partition.nodes.push_back(node->name);
  follow(partition, rules);
  add(site, std::move(partition));
}

}  // namespace

Result<Rules> parse_rules(std::string_view name) {
  Rules out;
  out.exact = iequals(name, "easy-exact");
  out.policy = parse_scheduling_policy(out.exact ? "easy" : name);
  if (out.policy) return out;
  return Error{"bad_option", quote(name) + " is no policy", "--policy",
               "fcfs, easy, easy-exact, easy-sjbf, conservative or default"};
}

Result<Istr> read_placement(std::string_view name) {
  if (auto known = parse_placement(name)) return *known;
  return Error{"bad_option", quote(name) + " is no placement", "--placement",
               join(placement_names(), ", ") + ", plugin:NAME"};
}

Status use_plugins(Site& site, std::string dirs) {
  site.plugins = sokovan::placements_in(std::move(dirs));
  for (const auto& change : site.changes)
    if (const auto* set = std::get_if<sokovan::PartitionSet>(&change))
      if (auto good = sokovan::check_placement(*set->partition, site.plugins); !good) return good;
  return {};
}

Site machine(std::uint32_t procs, const Rules& rules) {
  Site site;
  site.changes.emplace_back(sokovan::SettingsSet{at_every_event()});
  sokovan::NodeSet node;
  node.name = "machine";
  node.cpus = node.cores_per_socket = procs;
  add(site, std::move(node));
  add_partition_of_all(site, rules);
  return site;
}

Result<Site> site_of(const ClusterConfig& config, const Rules& rules) {
  Site site;
  site.changes = sokovan::feed_of(config);
  for (auto& change : site.changes)
    if (auto* set = std::get_if<sokovan::SettingsSet>(&change); set && rules.policy)
      set->settings.backfill_interval = 0;
  for (const auto& from : config.nodes) {
    if (from.drain || from.condition == NodeCondition::kDown) continue;
    if (from.shape.cpus == 0)
      return Error{"bad_config", "node " + from.name.str() + " does not say how many CPUs it has", "",
                   "CPUs= on its NodeName line"};
    site.memory |= from.shape.mem_mib > 1;
    add(site, sokovan::node_of(from.name, from.shape, from.features, from.weight));
  }
  if (site.cpus == 0)
    return Error{"bad_config", "there is no node that is up", "", "NodeName lines say which there are"};
  for (const auto& from : config.partitions) {
    Partition partition = from;
    follow(partition, rules);
    add(site, std::move(partition));
  }
  if (site.partitions.empty()) add_partition_of_all(site, rules);
  return site;
}

Site site_of(const std::vector<OpenbNode>& nodes, const Rules& rules) {
  Site site;
  site.cpu_scale = 1000;
  site.memory = true;
  site.changes.emplace_back(sokovan::SettingsSet{at_every_event()});
  std::set<Istr> names;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto& from = nodes[i];
    sokovan::NodeSet node;
    node.name =
        !from.name.empty() && names.insert(from.name).second ? from.name : Istr("node-" + std::to_string(i));
    node.cpus = node.cores_per_socket = static_cast<std::uint32_t>(from.cpu_milli);
    node.mem_mib = from.mem_mib;
    if (from.gpus) {
      DeviceGroup group;
      group.kind = kGpu;
      group.type = from.model;
      group.count = from.gpus;
      node.devices.push_back(std::move(group));
    }
    add(site, std::move(node));
  }
  add_partition_of_all(site, rules);
  return site;
}

std::shared_ptr<const JobSpec> request(const Site& site, const Shape& shape, std::uint32_t tasks,
                                       Seconds limit, std::uint32_t user) {
  auto spec = std::make_shared<JobSpec>();
  spec->uid = user;
  spec->time_limit = limit;
  if (site.partitions.count(shape.partition)) spec->partition = shape.partition;
  auto& request = spec->request;
  request.tasks = tasks;
  const auto cpus = (shape.cpu_milli * site.cpu_scale + 999) / 1000;
  request.cpus_per_task = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(cpus, 1, std::numeric_limits<std::int32_t>::max()));
  // As memory of each CPU where that is what the trace says; pods are one task and say it for the whole of it.
  if (site.memory && shape.mem_mib)
    (request.cpus_per_task == 1 ? request.mem_per_cpu_mib : request.mem_per_node_mib) = shape.mem_mib;
  if (shape.gpus) {
    DeviceRequest device;
    device.kind = kGpu;
    device.type = shape.gpu_models;
    device.amount = shape.gpus > 1 ? shape.gpus * kWholeDevice : shape.gpu_milli;
    RequestExtras extras;
    extras.devices.push_back(std::move(device));
    request.set_extras(std::move(extras));
  }
  return spec;
}

}  // namespace bai::sim
