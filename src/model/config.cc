#include "model/config.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/env.h"
#include "base/hash.h"
#include "base/hostlist.h"
#include "base/suggest.h"
#include "base/text.h"
#include "model/config_keys.h"

namespace bai {
namespace {

constexpr std::size_t kMaxPartitions = 4096;
constexpr std::size_t kMaxPartitionNodes = std::size_t{4} << 20;  // of all partitions together

Error bad(std::string place, std::string message, std::string remedy = {}) {
  return Error{"bad_config", std::move(message), std::move(place), std::move(remedy)};
}

bool is_one_of(const std::vector<std::string_view>& keys, std::string_view key) {
  return std::any_of(keys.begin(), keys.end(), [&](auto known) { return same_key(known, key); });
}

template <class T>
std::string nearest_key(std::string_view key, const std::vector<KeyRow<T>>& rows,
                        const std::vector<std::string_view>& ignored) {
  std::vector<std::string_view> known;
  for (const auto& row : rows) {
    known.push_back(row.key.name);
    known.insert(known.end(), row.key.aliases.begin(), row.key.aliases.end());
  }
  known.insert(known.end(), ignored.begin(), ignored.end());
  return did_you_mean(key, known);
}

enum class LineKind { kGlobal, kNode, kPartition, kSwitch, kIgnored };

LineKind kind_of(const ConfigLine& line) {
  const auto& key = line.items.front().key;
  if (same_key(key, "NodeName")) return LineKind::kNode;
  if (same_key(key, "PartitionName")) return LineKind::kPartition;
  if (same_key(key, "SwitchName")) return LineKind::kSwitch;
  for (auto other : {"DownNodes", "NodeSet", "FrontendName"})
    if (same_key(key, other)) return LineKind::kIgnored;
  return LineKind::kGlobal;
}

}  // namespace

// What one pass over the lines collects.
struct ConfigBuilder {
  const ConfigRules& rules;
  std::vector<std::string>* warnings;
  ClusterConfig config{};
  NodeLine node_defaults{};
  Partition partition_defaults{};
  std::set<std::string> warned{}, given{};
  std::vector<std::string> node_places{}, partition_places{};
  std::map<std::string, std::string> switch_places{};
  std::string user_place{}, last_file{};

  void warn(const std::string& place, const std::string& text) {
    if (warnings) warnings->push_back(place + ": " + text);
  }

  template <class T>
  Status set(T& to, const ConfigLine& line, const ConfigItem& item, const std::vector<KeyRow<T>>& rows,
             const std::vector<std::string_view>& ignored) {
    const auto* row = find_row(rows, item.key);
    if (row) {
      auto status = row->set(to, trim(item.value));
      if (status) return {};
      return bad(line.place(item), item.key + ": " + status.error().message, status.error().remedy);
    }
    if (!is_one_of(ignored, item.key))
      return bad(line.place(item), quote(item.key) + " is no key of bai.conf",
                 nearest_key(item.key, rows, ignored));
    if (warned.insert(lower(item.key)).second)
      warn(line.place(item), item.key + " has no meaning here and is ignored");
    return {};
  }

  Status global(const ConfigLine& line) {
    for (const auto& item : line.items) {
      if (auto status = set(config, line, item, global_rows(), ignored_global_keys()); !status) return status;
      const auto* row = find_row(global_rows(), item.key);
      if (!row) continue;
      if (row->key.name == "BaiUser") user_place = line.place(item);
      if (row->key.name == "SchedulerParameters")
        if (const auto idle = idle_scheduler_words(config); !idle.empty())
          warn(line.place(item), "SchedulerParameters: no meaning here have " + join(idle, ", "));
      static const std::set<std::string_view> kAddUp = {"CtldHost", "MungeSocket", "Prolog",
                                                        "Epilog",   "PrologCtld",  "EpilogCtld"};
      if (!given.insert(std::string(row->key.name)).second && !kAddUp.contains(row->key.name))
        warn(line.place(item), item.key + " is given again; the last value counts");
    }
    return {};
  }

