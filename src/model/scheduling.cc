#include "model/scheduling.h"

#include <algorithm>

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

std::string_view placement_plugin(std::string_view placement) {
  constexpr std::string_view kPrefix = "plugin:";
  if (!placement.starts_with(kPrefix)) return {};
  const auto name = placement.substr(kPrefix.size());
  const auto usable = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return name.size() <= 64 && std::all_of(name.begin(), name.end(), usable) ? name : std::string_view();
}

std::optional<Istr> parse_placement(std::string_view text) {
  for (auto known : placement_names())
    if (iequals(text, known)) return Istr(known);
  if (!placement_plugin(text).empty()) return Istr(text);
  return std::nullopt;
}

}  // namespace bai
