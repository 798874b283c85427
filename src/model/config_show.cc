// The configuration as text: show config, differences, a NodeName line.
#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "model/config_keys.h"

namespace bai {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string shown(const KeyRow<ClusterConfig>& row, const ClusterConfig& config) {
  if (row.key.secret) {
    if (config.store_type == StoreType::kSqlite) return config.store_path();
    return "(hidden)";  // a connection string may hold a password
  }
  auto text = row.show(config);
  return text.empty() ? "(null)" : text;
}

template <class T>
std::vector<ConfigKey> keys_of(const std::vector<KeyRow<T>>& rows) {
  std::vector<ConfigKey> out;
  for (const auto& row : rows) out.push_back(row.key);
  return out;
}

// The keys of `rows` whose values differ: "CPUs 4 -> 8, Weight 1 -> 2".
template <class T>
std::string differing(const std::vector<KeyRow<T>>& rows, const T& a, const T& b) {
  std::string out;
  for (const auto& row : rows) {
    const auto before = row.show(a), after = row.show(b);
    if (before == after) continue;
    out += (out.empty() ? "" : ", ") + std::string(row.key.name) + " " +
           (before.empty() ? "(null)" : before) + " -> " + (after.empty() ? "(null)" : after);
  }
  return out;
}

NodeLine as_line(const ConfigNode& node) {
  NodeLine line;
  line.node = node;
  return line;
}

// How far a switch is above its leaves.
std::size_t level_of(const ClusterConfig& config, const Switch& one, std::size_t depth = 0) {
  std::size_t level = 0;
  for (const auto& name : one.switches)
    for (const auto& below : config.switches)
      if (below.name == name && depth < config.switches.size())
        level = std::max(level, 1 + level_of(config, below, depth + 1));
  return level;
}

// As `scontrol show topology` has it.
std::string switch_line(const ClusterConfig& config, const Switch& one) {
  const auto list = [](const std::vector<Istr>& names) {
    std::vector<std::string> out;
    for (const auto& name : names) out.push_back(name.str());
    return compress_hostlist(out);
  };
  std::string out =
      "SwitchName=" + one.name.str() + " Level=" + std::to_string(level_of(config, one)) + " LinkSpeed=1";
  if (!one.nodes.empty()) out += " Nodes=" + list(one.nodes);
  if (!one.switches.empty()) out += " Switches=" + list(one.switches);
  return out;
}

}  // namespace

Pairs describe(const ClusterConfig& config) {
  Pairs out;
  for (const auto& row : global_rows()) {
    const std::string name(row.key.name);
    if (name != "CtldHost") {
      out.emplace_back(name, shown(row, config));
      continue;
    }
    for (std::size_t i = 0; i < config.ctld_hosts.size(); ++i) {
      const auto& host = config.ctld_hosts[i];
      out.emplace_back(name + "[" + std::to_string(i) + "]",
                       host.name + (host.address == host.name ? "" : "(" + host.address + ")"));
    }
  }
  std::sort(out.begin(), out.end());
  for (std::size_t i = 0; i < config.switches.size(); ++i)
    out.emplace_back("SwitchName[" + std::to_string(i) + "]", switch_line(config, config.switches[i]));
  return out;
}

std::vector<std::string> diff(const ClusterConfig& a, const ClusterConfig& b) {
  std::vector<std::string> out;
  for (const auto& row : global_rows()) {
    const auto before = shown(row, a), after = shown(row, b);
    const std::string name(row.key.name);
    if (before != after)
      out.push_back(name + ": " + before + " -> " + after);
    else if (row.key.secret && a.store_location != b.store_location)
      out.push_back(name + ": changed");
  }
  for (const auto& node : a.nodes) {
    const auto* now = b.find_node(node.name);
    if (!now) {
      out.push_back("node " + node.name.str() + ": removed");
    } else if (auto text = differing(node_rows(), as_line(node), as_line(*now)); !text.empty()) {
      out.push_back("node " + node.name.str() + ": " + text);
    }
  }
  for (const auto& node : b.nodes)
    if (!a.find_node(node.name)) out.push_back("node " + node.name.str() + ": added");
  for (const auto& p : a.partitions) {
    const auto* now = b.find_partition(p.name);
    if (!now) {
      out.push_back("partition " + p.name.str() + ": removed");
    } else if (auto text = differing(partition_rows(), p, *now); !text.empty()) {
      out.push_back("partition " + p.name.str() + ": " + text);
    } else if (p.nodes != now->nodes) {
      out.push_back("partition " + p.name.str() + ": other nodes");
    }
  }
  for (const auto& p : b.partitions)
    if (!a.find_partition(p.name)) out.push_back("partition " + p.name.str() + ": added");
  if (a.switches != b.switches) out.push_back("switches: changed");
  return out;
}

std::string node_line(const ConfigNode& node) {
  NodeLine plain;
  plain.node.shape.cpus = 0;
  plain.node.shape.mem_mib = 0;
  const NodeLine line = as_line(node);
  std::string out;
  for (const auto& row : node_rows()) {
    const auto value = row.show(line);
    const bool shape =
        row.key.name == "Sockets" || row.key.name == "CoresPerSocket" || row.key.name == "ThreadsPerCore";
    if (value == row.show(plain) && !(shape && node.shape.cpus != 0)) continue;
    if (!out.empty()) out += ' ';
    out += std::string(row.key.name) + "=" + quote_config_value(value);
  }
  return out;
}

std::string for_node(std::string_view pattern, std::string_view node) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char next = pattern[i] == '%' && i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (next == 'n' || next == 'h')
      out += node, ++i;
    else if (next == '%')
      out += '%', ++i;
    else
      out += pattern[i];
  }
  return out;
}

std::vector<ConfigKey> config_keys() { return keys_of(global_rows()); }
std::vector<ConfigKey> node_keys() { return keys_of(node_rows()); }
std::vector<ConfigKey> partition_keys() { return keys_of(partition_rows()); }
std::vector<ConfigKey> switch_keys() { return keys_of(switch_rows()); }

std::vector<std::string_view> ignored_keys() {
  std::vector<std::string_view> out = ignored_global_keys();
  for (const auto* more : {&ignored_node_keys(), &ignored_partition_keys(), &ignored_switch_keys()})
    out.insert(out.end(), more->begin(), more->end());
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace bai