  // Names for NodeAddr and NodeHostname: one for each node, one for all (several nodes on one host), or none.
  Status spread(const ConfigLine& line, const std::string& text, std::vector<ConfigNode>& nodes,
                Istr ConfigNode::*member) {
    if (text.empty()) return {};
    auto names = expand_hostlist(text, nodes.size());
    // An IPv6 address is no host list.
    if (!names && nodes.size() == 1 && text.find(':') != text.npos) names = std::vector<std::string>{text};
    if (names && names->size() == 1) names->resize(nodes.size(), names->front());
    if (!names || names->size() != nodes.size())
      return bad(
          line.place(),
          quote(text) + " does not give one name for each of the " + std::to_string(nodes.size()) + " nodes",
          names ? "" : names.error().message);
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].*member = Istr((*names)[i]);
    return {};
  }

  Status complete_shape(const ConfigLine& line, NodeLine& made) {
    auto& shape = made.node.shape;
    const std::uint64_t cores = std::uint64_t{shape.sockets} * shape.cores_per_socket;
    const std::uint64_t threads = cores * shape.threads_per_core;
    if (made.topology_given && !made.cpus_given) {
      if (threads > 65533) return bad(line.place(), "a node has at most 65533 CPUs");
      shape.cpus = static_cast<std::uint32_t>(threads);
    } else if (made.topology_given && shape.cpus != cores && shape.cpus != threads) {
      return bad(line.place(),
                 "CPUs=" + std::to_string(shape.cpus) + " is neither the cores (" + std::to_string(cores) +
                     ") nor the threads (" + std::to_string(threads) + ") of the node",
                 "leave CPUs out, or Sockets, CoresPerSocket and ThreadsPerCore");
    } else if (made.cpus_given && !made.topology_given) {
      shape.sockets = shape.cpus;  // as Slurm fills it
    }
    return {};
  }

