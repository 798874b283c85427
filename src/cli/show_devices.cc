#include "cli/show_devices.h"

#include <algorithm>

#include "base/idset.h"
#include "base/text.h"

namespace bai::cli {
namespace {

DeviceRoom room_of(const Node& node) {
  DeviceRoom room(node.declared.devices);
  if (node.devices_free.size() == room.free.size()) room.free = node.devices_free;
  return room;
}

// "gpu:a100:2(IDX:0-1)" of the devices for which f(group, position in the group, index) holds.
template <class F>
std::string listed(const Node& node, F f) {
  std::string out;
  std::vector<std::pair<Istr, std::uint32_t>> next;  // index, by kind
  for (const auto& group : node.declared.devices) {
    if (group.counted) continue;
    auto at =
        std::find_if(next.begin(), next.end(), [&](const auto& entry) { return entry.first == group.kind; });
    if (at == next.end()) at = next.insert(at, {group.kind, 0});
    IdSet indices;
    for (std::uint32_t i = 0; i < group.count; ++i, ++at->second)
      if (f(group, i, at->second)) indices.insert(at->second);
    if (indices.empty()) continue;
    out += (out.empty() ? "" : ",") + group.kind.str() + (group.type.empty() ? "" : ":" + group.type.str()) +
           ":" + std::to_string(indices.count()) + "(IDX:" + indices.format() + ")";
  }
  return out;
}

std::string percent_of(const DeviceRow& row) {
  return row.found->use_percent < 0 ? "N/A" : std::to_string(row.found->use_percent) + "%";
}

std::string mib(std::int64_t value) { return value < 0 ? "N/A" : std::to_string(value); }

std::string processes_of(const FoundDevice& device) {
  std::string out;
  for (const auto& process : device.processes)
    out += (out.empty() ? "" : ",") + std::to_string(process.pid) + "(job " +
           (process.job ? std::to_string(process.job) : std::string("none")) + ", " +
           std::to_string(process.mem_mib) + "M)";
  return out.empty() ? "(null)" : out;
}

}  // namespace

std::vector<DeviceRow> device_rows(const Node& node) {
  std::vector<DeviceRow> out;
  if (node.devices.devices.empty() && node.devices.kinds.empty()) return out;
  std::vector<std::string> why;
  with_findings(node.declared.devices, node.devices, &why);
  const auto matches = match_devices(node.declared.devices, node.devices);
  std::vector<bool> counted(node.devices.devices.size());
  const DeviceRoom room = room_of(node);
  for (std::size_t i = 0; i < matches.size(); ++i) {
    const auto& group = node.declared.devices[matches[i].group];
    DeviceRow row{group.kind, group.type, matches[i].index, 0, nullptr, why[i]};
    if (matches[i].found) {
      row.found = &node.devices.devices[*matches[i].found];
      counted[*matches[i].found] = true;
    }
    // What is out has nothing free, whoever has it.
    const int slot = room.slot({group.kind, group.type, row.index, 0});
    if (row.why.empty() && slot >= 0)
      row.used = kWholeDevice - std::min(kWholeDevice, room.free[static_cast<std::size_t>(slot)]);
    out.push_back(std::move(row));
  }
  for (std::size_t i = 0; i < counted.size(); ++i)
    if (!counted[i]) {
      const auto& device = node.devices.devices[i];
      out.push_back(
          {device.kind, device.type, kCountedDevice, 0, &device, "the configuration does not count it"});
    }
  return out;
}

std::string gres_used(const Node& node) {
  const DeviceRoom room = room_of(node);
  const auto rows = device_rows(node);
  return listed(node, [&](const DeviceGroup& group, std::uint32_t, std::uint32_t index) {
    for (const auto& row : rows)
      if (row.kind == group.kind && row.index == index && !row.why.empty()) return false;
    const int slot = room.slot({group.kind, group.type, index, 0});
    return slot >= 0 && room.free[static_cast<std::size_t>(slot)] < kWholeDevice;
  });
}

std::string gres_drained(const Node& node) {
  const auto rows = device_rows(node);
  return listed(node, [&](const DeviceGroup& group, std::uint32_t, std::uint32_t index) {
    return std::any_of(rows.begin(), rows.end(), [&](const DeviceRow& row) {
      return row.kind == group.kind && row.index == index && !row.why.empty();
    });
  });
}

void show_devices(RecordWriter& out, const Node& node) {
  const auto rows = device_rows(node);
  if (rows.empty()) return;
  const std::string drained = gres_drained(node), used = gres_used(node);
  out.key("GresDrain", drained.empty() ? "N/A" : drained).key("GresUsed", used.empty() ? "N/A" : used).line();
  for (const auto& row : rows) {
    const bool given = row.index != kCountedDevice;
    out.key("Device", row.kind.str() + ":" + (given ? std::to_string(row.index) : std::string("none")));
    out.key("Health", row.found ? name(row.found->health) : "missing");
    if (row.found) {
      out.key("Id", row.found->id.view()).null_key("Model", row.found->model.view());
      out.key("Memory", row.found->mem_mib);
      out.key("Socket", row.found->socket == kNoSocket ? "N/A" : std::to_string(row.found->socket));
    }
    if (given && row.why.empty()) out.key("Given", format_amount(row.used));
    if (row.found) {
      out.key("Use", percent_of(row)).key("UsedMem", mib(row.found->mem_used_mib));
      if (row.found->power_mw >= 0) out.key("Watts", static_cast<std::uint64_t>(row.found->power_mw / 1000));
      if (!row.found->processes.empty()) out.key("Processes", processes_of(*row.found));
    }
    if (!row.why.empty()) out.key("Why", row.why);
    out.line();
  }
}

void put_devices_json(JsonWriter& json, const Node& node) {
  const auto number = [&](std::string_view key, std::uint64_t value) {
    json.field(key, static_cast<std::int64_t>(value));
  };
  json.key("devices").begin_array();
  for (const auto& row : device_rows(node)) {
    json.begin_object();
    json.field("kind", row.kind.view()).field("type", row.type.view());
    if (row.index != kCountedDevice) {
      number("index", row.index);
      number("given_thousandths", row.used);
    }
    json.flag("usable", row.why.empty());
    if (!row.why.empty()) json.field("why", row.why);
    if (row.found) {
      const auto& device = *row.found;
      json.field("id", device.id.view())
          .field("model", device.model.view())
          .field("health", name(device.health));
      number("mem_mib", device.mem_mib);
      if (device.socket != kNoSocket) number("socket", device.socket);
      if (device.use_percent >= 0) number("use_percent", static_cast<std::uint64_t>(device.use_percent));
      if (device.mem_used_mib >= 0) number("mem_used_mib", static_cast<std::uint64_t>(device.mem_used_mib));
      if (device.power_mw >= 0) number("power_mw", static_cast<std::uint64_t>(device.power_mw));
      json.key("processes").begin_array();
      for (const auto& process : device.processes) {
        json.begin_object();
        number("pid", process.pid);
        number("mem_mib", process.mem_mib);
        if (process.job) number("job", process.job);
        json.end_object();
      }
      json.end_array();
    }
    json.end_object();
  }
  json.end_array();
}

}  // namespace bai::cli
