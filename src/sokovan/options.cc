// What each partition makes of a class: options.
#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

constexpr std::size_t kMaxOptions = 64;  // of one class in one partition

// Devices in the engine's terms; a text says what cannot be.
std::string add_devices(const RequestExtras& extras, std::uint32_t quantum, Names& names, Wish& wish) {
  for (const auto& request : extras.devices) {
    if (request.amount == 0) continue;
    DeviceNeed need;
    need.kind = names.intern(request.kind);
    for (auto type : split_list(request.type, '|')) need.types.push_back(names.intern(type));
    need.amount = static_cast<SlotAmount>((request.amount + quantum - 1) / quantum * quantum);
    need.per = request.per;
    const auto whole = static_cast<SlotAmount>(kWholeDevice);
    if (need.amount > whole && need.amount % whole)
      return "a share is of one device: ask for less than one, or for whole ones";
    if (need.per == DevicePer::kSocket) {
      need.per = DevicePer::kNode;
      need.amount *= std::max(1u, extras.sockets_per_node);
    }
    if (need.per == DevicePer::kJob) {
      if (need.amount < whole) wish.max_nodes = 1;
      if (wish.max_nodes == 1) {
        need.per = DevicePer::kNode;
      } else {
        if (wish.units) return "devices of one kind only can be asked for the whole job";
        wish.units = saturated(static_cast<std::uint64_t>(need.amount / whole));
        wish.unit_need = static_cast<std::uint32_t>(wish.devices.size());
        need.amount = whole;
      }
    }
    wish.devices.push_back(std::move(need));
  }
  return {};
}

}  // namespace

Seconds Scheduler::Impl::limit_in(const JobSpec& spec, const Partition& partition) const {
  if (spec.time_limit != 0) return spec.time_limit;
  return partition.default_time != 0 ? partition.default_time : partition.max_time;
}

Seconds Scheduler::Impl::expected(const Option& option) const {
  if (!queues[option.queue].rules.predict) return option.limit;
  return predictor.predict_by_last_two(option.uid, option.limit);
}

bool Scheduler::Impl::is_up(Option& option) {
  if (option.up_as_of != up_generation) {
    option.up_as_of = up_generation;
    option.up = finder.possible(option, true);
  }
  return option.up;
}

const Placement* Scheduler::Impl::placement_named(std::string_view name) {
  if (auto it = placements.find(std::string(name)); it != placements.end()) return &it->second;
  if (const auto* found = builtin_placement(name)) return found;
  if (const auto plugin = placement_plugin(name); plugins && !plugin.empty())
    if (const auto loaded = plugins(plugin))
      return &placements.emplace(name, placement_of(**loaded)).first->second;
  return builtin_placement("");
}

std::shared_ptr<const Filter> Scheduler::Impl::filter_of(std::uint32_t arena_index,
                                                         const ResourceRequest& request,
                                                         const Constraint& constraint,
                                                         const FeatureTest* matching,
                                                         std::string_view avoid) {
  const auto& extras = request.extras();
  std::string key = std::to_string(arena_index);
  const auto which = matching ? matching - constraint.matching.data() : -1;
  for (auto number :
       {static_cast<std::uint64_t>(which), std::uint64_t{extras.sockets_per_node},
        std::uint64_t{extras.cores_per_socket}, std::uint64_t{extras.threads_per_core}, extras.tmp_mib})
    key += ' ' + std::to_string(number);
  for (auto text : {request.constraint.view(), request.nodes_excluded.view(), avoid}) {
    key += '\0';
    key += text;
  }
  auto& slot = filters[key];
  if (auto known = slot.second.lock(); known && slot.first == generation) return known;
  const auto& arena = nodes.arena_at(arena_index);
  auto filter = std::make_shared<Filter>(arena.size());
  std::set<std::string, std::less<>> out;
  if (auto names = expand_hostlist(request.nodes_excluded)) out.insert(names->begin(), names->end());
  for (auto name : split_list(avoid)) out.emplace(name);
  filter->least_cpus = INT32_MAX;
  for (std::uint32_t p = 0; p < arena.size(); ++p) {
    const auto& node = nodes[arena.node(p)];
    const bool fits = node.exists && node.sockets >= extras.sockets_per_node &&
                      node.cores >= extras.cores_per_socket && node.threads >= extras.threads_per_core &&
                      node.tmp_mib >= extras.tmp_mib && constraint.each.holds(node.features) &&
                      (!matching || matching->holds(node.features)) &&
                      (out.empty() || !out.contains(node.name.view()));
    if (!fits) {
      filter->all = false;
      continue;
    }
    filter->allow(p);
    ++filter->count;
    filter->cpus += node.total.cpus();
    filter->least_cpus = std::min(filter->least_cpus, node.total.cpus());
    filter->most_cpus = std::max(filter->most_cpus, node.total.cpus());
    filter->most_mem = std::max(filter->most_mem, node.total.mem());
    filter->unknown_shapes |= node.total.cpus() == 0;
  }
  slot = {generation, filter};
  if (filters.size() > 4 * classes.size() + 64)
    std::erase_if(filters, [](const auto& item) { return item.second.second.expired(); });
  return filter;
}

