#include "model/scheduling.h"

#include "base/text.h"

namespace bai {
namespace {

constexpr std::string_view kPolicies[] = {"default", "fcfs", "easy", "easy-sjbf", "conservative"};

}  // namespace

std::string_view name(SchedulingPolicy policy) { return kPolicies[static_cast<std::size_t>(policy)]; }

std::optional<SchedulingPolicy> parse_scheduling_policy(std::string_view text) {
  for (std::size_t i = 0; i < std::size(kPolicies); ++i)
    if (lower(text) == kPolicies[i]) return static_cast<SchedulingPolicy>(i);
  return std::nullopt;
}

const std::vector<std::string_view>& placement_names() {
  static const std::vector<std::string_view> names = {"concentrated", "dispersed", "roundrobin", "topology",
                                                      "fragmentation"};
  return names;
}

}  // namespace bai
