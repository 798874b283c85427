#include "model/device_state.h"

#include <algorithm>

#include "base/text.h"

namespace bai {
namespace {

// "NVIDIA A100-SXM4-40GB" and "a100": words of letters and digits count, whatever is between them.
std::string plain(std::string_view text) {
  std::string out;
  for (char c : text) out += is_alpha(c) || is_digit(c) ? lower(c) : '_';
  return out;
}

bool is_type(std::string_view wanted, const FoundDevice& device) {
  const std::string word = plain(wanted);
  return plain(device.type.view()).find(word) != std::string::npos ||
         plain(device.model.view()).find(word) != std::string::npos;
}

bool is_looked_for(const DeviceReport& report, const Istr& kind) {
  return std::any_of(report.kinds.begin(), report.kinds.end(),
                     [&](const Istr& looked) { return looked == kind || looked == "*"; }) ||
         std::any_of(report.devices.begin(), report.devices.end(),
                     [&](const FoundDevice& device) { return device.kind == kind; });
}

}  // namespace

std::string_view name(DeviceHealth health) {
  switch (health) {
    case DeviceHealth::kHealthy:
      return "healthy";
    case DeviceHealth::kUnhealthy:
      return "unhealthy";
    case DeviceHealth::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::vector<DeviceMatch> match_devices(const std::vector<DeviceGroup>& groups, const DeviceReport& report) {
  std::vector<DeviceMatch> out;
  std::vector<bool> taken(report.devices.size());
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].counted) continue;
    std::uint32_t index = 0;  // of the group's first device within its kind
    for (const auto& match : out) index += groups[match.group].kind == groups[g].kind;
    for (std::uint32_t i = 0; i < groups[g].count; ++i) out.push_back({g, index + i, {}, false});
  }
  // Whose type is just that, whose name has it, and the rest.
  enum Pass { kSame, kNamed, kAny };
  for (const Pass pass : {kSame, kNamed, kAny})
    for (auto& match : out) {
      const auto& group = groups[match.group];
      if (match.found || group.type.empty() != (pass == kAny)) continue;
      for (std::size_t i = 0; i < taken.size() && !match.found; ++i) {
        const auto& device = report.devices[i];
        const bool fits = pass == kAny    ? true
                          : pass == kSame ? iequals(group.type.view(), device.type.view())
                                          : is_type(group.type.view(), device);
        if (taken[i] || !(device.kind == group.kind) || !fits) continue;
        match.found = i;
        taken[i] = true;
      }
      match.missing = !match.found && is_looked_for(report, group.kind);
    }
  return out;
}

std::vector<DeviceGroup> groups_of(const DeviceReport& report) {
  std::vector<DeviceGroup> out;
  for (const auto& device : report.devices) {
    if (out.empty() || !(out.back().kind == device.kind) || !(out.back().type == device.type) ||
        out.back().mem_mib != device.mem_mib || out.back().shareable != device.shareable) {
      auto& group = out.emplace_back();
      group.kind = device.kind;
      group.type = device.type;
      group.mem_mib = device.mem_mib;
      group.shareable = device.shareable;
    }
    ++out.back().count;
  }
  return out;
}

std::vector<DeviceGroup> with_findings(std::vector<DeviceGroup> groups, const DeviceReport& report,
                                       std::vector<std::string>* why) {
  if (why) why->clear();
  for (auto& group : groups) group.out.clear();
  const auto matches = match_devices(groups, report);
  for (std::size_t m = 0; m < matches.size(); ++m) {
    const auto& match = matches[m];
    auto& group = groups[match.group];
    const auto number = static_cast<std::uint16_t>(
        m - static_cast<std::size_t>(
                std::find_if(matches.begin(), matches.end(),
                             [&](const DeviceMatch& other) { return other.group == match.group; }) -
                matches.begin()));
    const FoundDevice* device = match.found ? &report.devices[*match.found] : nullptr;
    std::string reason;
    if (match.missing)
      reason = report.why.empty() ? "it was not found" : "it was not found: " + report.why.str();
    if (device && device->health != DeviceHealth::kHealthy)
      reason = device->why.empty() ? "its health is " + std::string(name(device->health)) : device->why.str();
    if (!reason.empty()) group.out.push_back(number);
    if (why) why->push_back(std::move(reason));
    if (!device) continue;
    if (group.mem_mib == 0) group.mem_mib = device->mem_mib;
    group.shareable = group.shareable && device->shareable;
    if (device->socket == kNoSocket) continue;
    if (group.sockets.size() <= number) group.sockets.resize(number + 1u, kNoSocket);
    group.sockets[number] = device->socket;
  }
  return groups;
}

}  // namespace bai