  Status node(const ConfigLine& line) {
    const bool defaults = iequals(line.items.front().value, "DEFAULT");
    NodeLine made = node_defaults;
    NodeLine& to = defaults ? node_defaults : made;
    for (const auto& item : line.items)
      if (auto status = set(to, line, item, node_rows(), ignored_node_keys()); !status) return status;
    if (defaults) return {};
    if (auto status = complete_shape(line, made); !status) return status;
    auto names = expand_hostlist(line.items.front().value, kMaxHosts);
    if (!names) return bad(line.place(), "NodeName: " + names.error().message, names.error().remedy);
    if (names->empty()) return bad(line.place(), "NodeName names no node");
    if (names->size() + config.nodes.size() > kMaxHosts)
      return bad(line.place(), "more than " + std::to_string(kMaxHosts) + " nodes");
    std::vector<ConfigNode> nodes(names->size(), made.node);
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].name = Istr((*names)[i]);
    if (auto status = spread(line, made.addresses, nodes, &ConfigNode::address); !status) return status;
    if (auto status = spread(line, made.hostnames, nodes, &ConfigNode::hostname); !status) return status;
    node_places.insert(node_places.end(), nodes.size(), line.place());
    std::move(nodes.begin(), nodes.end(), std::back_inserter(config.nodes));
    return {};
  }

  Status partition(const ConfigLine& line) {
    const auto& name = line.items.front().value;
    const bool defaults = iequals(name, "DEFAULT");
    Partition made = partition_defaults;
    Partition& to = defaults ? partition_defaults : made;
    for (const auto& item : line.items)
      if (auto status = set(to, line, item, partition_rows(), ignored_partition_keys()); !status)
        return status;
    if (defaults) return {};
    if (!is_host_name(name) || name.size() > 255)
      return bad(line.place(), quote(name) + " is no name of a partition", "use letters, digits, - and _");
    if (config.find_partition(name)) return bad(line.place(), "partition " + quote(name) + " is there twice");
    if (config.partitions.size() >= kMaxPartitions)
      return bad(line.place(), "more than " + std::to_string(kMaxPartitions) + " partitions");
    made.name = Istr(name);
    config.partitions.push_back(std::move(made));
    partition_places.push_back(line.place());
    return {};
  }

  Status a_switch(const ConfigLine& line) {
    Switch made;
    made.name = Istr(line.items.front().value);
    for (const auto& item : line.items)
      if (auto status = set(made, line, item, switch_rows(), ignored_switch_keys()); !status) return status;
    if (!is_host_name(made.name.view()))
      return bad(line.place(), quote(made.name.view()) + " is no name of a switch");
    if (made.nodes.empty() == made.switches.empty())
      return bad(line.place(),
                 "switch " + quote(made.name.view()) + " has neither nodes nor switches, or both",
                 "a leaf has Nodes=, an inner one Switches=");
    if (!switch_places.emplace(made.name.str(), line.place()).second)
      return bad(line.place(), "switch " + quote(made.name.view()) + " is there twice");
    config.switches.push_back(std::move(made));
    return {};
  }

  // What they name is there, and each hangs below one at most.
  Status finish_switches() {
    std::set<Istr> below, placed;
    for (const auto& s : config.switches) {
      const auto& place = switch_places.at(s.name.str());
      for (const auto& name : s.switches) {
        if (!switch_places.count(name.str()))
          return bad(place, "switch " + quote(s.name.view()) + " names switch " + quote(name.view()) +
                                ", which no SwitchName line does");
        if (name == s.name || !below.insert(name).second)
          return bad(place, "switch " + quote(name.view()) + " is below two switches, or itself");
      }
      for (const auto& name : s.nodes) {
        if (!config.find_node(name.view()) && !config.dynamic_nodes)
          return bad(place, "switch " + quote(s.name.view()) + " names node " + quote(name.view()) +
                                ", which no NodeName line does");
        if (!placed.insert(name).second)
          return bad(place, "node " + quote(name.view()) + " is at two leaf switches");
      }
    }
    if (!config.switches.empty() && below.size() == config.switches.size())
      return bad(switch_places.at(config.switches[0].name.str()), "the switches go round in a ring");
    return {};
  }

  Status index_nodes() {
    const auto& nodes = config.nodes;
    auto& order = config.by_name_;
    order.resize(nodes.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](auto a, auto b) { return std::tie(nodes[a].name, a) < std::tie(nodes[b].name, b); });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (nodes[order[i - 1]].name == nodes[order[i]].name)
        return bad(node_places[order[i]], "node " + quote(nodes[order[i]].name) + " is there twice",
                   "first at " + node_places[order[i - 1]]);
    return {};
  }

  // Nodes= into nodes of the configuration, in its order.
  Status fill(Partition& p, const std::string& place, std::size_t& total) {
    std::vector<std::uint32_t> indices;
    std::vector<Istr> strangers;  // named before they join
    const auto text = p.nodes_text.view();
    const bool all = iequals(text, "ALL");
    Result<std::vector<std::string>> names = std::vector<std::string>();
    if (!all) names = expand_hostlist(text, kMaxHosts);
    if (!names) return bad(place, "Nodes: " + names.error().message, names.error().remedy);
    total += all ? config.nodes.size() : names->size();
    if (total > kMaxPartitionNodes) return bad(place, "the partitions name too many nodes");
    if (all) {
      indices = config.by_name_;
    } else {
      for (const auto& name : *names) {
        if (const auto* node = config.find_node(name)) {
          indices.push_back(static_cast<std::uint32_t>(node - config.nodes.data()));
        } else if (config.dynamic_nodes) {
          strangers.emplace_back(name);
        } else {
          std::vector<std::string_view> known;
          for (const auto& other : config.nodes) known.push_back(other.name.view());
          auto remedy = did_you_mean(name, known);
          return bad(
              place,
              "partition " + quote(p.name) + " names node " + quote(name) + ", which no NodeName line does",
              remedy.empty() ? "add a NodeName line, or set DynamicNodes=yes" : remedy);
        }
      }
    }
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
    p.nodes.reserve(indices.size() + strangers.size());
    for (auto i : indices) {
      p.nodes.push_back(config.nodes[i].name);
      p.total_cpus += config.nodes[i].shape.cpus;
    }
    p.nodes.insert(p.nodes.end(), strangers.begin(), strangers.end());
    return {};
  }

  Status finish_partitions() {
    std::size_t total = 0;
    std::size_t chosen = config.partitions.size();
    for (std::size_t i = 0; i < config.partitions.size(); ++i) {
      auto& p = config.partitions[i];
      if (auto status = fill(p, partition_places[i], total); !status) return status;
      if (p.default_time != 0 && p.max_time != kUnlimited &&
          (p.default_time == kUnlimited || p.default_time > p.max_time))
        return bad(partition_places[i], "DefaultTime is longer than MaxTime");
      if (p.max_nodes != 0 && p.min_nodes > p.max_nodes)
        return bad(partition_places[i], "MinNodes is more than MaxNodes");
      if (p.default_mem_per_cpu_mib == 0 && p.default_mem_per_node_mib == 0) {
        p.default_mem_per_cpu_mib = config.def_mem_per_cpu_mib;
        p.default_mem_per_node_mib = config.def_mem_per_node_mib;
      }
      if (p.max_mem_per_node_mib == 0) p.max_mem_per_node_mib = config.max_mem_per_node_mib;
      if (!p.is_default) continue;
      if (chosen < i) {
        warn(partition_places[i], "a second default partition; this one counts");
        config.partitions[chosen].is_default = false;
      }
      chosen = i;
    }
    if (chosen == config.partitions.size() && chosen != 0) config.partitions[0].is_default = true;
    return {};
  }

  Status finish() {
    if (config.ctld_hosts.empty())
      return bad(last_file, "CtldHost is missing", "add a line CtldHost=NAME, where bai-ctld runs");
    if (config.ctld_hosts.size() > 1) warn(last_file, "only the first CtldHost is used");
    auto uid = read_user(config.bai_user, rules.passwd);
    if (!uid)
      return bad(user_place.empty() ? last_file : user_place, "BaiUser: " + uid.error().message,
                 uid.error().remedy);
    config.bai_uid = *uid;
    if (config.agentd_heartbeat >= config.agentd_timeout)
      return bad(last_file, "AgentdHeartbeat must be shorter than AgentdTimeout");
    if (config.agentd_lost_timeout <= config.agentd_timeout) {
      if (given.count("AgentdLostTimeout"))
        return bad(last_file, "AgentdLostTimeout must be longer than AgentdTimeout");
      config.agentd_lost_timeout = config.agentd_timeout * 2;  // a Slurm file with a long SlurmdTimeout
    }
    if (config.store_type == StoreType::kPostgresql && config.store_location.empty())
      config.store_location = "dbname=bai";
    // The value stays out of the message: it may be a connection string with a password.
    if (config.store_type == StoreType::kSqlite && !config.store_location.empty() &&
        config.store_location[0] != '/')
      return bad(last_file, "StoreLocation is not an absolute path, as StoreType=sqlite needs",
                 "begin it with /, or set StoreType=postgresql");
    if (auto status = single_devices(); !status) return status;
    if (auto status = index_nodes(); !status) return status;
    if (auto status = finish_switches(); !status) return status;
    return finish_partitions();
  }

  // DeviceKinds may come after the nodes.
  Status single_devices() {
    for (auto& node : config.nodes)
      for (auto& group : node.shape.devices) {
        group.counted = std::find(config.device_kinds.begin(), config.device_kinds.end(),
                                  group.kind.view()) == config.device_kinds.end();
        if (!group.counted && group.count > kMostSingleDevices)
          return bad(last_file,
                     "node " + node.name.str() + " has " + std::to_string(group.count) + " of " +
                         group.kind.str() + ", and " + std::to_string(kMostSingleDevices) +
                         " single devices are the most",
                     "leave the kind out of DeviceKinds: then they are only counted");
      }
    return {};
  }

  // Once keys are known to be good: the canonical text without what is secret, local or ignored.
  void bundle(const std::vector<ConfigLine>& lines) {
    for (const auto& line : lines) {
      if (line.items.empty() || kind_of(line) == LineKind::kIgnored) continue;
      std::string text;
      for (const auto& item : line.items) {
        bool keep = true;
        if (kind_of(line) == LineKind::kGlobal) {
          const auto* row = find_row(global_rows(), item.key);
          keep = row && !row->key.secret && !row->key.local;
        } else if (kind_of(line) == LineKind::kNode) {
          keep = find_row(node_rows(), item.key);
        } else if (kind_of(line) == LineKind::kSwitch) {
          keep = find_row(switch_rows(), item.key);
        } else {
          keep = find_row(partition_rows(), item.key);
        }
        if (keep) text += (text.empty() ? "" : " ") + item.key + "=" + quote_config_value(item.value);
      }
      if (!text.empty()) config.bundle += text + "\n";
    }
    const auto hash = hash256(config.bundle);
    for (int i = 7; i >= 0; --i) config.hash = config.hash << 8 | hash.bytes[static_cast<std::size_t>(i)];
  }
};

