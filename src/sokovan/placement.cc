#include "sokovan/placement.h"

#include <memory>
#include <vector>

#include "sokovan/nodes.h"
#include "sokovan/placement_plugin.h"

namespace bai::sokovan {
namespace {

// A node's GPUs in thousandths: all, and those free.
std::pair<std::int64_t, std::int64_t> gpus_of(const NodeView& view) {
  std::int64_t all = 0, free = 0;
  for (const auto& group : view.slot->layout.groups) {
    if (group.kind != kGpu) continue;
    all += std::int64_t{group.count} * 1000;
    for (std::uint32_t i = 0; view.devices && i < group.slots; ++i) free += view.devices[group.slot + i];
  }
  return {all, free};
}

std::int64_t gpus_of(const NodeView& view, const Taken& taken) {
  std::int64_t out = 0;
  for (const auto& group : view.slot->layout.groups)
    for (const auto& share : taken.devices)
      if (group.kind == kGpu && share.slot >= group.slot && share.slot - group.slot < group.slots)
        out += share.amount;
  return out;
}

}  // namespace

const Placement* builtin_placement(std::string_view name) {
  static const Placement kAll[] = {{"concentrated", Placement::kTightest, {}},
                                   {"dispersed", Placement::kLoosest, {}},
                                   {"roundrobin", Placement::kInTurn, {}},
                                   {"topology", Placement::kSwitches, {}}};
  if (name.empty()) return &kAll[0];
  for (const auto& placement : kAll)
    if (placement.name == name) return &placement;
  return nullptr;
}

Placement placement_of(const bai_placement& plugin) {
  auto features = std::make_shared<std::vector<const char*>>();
  return {plugin.name, Placement::kCost, [&plugin, features](const NodeView& view, const Taken& taken) {
            const auto& slot = *view.slot;
            features->clear();
            for (const auto& feature : slot.features) features->push_back(feature.c_str());
            features->push_back(nullptr);
            const auto [gpus, gpus_free] = gpus_of(view);
            const std::string name = slot.name.str();
            const bai_placement_node node{
                .name = name.c_str(),
                .features = features->data(),
                .leaf_switch = slot.leaf == kNowhere ? -1 : static_cast<std::int32_t>(slot.leaf),
                .jobs = slot.jobs,
                .cpus = slot.total.cpus(),
                .cpus_free = view.free.cpus(),
                .memory_mib = slot.total.mem(),
                .memory_free_mib = view.free.mem(),
                .gpus = gpus,
                .gpus_free = gpus_free};
            const bai_placement_share share{taken.cpus, taken.mem, gpus_of(view, taken)};
            return Cost{plugin.cost(&node, &share), 0};
          }};
}

}  // namespace bai::sokovan
