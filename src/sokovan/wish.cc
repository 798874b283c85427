#include "sokovan/wish.h"

#include <algorithm>

#include "base/text.h"
#include "base/units.h"

namespace bai::sokovan {
namespace {

constexpr auto kWhole = static_cast<SlotAmount>(kWholeDevice);

std::uint64_t times(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  return __builtin_mul_overflow(a, b, &out) ? kAllMemory : out;
}

bool has_type(const DeviceNeed& need, std::uint16_t type) {
  return need.types.empty() || std::find(need.types.begin(), need.types.end(), type) != need.types.end();
}

// Chooses devices of one node, one need after the other, out of a copy of what is free.
class DevicePicker {
 public:
  DevicePicker(const Room& room, const Placement* placement)
      : room_(room), placement_(placement && placement->of_devices ? placement : nullptr) {
    if (room.slots) free_.assign(room.slots, room.slots + room.node->layout.slots);
  }

  // `count` times the need's amount: shares of one device each, or whole devices.
  bool pick(const DeviceNeed& need, std::uint32_t count, Taken& taken) {
    if (free_.empty()) return false;
    if (need.types.size() <= 1)
      return pick_from(need, need.types.empty() ? kAny : need.types[0], count, taken);
    // One of the types only: the one of which the least is free.
    std::vector<std::pair<SlotAmount, std::uint16_t>> order;
    for (const auto& group : room_.node->layout.groups)
      if (group.kind == need.kind && has_type(need, group.type)) {
        SlotAmount sum = 0;
        for (std::uint32_t i = 0; i < group.slots; ++i) sum += free_[group.slot + i];
        order.emplace_back(sum, group.type);
      }
    std::sort(order.begin(), order.end());
    for (const auto& [sum, type] : order)
      if (pick_from(need, type, count, taken)) return true;
    return false;
  }

 private:
  static constexpr std::uint32_t kAny = 0x10000;

  bool pick_from(const DeviceNeed& need, std::uint32_t type, std::uint32_t count, Taken& taken) {
    const auto size = taken.devices.size();
    bool done = need.amount < kWhole;
    if (done)
      for (std::uint32_t i = 0; i < count && done; ++i) done = share(need, type, taken);
    else
      done = whole(need, type, static_cast<SlotAmount>(count) * (need.amount / kWhole), taken);
    if (done) return true;
    while (taken.devices.size() > size) {
      free_[taken.devices.back().slot] += taken.devices.back().amount;
      taken.devices.pop_back();
    }
    return false;
  }

  void give(std::uint32_t slot, SlotAmount amount, Taken& taken) {
    free_[slot] -= amount;
    taken.devices.push_back({slot, amount});
  }

  // Of the device that has the least to spare, unless the placement knows better.
  bool share(const DeviceNeed& need, std::uint32_t type, Taken& taken) {
    std::uint32_t best = kNowhere;
    Cost best_cost;
    for (const auto& group : room_.node->layout.groups) {
      if (group.kind != need.kind || (type != kAny && group.type != type)) continue;
      if (!group.shareable && !group.counted) continue;
      for (std::uint32_t slot = group.slot; slot < group.slot + group.slots; ++slot) {
        if (free_[slot] < need.amount) continue;
        if (placement_ && slot > group.slot && free_[slot] == free_[slot - 1]) continue;  // costs the same
        Cost cost{free_[slot], 0};
        if (placement_) {
          taken.devices.push_back({slot, need.amount});
          const auto width = taken.devices.size();
          cost = placement_->cost({0, room_.node, room_.free, room_.slots}, taken);
          taken.devices.resize(width - 1);
        }
        if (best != kNowhere && cost >= best_cost) continue;
        best = slot;
        best_cost = cost;
      }
    }
    if (best == kNowhere) return false;
    give(best, need.amount, taken);
    return true;
  }

  // Devices near one socket if one has enough, of the one that has the least to spare; else the first ones.
  bool whole(const DeviceNeed& need, std::uint32_t type, SlotAmount count, Taken& taken) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> slots;  // slot, socket
    for (const auto& group : room_.node->layout.groups) {
      if (group.kind != need.kind || (type != kAny && group.type != type)) continue;
      if (group.counted) {
        if (free_[group.slot] < count * kWhole) continue;
        give(group.slot, count * kWhole, taken);
        return true;
      }
      for (std::uint32_t i = 0; i < group.slots; ++i)
        if (free_[group.slot + i] >= kWhole)
          slots.emplace_back(group.slot + i, i < group.sockets.size() ? group.sockets[i] : kNowhere);
    }
    if (static_cast<SlotAmount>(slots.size()) < count) return false;
    std::map<std::uint32_t, SlotAmount> sockets;
    for (const auto& [slot, socket] : slots) ++sockets[socket];
    std::uint32_t best = kNowhere;
    for (const auto& [socket, have] : sockets)
      if (have >= count && (best == kNowhere || have < sockets[best])) best = socket;
    for (const auto& [slot, socket] : slots) {
      if (count == 0) break;
      if (best != kNowhere && socket != best) continue;
      give(slot, kWhole, taken);
      --count;
    }
    return true;
  }

