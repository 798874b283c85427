#include "sokovan/fragmentation.h"

#include <algorithm>
#include <functional>

#include "base/text.h"

namespace bai::sokovan {
namespace {

constexpr auto kWhole = static_cast<std::int64_t>(kWholeDevice);
constexpr std::int64_t kMix =
    2;  // a shape's neighbours on a node need half as many CPUs and as much memory as it does
constexpr std::size_t kUsual = 128;        // shapes
constexpr std::size_t kMostShapes = 4096;  // that are counted
constexpr std::int64_t kMostCounted = 1 << 20;
constexpr std::size_t kMostValues = 1 << 17;
constexpr std::int64_t kTieScale = 8'000'000;

std::int64_t up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

std::size_t Fragmentation::Hash::operator()(const State& state) const {
  std::uint64_t h =
      static_cast<std::uint32_t>(state.cpus) | std::uint64_t{static_cast<std::uint32_t>(state.mem)} << 32;
  for (std::size_t i = 0; i < state.gpus.size() && state.gpus[i]; i += 2) {
    h = (h ^ (state.gpus[i] | std::uint64_t{state.gpus[i + 1]} << 32)) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  }
  return h * 0x9e3779b97f4a7c15u >> 7;
}

void Fragmentation::came(const ResourceRequest& request, std::uint32_t times, Names& names) {
  came_ += times;
  const auto& devices = request.extras().devices;
  const auto gpu =
      std::find_if(devices.begin(), devices.end(), [](const auto& d) { return d.kind == "gpu"; });
  if (gpu == devices.end() || gpu->amount == 0) return;
  const std::int64_t nodes = std::max(1u, request.min_nodes);
  const std::int64_t tasks = up(std::max<std::int64_t>(request.tasks, nodes), nodes);  // of a node
  const std::int64_t parts = gpu->per == DevicePer::kTask ? tasks : 1;                 // of what a node gives
  auto amount = static_cast<std::int64_t>(std::min<DeviceAmount>(gpu->amount, 1'000'000 * kWholeDevice));
  if (gpu->per == DevicePer::kJob) amount = amount > kWhole ? up(amount / kWhole, nodes) * kWhole : amount;
  Shape shape;
  shape.gpus = std::max<std::int64_t>(1, amount / kWhole);
  shape.share = std::min(amount, kWhole);
  shape.cpus = up(tasks, parts) * std::max(1u, request.cpus_per_task);
  if (request.mem_per_cpu_mib)
    shape.mem = saturated(std::min<std::uint64_t>(request.mem_per_cpu_mib, 1 << 30) *
                          static_cast<std::uint64_t>(shape.cpus));
  else if (request.mem_per_node_mib)
    shape.mem = saturated(request.mem_per_node_mib) / parts;
  else
    shape.mem = saturated(std::min<std::uint64_t>(request.extras().mem_per_gpu_mib, 1 << 30) *
                          static_cast<std::uint64_t>(shape.gpus));
  std::string_view type = gpu->type;
  while (!type.empty()) {
    const auto end = std::min(type.find('|'), type.size());
    shape.types.push_back(names.intern(type.substr(0, end)));
    type.remove_prefix(std::min(end + 1, type.size()));
  }
  std::sort(shape.types.begin(), shape.types.end());
  counts_[std::move(shape)] += times;
  counted_ += times;
  if (counted_ < kMostCounted && counts_.size() <= kMostShapes) return;
  // What was usual long ago counts less and less.
  counted_ = 0;
  for (auto& [known, count] : counts_) counted_ += count /= 2;
  std::erase_if(counts_, [](const auto& item) { return item.second == 0; });
}

Fragmentation::State Fragmentation::state_of(const NodeSlot& slot, const Amounts& free,
                                             const SlotAmount* devices, const Taken* taken) {
  State out;
  out.cpus = free.cpus() - (taken ? taken->cpus : 0);
  out.mem = free.mem() - (taken ? taken->mem : 0);
  if (!devices) return out;
  std::size_t n = 0;
  for (const auto& group : slot.layout.groups) {
    if (group.kind != kGpu || group.counted) continue;
    for (std::uint32_t i = group.slot; i < group.slot + group.slots && n < out.gpus.size(); ++i) {
      auto left = devices[i];
      if (taken)
        for (const auto& share : taken->devices) left -= share.slot == i ? share.amount : 0;
      if (left > 0) out.gpus[n++] = static_cast<std::uint32_t>(left) << 16 | group.type;
    }
  }
  std::sort(out.gpus.begin(), out.gpus.begin() + static_cast<std::ptrdiff_t>(n), std::greater<>());
  return out;
}

// So many thousandths of its GPUs could serve tasks of that shape.
std::int64_t Fragmentation::useful(const State& state, const Shape& shape) {
  if (state.cpus < shape.cpus || state.mem < shape.mem) return 0;
  std::int64_t use = 0, gpus = 0;
  for (auto gpu : state.gpus) {
    const std::int64_t free = gpu >> 16;
    if (free < shape.share) break;
    if (!shape.types.empty() &&
        !std::binary_search(shape.types.begin(), shape.types.end(), static_cast<std::uint16_t>(gpu)))
      continue;
    use += free;
    ++gpus;
  }
  if (gpus < shape.gpus) return 0;
  if (shape.cpus) use = std::min(use, kMix * shape.want() * state.cpus / shape.cpus);
  if (shape.mem) use = std::min(use, kMix * shape.want() * state.mem / shape.mem);
  return use;
}

std::int64_t Fragmentation::value(const State& state) {
  if (state.gpus[0] == 0) return 0;
  auto [it, is_new] = values_.try_emplace(state, 0);
  if (is_new)
    for (const auto& usual : usual_) it->second += usual.price * useful(state, usual.shape);
  return it->second;
}

// The most frequent shapes, and what each thousandth is worth that is of use to them: how often they come over how much there is.
void Fragmentation::learn() {
  next_ = came_ + std::max<std::uint64_t>(16, came_ / 8);
  values_.clear();
  usual_.clear();
  std::vector<std::pair<std::int64_t, const Shape*>> order;
  for (const auto& [shape, count] : counts_) order.emplace_back(-count, &shape);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  if (order.size() > kUsual) order.resize(kUsual);
  for (const auto& [count, shape] : order) usual_.push_back({*shape, -count});
  std::vector<std::int64_t> there(usual_.size());
  std::int64_t capacity = 0;
  largest_cpus_ = largest_gpu_ = 1;
  for (std::uint32_t n = 0; n < nodes_.size(); ++n) {
    const auto& slot = nodes_[n];
    if (!slot.exists) continue;
    largest_cpus_ = std::max<std::int64_t>(largest_cpus_, slot.total.cpus());
    std::int64_t gpus = 0;
    for (const auto& group : slot.layout.groups)
      if (group.kind == kGpu && !group.counted) gpus += kWhole * group.slots;
    if (gpus == 0) continue;
    capacity += gpus;
    largest_gpu_ = std::max(largest_gpu_, gpus);
    const auto state = state_of(slot, slot.timeline.segments()[0].free, slot.timeline.slots(0), nullptr);
    if (state.gpus[0] == 0) continue;
    for (std::size_t i = 0; i < usual_.size(); ++i) there[i] += useful(state, usual_[i].shape);
  }
  for (std::size_t i = 0; i < usual_.size(); ++i) {
    const auto total = std::max(there[i], capacity / 32);
    usual_[i].price = std::max<std::int64_t>(1, (usual_[i].price << 20) / (total / kWhole + 1));
  }
}

Cost Fragmentation::cost(const NodeView& node, const Taken& taken) {
  if (values_.size() > kMostValues) values_.clear();
  const auto before = state_of(*node.slot, node.free, node.devices, nullptr);
  const auto after = state_of(*node.slot, node.free, node.devices, &taken);
  std::int64_t gpu_left = 0;
  for (auto gpu : after.gpus) gpu_left += gpu >> 16;
  // Of the GPUs of one node that lose as much, the emptiest.
  const std::int64_t level = taken.devices.size() == 1 && node.devices && taken.devices[0].amount < kWhole
                                 ? kWhole - node.devices[taken.devices[0].slot]
                                 : 0;
  const auto tie = std::max(0, after.cpus) * kTieScale / largest_cpus_ + gpu_left * kTieScale / largest_gpu_;
  return {value(before) - value(after), tie * 1024 + level};
}

}  // namespace bai::sokovan