Option Scheduler::Impl::make_option(const JobClass& c, std::uint32_t queue, const ResourceRequest& request,
                                    const Constraint& constraint, const FeatureTest* matching,
                                    std::string_view avoid, bool limits) {
  const auto& partition = queues[queue].partition;
  const auto& extras = request.extras();
  Option option;
  option.partition = partition;
  option.queue = queue;
  option.limit = limit_in(*c.spec, *partition);
  option.single_user = partition->exclusive_user || c.spec->request.exclusive_user;
  if (option.single_user || users_matter(c.spec->partition)) option.uid = c.spec->uid;
  option.placement = queues[queue].placement;
  option.licenses = licenses.needs(c.licenses);
  option.arena = arena_of(queues[queue]);
  option.filter = filter_of(option.arena, request, constraint, matching, avoid);
  auto& wish = option.wish;
  auto never = [&](Reason reason, std::string detail = {}) {
    option.reason = reason;
    option.detail = std::move(detail);
    return option;
  };
  wish.cpus_per_task = std::max(1u, request.cpus_per_task);
  wish.tasks_per_node = request.tasks_per_node;
  wish.exclusive = c.spec->request.exclusive || partition->oversubscribe_exclusive;
  wish.memory = memory_rule(request, *partition);
  if (partition->max_mem_per_node_mib) wish.max_mem_mib = partition->max_mem_per_node_mib;
  wish.min_nodes = std::max({1u, request.min_nodes, limits ? partition->min_nodes : 0});
  wish.max_nodes = request.max_nodes;
  if (limits && partition->max_nodes && (wish.max_nodes == 0 || wish.max_nodes > partition->max_nodes))
    wish.max_nodes = partition->max_nodes;
  wish.cpus_per_gpu = extras.cpus_per_gpu;
  wish.min_cpus = extras.min_cpus_per_node;
  wish.tasks_per_socket = extras.tasks_per_socket;
  wish.tasks_per_core = extras.tasks_per_core;
  wish.tasks_per_gpu = extras.tasks_per_gpu;
  wish.switches = c.any_switches ? 0 : extras.switches;
  wish.contiguous = extras.contiguous;
  wish.spread = extras.spread;
  wish.counts = constraint.counts;
  std::uint32_t counted = 0;
  for (const auto& count : wish.counts) counted += count.nodes;
  wish.min_nodes = std::max(wish.min_nodes, counted);
  const auto names = expand_hostlist(request.nodes_wanted);
  if (!names) return never(Reason::kBadConstraints, names.error().message);
  const auto& arena = nodes.arena_at(option.arena);
  for (const auto& name : *names) {
    std::uint32_t node = 0;
    const auto* slot = nodes.find(name, &node);
    if (!slot || !slot->exists) return never(Reason::kReqNodeNotAvail, "there is no node " + name);
    auto place = std::find_if(slot->places.begin(), slot->places.end(),
                              [&](const auto& p) { return p.arena == option.arena; });
    if (place == slot->places.end() || !option.allows(place->position))
      return never(Reason::kBadConstraints,
                   name + " is wanted, but is excluded, lacks the features or is in another partition");
    if (std::find(wish.wanted.begin(), wish.wanted.end(), node) == wish.wanted.end())
      wish.wanted.push_back(node);
  }
  wish.min_nodes = std::max(wish.min_nodes, static_cast<std::uint32_t>(wish.wanted.size()));
  wish.tasks = std::max({1u, request.tasks, wish.min_nodes});
  if (auto wrong = add_devices(extras, std::max(1u, settings.device_quantum), nodes.names(), wish);
      !wrong.empty())
    return never(Reason::kBadConstraints, wrong);
  wish.work_out(option.filter->least_cpus, option.filter->most_cpus);
  if (limits && partition->state == PartitionState::kDown) return never(Reason::kPartitionDown);
  if (limits && partition->state == PartitionState::kInactive) return never(Reason::kPartitionInactive);
  if (limits && partition->max_time != kUnlimited &&
      (option.limit == kUnlimited || option.limit > partition->max_time))
    return never(Reason::kPartitionTimeLimit,
                 "the partition's limit is " + format_duration(partition->max_time));
  if (wish.max_nodes && wish.min_nodes > wish.max_nodes)
    return never(Reason::kPartitionNodeLimit, "at most " + std::to_string(wish.max_nodes) + " nodes");
  if (option.filter->count == 0 || arena.size() == 0)
    return never(Reason::kBadConstraints, "no node has the features");
  if (!finder.possible(option, false))
    return never(Reason::kPartitionConfig, "more than the partition's nodes have");
  return option;
}

void Scheduler::Impl::add_options(const JobClass& c, std::uint32_t queue, bool limits,
                                  std::vector<Option>& out) {
  const auto& asked = c.spec->request;
  std::vector<const ResourceRequest*> requests{&asked};
  for (const auto& alternative : asked.extras().alternatives) requests.push_back(&alternative);
  const auto before = out.size();
  for (std::uint32_t i = 0; i < requests.size(); ++i) {
    const auto& request = *requests[i];
    const auto constraint = parse_constraint(request.constraint);
    if (!constraint) {
      Option option;
      option.partition = queues[queue].partition;
      option.queue = queue;
      option.alternative = i;
      option.filter = std::make_shared<Filter>(0);
      option.placement = queues[queue].placement;
      option.reason = Reason::kBadConstraints;
      option.detail = "the constraint cannot be read";
      out.push_back(std::move(option));
      continue;
    }
    std::vector<const FeatureTest*> matchings;
    for (const auto& matching : constraint->matching) matchings.push_back(&matching);
    if (matchings.empty()) matchings.push_back(nullptr);
    for (const auto* matching : matchings) {
      if (out.size() - before >= kMaxOptions) return;
      auto option = make_option(c, queue, request, *constraint, matching, c.failed_nodes, limits);
      option.alternative = i;
      const bool good = option.reason == Reason::kNone;
      if (good || c.failed_nodes.empty()) out.push_back(std::move(option));
      if (c.failed_nodes.empty()) continue;
      auto with_failed = make_option(c, queue, request, *constraint, matching, {}, limits);
      with_failed.alternative = i;
      with_failed.fallback = good;
      out.push_back(std::move(with_failed));
    }
  }
}

}  // namespace bai::sokovan