Result<ClusterConfig> parse_config(const std::vector<ConfigLine>& lines, std::vector<std::string>* warnings,
                                   const ConfigRules& rules) {
  ConfigBuilder builder{rules, warnings};
  builder.node_defaults.node.shape.cpus = 0;
  builder.node_defaults.node.shape.mem_mib = 0;
  for (const auto& line : lines) {
    if (line.items.empty()) continue;
    if (builder.last_file.empty()) builder.last_file = line.file;
    Status status;
    switch (kind_of(line)) {
      case LineKind::kGlobal:
        status = builder.global(line);
        break;
      case LineKind::kNode:
        status = builder.node(line);
        break;
      case LineKind::kPartition:
        status = builder.partition(line);
        break;
      case LineKind::kSwitch:
        status = builder.a_switch(line);
        break;
      case LineKind::kIgnored:
        if (builder.warned.insert(lower(line.items[0].key)).second)
          builder.warn(line.place(), line.items[0].key + " lines have no meaning here and are ignored");
    }
    if (!status) return status.error();
  }
  if (auto status = builder.finish(); !status) return status.error();
  builder.bundle(lines);
  return std::move(builder.config);
}

Result<ClusterConfig> load_config(const std::string& path, std::vector<std::string>* warnings,
                                  const ConfigRules& rules) {
  const Env env = Env::real();
  auto lines = parse_config(
      path, [&](const std::string& file) { return env.read_file(file, ConfigLimits{}.max_bytes); });
  if (!lines) return lines.error();
  return parse_config(*lines, warnings, rules);
}

