#include "sokovan/placement.h"

namespace bai::sokovan {

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

}  // namespace bai::sokovan
