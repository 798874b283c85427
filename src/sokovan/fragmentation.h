// Fragmentation: the placement that keeps GPUs of use. After "fragmentation gradient descent" (Weng et al., "Beware of Fragmentation:
// Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC'23), which counts how much of a node's free GPUs the usual tasks could
// have, and places where the least of that is lost. Here a free GPU is of use only as far as the node's CPUs and memory go
// with it, what is scarce in the whole cluster is dearer, and the usual tasks are learned as they come. Integers only, and no
// unordered walk. Private to sokovan; one thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "model/request.h"
#include "sokovan/nodes.h"
#include "sokovan/placement.h"

namespace bai::sokovan {

class Fragmentation {
 public:
  explicit Fragmentation(const Nodes& nodes) : nodes_(nodes) {}

  // `times` tasks came that ask this; to be told before they are placed.
  void came(const ResourceRequest& request, std::uint32_t times, Names& names);
  // Before a pass: learns what is usual, when much has come since the last time. A question of what would be learns nothing.
  void refresh() {
    if (came_ >= next_) learn();
  }
  // Of what is of use now, how much is lost by giving `taken`; between equal ones the fuller node.
  Cost cost(const NodeView& node, const Taken& taken);

 private:
  struct Shape {  // of a task that asks for GPUs: so many, of `share` thousandths each
    std::int64_t cpus = 0, mem = 0, gpus = 0, share = 0;
    std::vector<std::uint16_t> types;  // ascending; empty: any
    std::int64_t want() const { return gpus * share; }
    friend auto operator<=>(const Shape&, const Shape&) = default;
  };
  struct Usual {
    Shape shape;
    std::int64_t price = 0;  // of a thousandth of a GPU that is of use to it
  };
  // What is free of a node; GPUs as (thousandths << 16 | type), the emptiest first. More than it has room for are left out.
  struct State {
    std::int32_t cpus = 0, mem = 0;
    std::array<std::uint32_t, 16> gpus{};
    friend bool operator==(const State&, const State&) = default;
  };
  struct Hash {
    std::size_t operator()(const State& state) const;
  };

  static State state_of(const NodeSlot& slot, const Amounts& free, const SlotAmount* devices,
                        const Taken* taken);
  static std::int64_t useful(const State& state, const Shape& shape);
  std::int64_t value(const State& state);
  void learn();

  const Nodes& nodes_;
  std::map<Shape, std::int64_t> counts_;
  std::int64_t counted_ = 0;           // in counts_
  std::uint64_t came_ = 0, next_ = 0;  // tasks of all kinds; when to learn again
  std::vector<Usual> usual_;
  std::int64_t largest_cpus_ = 1, largest_gpu_ = 1;       // of one node; GPUs in thousandths
  std::unordered_map<State, std::int64_t, Hash> values_;  // as of the last learn(); looked up, never walked
};

}  // namespace bai::sokovan