Result<ClusterConfig> parse_config_bundle(std::string_view bundle, const std::string& name,
                                          const ConfigRules& rules) {
  auto lines = parse_config_text(bundle, name);
  if (!lines) return lines.error();
  return parse_config(*lines, nullptr, rules);
}

void take_local_keys(ClusterConfig& into, const ClusterConfig& own) {
  into.minimum_uid = own.minimum_uid;
  into.allow_root_jobs = own.allow_root_jobs;
  into.signature_max_age = own.signature_max_age;
  into.stepd_path = own.stepd_path;
  into.health_check_program = own.health_check_program;
  into.health_check_interval = own.health_check_interval;
  into.health_check_states = own.health_check_states;
  into.confinement = own.confinement;
  into.device_plugin_dir = own.device_plugin_dir;
  into.device_plugins = own.device_plugins;
  into.device_plugins_given = own.device_plugins_given;
  into.device_config_dir = own.device_config_dir;
  into.device_check_interval = own.device_check_interval;
  into.cuda_mps_control = own.cuda_mps_control;
}

const ConfigNode* ClusterConfig::find_node(std::string_view name) const {
  auto it = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](std::uint32_t i, std::string_view wanted) { return nodes[i].name.view() < wanted; });
  return it != by_name_.end() && nodes[*it].name == name ? &nodes[*it] : nullptr;
}

const Partition* ClusterConfig::find_partition(std::string_view name) const {
  for (const auto& p : partitions)
    if (p.name == name) return &p;
  return nullptr;
}

const Partition* ClusterConfig::default_partition() const {
  for (const auto& p : partitions)
    if (p.is_default) return &p;
  return nullptr;
}

std::string ClusterConfig::store_path() const {
  return store_location.empty() ? state_save_location + "/bai.db" : store_location;
}

}  // namespace bai
