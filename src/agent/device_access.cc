#include "agent/device_access.h"

#include <algorithm>
#include <map>

namespace bai::agent {

namespace {

bool has(const std::vector<DeviceShare>& shares, const NodeDevice& device) {
  return std::any_of(shares.begin(), shares.end(), [&](const DeviceShare& share) {
    return device.index != kNotGiven && share.kind == device.kind && share.index == device.index;
  });
}

// %d is the device's number, %% is %.
std::string filled(std::string_view word, std::uint32_t number) {
  std::string out;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const bool sign = word[i] == '%' && i + 1 < word.size() && (word[i + 1] == 'd' || word[i + 1] == '%');
    if (!sign) {
      out += word[i];
    } else if (word[++i] == 'd') {
      out += std::to_string(number);
    } else {
      out += '%';
    }
  }
  return out;
}

std::string hex_mask(const IdSet& set) {
  std::string out;
  for (std::uint32_t digit = set.empty() ? 0 : set.last() / 4;; --digit) {
    unsigned value = 0;
    for (std::uint32_t bit = 0; bit < 4; ++bit)
      value |= static_cast<unsigned>(set.contains(4 * digit + bit)) << bit;
    out += "0123456789ABCDEF"[value];
    if (digit == 0) return "0x" + out;
  }
}

void add_once(std::vector<std::string>& list, std::string word) {
  if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
}

// Of `mine`, where `openable` can be opened.
std::vector<std::string> variables(const DeviceTable& table, const std::vector<DeviceShare>& openable,
                                   const std::vector<DeviceShare>& mine, bool apart) {
  std::vector<std::pair<std::string, std::vector<std::string>>> found;
  std::map<std::string, std::uint32_t> next;  // number, by plugin
  for (const auto& device : table) {
    const std::uint32_t number = !apart || has(openable, device) ? next[device.plugin]++ : 0;
    for (const auto& entry : device.found.environment) {
      const auto equals = entry.find('=');
      const std::string name = entry.substr(0, equals);
      auto it = std::find_if(found.begin(), found.end(), [&](const auto& v) { return v.first == name; });
      if (it == found.end()) it = found.insert(it, {name, {}});
      if (has(mine, device)) add_once(it->second, filled(std::string_view(entry).substr(equals + 1), number));
    }
  }
  std::vector<std::string> out;
  for (const auto& [name, words] : found) {
    std::string& entry = out.emplace_back(name + "=");
    for (std::size_t i = 0; i < words.size(); ++i) entry += (i ? "," : "") + words[i];
  }
  return out;
}

}  // namespace

DeviceTable make_device_table(const std::vector<DeviceGroup>& groups, const DeviceReport& report,
                              const std::vector<const KnownDevice*>& known,
                              const std::vector<std::string>& plugins) {
  DeviceTable table;
  for (std::size_t i = 0; i < report.devices.size() && i < known.size(); ++i)
    table.push_back(
        {report.devices[i].kind, kNotGiven, plugins[i], report.devices[i].socket, known[i]->found});
  for (const auto& match : match_devices(groups, report))
    if (match.found && *match.found < table.size()) table[*match.found].index = match.index;
  std::erase_if(table, [&](const NodeDevice& device) {
    return std::none_of(groups.begin(), groups.end(), [&](const DeviceGroup& group) {
      return group.kind == device.kind && !group.counted;
    });
  });
  return table;
}

DeviceGrant grant_devices(const DeviceTable& table, const std::vector<DeviceShare>& shares, bool apart) {
  DeviceGrant out;
  out.environment = variables(table, shares, shares, apart);
  std::vector<step::DeviceRule> allowed;
  for (const auto& device : table)
    if (has(shares, device))
      for (const auto& file : device.found.files) allowed.push_back(file.rule);
  // A file may be of several devices: parts of one GPU.
  for (const auto& device : table)
    for (const auto& file : device.found.files)
      if (std::find(allowed.begin(), allowed.end(), file.rule) == allowed.end() &&
          std::find(out.denied.begin(), out.denied.end(), file.rule) == out.denied.end())
        out.denied.push_back(file.rule);
  return out;
}

std::vector<std::string> visible_gpus(const DeviceTable& table, const std::vector<DeviceShare>& all,
                                      const std::vector<DeviceShare>& mine, bool apart) {
  // Variables of other kinds stay the step's.
  DeviceTable gpus;
  for (const auto& device : table)
    if (device.kind == "gpu") gpus.push_back(device);
  if (!gpus.empty()) return variables(gpus, all, mine, apart);
  std::string numbers;
  for (const auto& share : mine) numbers += (numbers.empty() ? "" : ",") + std::to_string(share.index);
  std::vector<std::string> out;
  for (const char* name : {"CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=", "GPU_DEVICE_ORDINAL="})
    out.push_back(name + numbers);
  return out;
}

std::string gpu_bind_line(const std::vector<std::uint32_t>& bound, const std::vector<GpuPlace>& gpus) {
  IdSet usable, all;
  std::string list;
  for (std::uint32_t g = 0; g < gpus.size(); ++g) {
    all.insert(gpus[g].number);
    if (!bound.empty() && std::find(bound.begin(), bound.end(), g) == bound.end()) continue;
    usable.insert(gpus[g].number);
    list += (list.empty() ? "" : ",") + std::to_string(gpus[g].number);
  }
  return "gpu-bind: usable_gres=" + hex_mask(usable) + "; bit_alloc=" + hex_mask(all) +
         "; local_inx=" + std::to_string(gpus.size()) + "; global_list=" + list + "; local_list=" + list +
         "\n";
}

std::vector<DeviceShare> all_devices(const DeviceTable& table) {
  std::vector<DeviceShare> out;
  for (const auto& device : table)
    if (device.index != kNotGiven) out.push_back({device.kind, Istr(), device.index, kWholeDevice});
  return out;
}

const NodeDevice* find_device(const DeviceTable& table, const DeviceShare& share) {
  auto it = std::find_if(table.begin(), table.end(),
                         [&](const NodeDevice& device) { return has({share}, device); });
  return it == table.end() ? nullptr : &*it;
}

}  // namespace bai::agent