  const Room& room_;
  const Placement* placement_;
  std::vector<SlotAmount> free_;
};

// Devices of kind gpu that so many tasks and units come to, in thousandths.
SlotAmount gpus_of(const Wish& wish, std::uint32_t tasks, std::uint32_t units) {
  SlotAmount sum = 0;
  for (std::uint32_t i = 0; i < wish.devices.size(); ++i) {
    const auto& need = wish.devices[i];
    if (need.kind != kGpu) continue;
    if (wish.units && i == wish.unit_need)
      sum += static_cast<SlotAmount>(units) * kWhole;
    else
      sum += need.amount * (need.per == DevicePer::kTask ? tasks : 1);
  }
  return sum;
}

std::uint64_t rounded_up(std::uint64_t each, SlotAmount gpus) {
  return (each * static_cast<std::uint64_t>(gpus) + kWholeDevice - 1) / kWholeDevice;
}

// CPUs and memory; 0 CPUs when it is more than any node has.
void count_plain(const Wish& wish, const Room& room, std::uint32_t tasks, SlotAmount gpus,
                 std::uint64_t& cpus, std::uint64_t& mem) {
  cpus = std::max<std::uint64_t>(std::uint64_t{tasks} * wish.cpus_per_task, wish.min_cpus);
  if (wish.cpus_per_gpu) cpus = std::max(cpus, rounded_up(wish.cpus_per_gpu, gpus));
  if (wish.exclusive) cpus = static_cast<std::uint64_t>(std::max(0, room.node->total.cpus()));
  switch (wish.memory.kind) {
    case MemoryRule::kNone:
      mem = 0;
      break;
    case MemoryRule::kPerNode:
      mem = wish.memory.mib;
      break;
    case MemoryRule::kPerCpu:
      mem = times(wish.memory.mib, cpus);
      break;
    case MemoryRule::kPerGpu:
      mem = rounded_up(wish.memory.mib, gpus);
      break;
    case MemoryRule::kAll:
      mem = static_cast<std::uint64_t>(std::max(0, room.node->total.mem()));
      break;
  }
}

// Without devices; a division or two.
std::uint32_t plain_capacity(const Wish& wish, const Room& room) {
  const auto free = room.free;
  if (free.cpus() <= 0) return 0;
  if (wish.exclusive && free.cpus() < room.node->total.cpus()) return 0;
  std::uint64_t tasks = static_cast<std::uint32_t>(free.cpus()) / wish.cpus_per_task;
  if (wish.tasks_per_node) tasks = std::min<std::uint64_t>(tasks, wish.tasks_per_node);
  const auto mem = std::min(static_cast<std::uint64_t>(std::max(0, free.mem())), wish.max_mem_mib);
  switch (wish.memory.kind) {
    case MemoryRule::kNone:
    case MemoryRule::kPerGpu:
      break;
    case MemoryRule::kPerNode:
      if (wish.memory.mib > mem) return 0;
      break;
    case MemoryRule::kAll:
      if (free.mem() < room.node->total.mem() ||
          static_cast<std::uint64_t>(std::max(0, room.node->total.mem())) > wish.max_mem_mib)
        return 0;
      break;
    case MemoryRule::kPerCpu:
      if (wish.exclusive) {
        if (times(wish.memory.mib, static_cast<std::uint32_t>(room.node->total.cpus())) > mem) return 0;
      } else if (const auto need = times(wish.memory.mib, wish.cpus_per_task); need != 0) {
        tasks = std::min<std::uint64_t>(tasks, mem / need);
      }
      break;
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(tasks, wish.tasks));
}

}  // namespace

MemoryRule memory_rule(const ResourceRequest& request, const Partition& partition) {
  if (request.mem_per_node_mib == kAllMemory || request.mem_per_cpu_mib == kAllMemory)
    return {MemoryRule::kAll, 0};
  if (request.mem_per_node_mib) return {MemoryRule::kPerNode, request.mem_per_node_mib};
  if (request.mem_per_cpu_mib) return {MemoryRule::kPerCpu, request.mem_per_cpu_mib};
  if (request.extras().mem_per_gpu_mib) return {MemoryRule::kPerGpu, request.extras().mem_per_gpu_mib};
  if (partition.default_mem_per_cpu_mib) return {MemoryRule::kPerCpu, partition.default_mem_per_cpu_mib};
  if (partition.default_mem_per_node_mib) return {MemoryRule::kPerNode, partition.default_mem_per_node_mib};
  return {};
}

void Wish::work_out(std::int32_t least_cpus, std::int32_t most_cpus) {
  plain =
      devices.empty() && !cpus_per_gpu && !min_cpus && !tasks_per_socket && !tasks_per_core && !tasks_per_gpu;
  simple_set = !switches && !contiguous && !spread && counts.empty();
  uniform = 0;
  if (units == 0 && !spread) {
    if (min_nodes == 1 && max_nodes == 1)
      uniform = tasks;
    else if (tasks == min_nodes)
      uniform = 1;
    else if (tasks_per_node && tasks == tasks_per_node * min_nodes && max_nodes == min_nodes)
      uniform = tasks_per_node;
  }
  const std::uint32_t each = std::max(1u, uniform);
  SlotAmount gpus = 0, largest = 0;
  for (std::uint32_t i = 0; i < devices.size(); ++i) {
    const auto& need = devices[i];
    if (need.kind != kGpu) continue;
    largest = std::max(largest, std::min(need.amount, kWhole));
    if (need.amount >= kWhole)
      gpus += units && i == unit_need ? kWhole : need.amount * (need.per == DevicePer::kTask ? each : 1);
  }
  std::uint64_t cpus = std::max<std::uint64_t>(std::uint64_t{each} * cpus_per_task, min_cpus);
  if (cpus_per_gpu) cpus = std::max(cpus, rounded_up(cpus_per_gpu, gpus));
  std::uint64_t mem = memory.kind == MemoryRule::kPerNode  ? memory.mib
                      : memory.kind == MemoryRule::kPerCpu ? times(memory.mib, cpus)
                      : memory.kind == MemoryRule::kPerGpu ? rounded_up(memory.mib, gpus)
                                                           : 0;
  if (exclusive) cpus = std::max<std::uint64_t>(cpus, static_cast<std::uint64_t>(std::max(0, least_cpus)));
  least = Amounts(saturated(std::max<std::uint64_t>(1, cpus)), saturated(mem),
                  saturated(static_cast<std::uint64_t>(gpus / kWhole)),
                  saturated(static_cast<std::uint64_t>(largest)));
  exact = plain && uniform && memory.kind != MemoryRule::kAll && (!exclusive || least_cpus == most_cpus);
}

std::optional<Taken> take(const Wish& wish, const Room& room, std::uint32_t tasks, std::uint32_t units,
                          const Placement* placement) {
  if (wish.exclusive && room.free.cpus() < room.node->total.cpus()) return std::nullopt;
  std::uint64_t cpus = 0, mem = 0;
  count_plain(wish, room, tasks, wish.devices.empty() ? 0 : gpus_of(wish, tasks, units), cpus, mem);
  if (cpus == 0 || room.free.cpus() <= 0 || cpus > static_cast<std::uint64_t>(room.free.cpus()))
    return std::nullopt;
  if (mem > static_cast<std::uint64_t>(std::max(0, room.free.mem())) || mem > wish.max_mem_mib)
    return std::nullopt;
  Taken out{static_cast<std::int32_t>(cpus), static_cast<std::int32_t>(mem), {}};
  if (wish.devices.empty()) return out;
  DevicePicker picker(room, placement);
  for (std::uint32_t i = 0; i < wish.devices.size(); ++i) {
    const auto& need = wish.devices[i];
    std::uint32_t count = need.per == DevicePer::kTask ? tasks : 1;
    if (wish.units && i == wish.unit_need) count = units;
    if (!picker.pick(need, count, out)) return std::nullopt;
  }
  return out;
}

std::uint32_t capacity(const Wish& wish, const Room& room) {
  auto most = plain_capacity(wish, room);
  if (wish.plain || most == 0) return most;
  const auto& node = *room.node;
  if (wish.tasks_per_socket) most = std::min(most, wish.tasks_per_socket * node.sockets);
  if (wish.tasks_per_core) most = std::min(most, wish.tasks_per_core * node.sockets * node.cores);
  if (wish.tasks_per_gpu && wish.units == 0)
    most = std::min<std::uint32_t>(
        most, static_cast<std::uint32_t>(rounded_up(wish.tasks_per_gpu, gpus_of(wish, most, 0))));
  // More tasks never need less: the most that fit are found by halving.
  const std::uint32_t units = wish.units ? 1 : 0;
  if (most == 0 || !take(wish, room, 1, units, nullptr)) return 0;
  if (take(wish, room, most, units, nullptr)) return most;
  std::uint32_t low = 1;  // fits
  while (most - low > 1) {
    const auto middle = low + (most - low) / 2;
    (take(wish, room, middle, units, nullptr) ? low : most) = middle;
  }
  return low;
}

std::uint32_t unit_capacity(const Wish& wish, const Room& room) {
  std::uint32_t low = 0, high = wish.units + 1;
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    (take(wish, room, 1, middle, nullptr) ? low : high) = middle;
  }
  return low;
}

std::optional<std::map<std::string, std::uint32_t>> parse_licenses(std::string_view text) {
  std::map<std::string, std::uint32_t> out;
  for (auto part : split_list(text)) {
    const auto colon = part.find_first_of(":=");
    const auto name = trim(part.substr(0, colon));
    std::int64_t count = 1;
    if (colon != part.npos) {
      auto parsed = parse_int(trim(part.substr(colon + 1)), 0, 0x7fffffff);
      if (!parsed) return std::nullopt;
      count = *parsed;
    }
    if (name.empty()) return std::nullopt;
    auto& total = out[std::string(name)];
    if (std::uint64_t{total} + static_cast<std::uint64_t>(count) > 0x7fffffff) return std::nullopt;
    total += static_cast<std::uint32_t>(count);
  }
  return out;
}

}  // namespace bai::sokovan
