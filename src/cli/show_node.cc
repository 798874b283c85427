// One node and one partition as scontrol prints them (slurm_sprint_node_table, slurm_sprint_partition_info of 22.05).
#include <cstdio>

#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/show.h"
#include "cli/show_devices.h"

namespace bai::cli {
namespace {

std::string load(const Node& node) {
  if (!node.responding) return "N/A";
  char buf[32];
  std::snprintf(buf, sizeof buf, "%.2f", node.load_percent / 100.0);
  return buf;
}

std::string tres(std::uint32_t cpus, std::uint64_t mem_mib, std::uint32_t nodes) {
  std::string out = "cpu=" + std::to_string(cpus);
  if (mem_mib) out += ",mem=" + format_memory(mem_mib);
  if (nodes) out += ",node=" + std::to_string(nodes);
  return out + ",billing=" + std::to_string(cpus);
}

std::string limit(std::uint32_t count) { return count == 0 ? "UNLIMITED" : std::to_string(count); }
std::string yes(bool value) { return value ? "YES" : "NO"; }
std::string listed(const std::vector<Istr>& names, std::string_view otherwise) {
  if (names.empty()) return std::string(otherwise);
  return join(names, ",");
}

}  // namespace

void show_node(std::string& out, const Node& node, const std::vector<Partition>& partitions, bool one_line) {
  const NodeShape& shape = node.declared;
  RecordWriter w(out, one_line);
  w.key("NodeName", node.name.view());
  if (!node.arch.empty()) w.key("Arch", node.arch.view());
  w.key("CoresPerSocket", std::to_string(shape.cores_per_socket) + " ").line();
  w.key("CPUAlloc", node.cpus_used)
      .key("CPUEfctv", shape.cpus)
      .key("CPUTot", shape.cpus)
      .key("CPULoad", load(node))
      .line();
  const std::string features = node.features.empty() ? "(null)" : join(node.features, ",");
  w.key("AvailableFeatures", features).line();
  w.key("ActiveFeatures", features).line();
  w.null_key("Gres", format_device_groups(shape.devices)).line();
  show_devices(w, node);
  w.key("NodeAddr", node.address.empty() ? node.name.view() : node.address.view())
      .key("NodeHostName", node.name.view());
  if (!node.version.empty()) w.key("Version", node.version.view());
  w.line();
  if (!node.os.empty()) w.key("OS", node.os.str() + " ").line();
  w.key("RealMemory", shape.mem_mib).key("AllocMem", node.mem_used_mib);
  w.key("FreeMem", node.responding ? std::to_string(node.free_mib) : std::string("N/A"));
  w.key("Sockets", shape.sockets).key("Boards", shape.boards).line();
  w.key("State", node_state_long(node))
      .key("ThreadsPerCore", shape.threads_per_core)
      .key("TmpDisk", shape.tmp_mib);
  w.key("Weight", node.weight).key("Owner", "N/A").key("MCS_label", "N/A").line();
  const std::string in = partitions_of(node, partitions);
  if (!in.empty()) w.key("Partitions", in + " ").line();
  w.time("BootTime", node.boot, "None").time("SlurmdStartTime", node.agent_started, "None").line();
  w.time("LastBusyTime", node.last_busy, "Unknown").line();
  w.key("CfgTRES", tres(shape.cpus, shape.mem_mib, 0)).line();
  w.key("AllocTRES", node.cpus_used
                         ? "cpu=" + std::to_string(node.cpus_used) +
                               (node.mem_used_mib ? ",mem=" + format_memory(node.mem_used_mib) : "")
                         : "")
      .line();
  w.key("CapWatts", "n/a").line();
  w.key("CurrentWatts", "0").key("AveWatts", "0").line();
  w.key("ExtSensorsJoules", "n/s").key("ExtSensorsWatts", "0").key("ExtSensorsTemp", "n/s");
  if (!node.reason.empty()) {
    std::string reason = node.reason.str();
    if (node.reason_at.is_set())
      // Without a user database here, root is the one name that is known.
      reason += " [" + (node.reason_uid == 0 ? "root" : std::to_string(node.reason_uid)) + "@" +
                format_timestamp(node.reason_at) + "]";
    w.line().key("Reason", reason);
  }
  w.end();
}

void show_partition(std::string& out, const Partition& partition, bool one_line, std::uint64_t mem_mib) {
  RecordWriter w(out, one_line);
  w.key("PartitionName", partition.name.view()).line();
  w.key("AllowGroups", listed(partition.allow_groups, "ALL"));
  if (!partition.deny_accounts.empty())
    w.key("DenyAccounts", listed(partition.deny_accounts, ""));
  else
    w.key("AllowAccounts", listed(partition.allow_accounts, "ALL"));
  w.key("AllowQos", "ALL").line();
  w.key("AllocNodes", "ALL").key("Default", yes(partition.is_default)).key("QoS", "N/A").line();
  w.key("DefaultTime", partition.default_time == 0 ? "NONE" : format_duration_full(partition.default_time));
  w.key("DisableRootJobs", "NO")
      .key("ExclusiveUser", yes(partition.exclusive_user))
      .key("GraceTime", std::to_string(partition.grace_time));
  w.key("Hidden", yes(partition.hidden)).line();
  w.key("MaxNodes", limit(partition.max_nodes)).key("MaxTime", format_duration_full(partition.max_time));
  w.key("MinNodes", partition.min_nodes).key("LLN", "NO").key("MaxCPUsPerNode", "UNLIMITED").line();
  std::vector<std::string> names;
  for (const auto& name : partition.nodes) names.push_back(name.str());
  w.null_key("Nodes", compress_hostlist_sorted(std::move(names))).line();
  w.key("PriorityJobFactor", partition.priority_job_factor).key("PriorityTier", partition.priority_tier);
  w.key("RootOnly", yes(partition.root_only)).key("ReqResv", "NO");
  w.key("OverSubscribe", partition.oversubscribe_exclusive ? "EXCLUSIVE" : "NO").line();
  w.key("OverTimeLimit", "NONE").key("PreemptMode", "OFF").line();
  w.key("State", name(partition.state))
      .key("TotalCPUs", partition.total_cpus)
      .key("TotalNodes", partition.nodes.size());
  w.key("SelectTypeParameters", "NONE").line();
  w.key("JobDefaults", "(null)").line();
  auto memory = [](std::uint64_t mib) { return mib ? std::to_string(mib) : std::string("UNLIMITED"); };
  if (partition.default_mem_per_cpu_mib)
    w.key("DefMemPerCPU", partition.default_mem_per_cpu_mib);
  else
    w.key("DefMemPerNode", memory(partition.default_mem_per_node_mib));
  w.key("MaxMemPerNode", memory(partition.max_mem_per_node_mib)).line();
  w.key("TRES", tres(partition.total_cpus, mem_mib, static_cast<std::uint32_t>(partition.nodes.size())));
  w.end();
}

void put_node_json(JsonWriter& json, const Node& node, const std::vector<Partition>& partitions) {
  auto number = [&](std::string_view key, std::uint64_t value) {
    json.field(key, static_cast<std::int64_t>(value));
  };
  json.begin_object();
  json.field("name", node.name.view())
      .field("address", node.address.view())
      .field("state", node_state_long(node));
  json.field("condition", name(node.condition)).flag("responding", node.responding).flag("drain", node.drain);
  if (!node.reason.empty()) {
    json.field("reason", node.reason.view());
    number("reason_uid", node.reason_uid);
    json.time("reason_at", node.reason_at);
  }
  number("cpus", node.declared.cpus);
  number("cpus_used", node.cpus_used);
  number("sockets", node.declared.sockets);
  number("cores_per_socket", node.declared.cores_per_socket);
  number("threads_per_core", node.declared.threads_per_core);
  number("mem_mib", node.declared.mem_mib);
  number("mem_used_mib", node.mem_used_mib);
  number("free_mib", node.free_mib);
  number("tmp_mib", node.declared.tmp_mib);
  number("found_cpus", node.found.cpus);
  number("found_mem_mib", node.found.mem_mib);
  number("weight", node.weight);
  number("jobs", node.jobs);
  number("load_percent", node.load_percent);
  json.key("features").begin_array();
  for (const auto& feature : node.features) json.string(feature);
  json.end_array();
  put_devices_json(json, node);
  json.key("partitions").begin_array();
  const std::string in = partitions_of(node, partitions);
  for (auto partition : split_list(in)) json.string(partition);
  json.end_array();
  json.field("os", node.os.view()).field("arch", node.arch.view()).field("version", node.version.view());
  json.flag("enforces_limits", node.not_enforced.empty());
  if (!node.not_enforced.empty()) json.field("not_enforced", node.not_enforced.view());
  json.time("boot_at", node.boot)
      .time("agent_started_at", node.agent_started)
      .time("last_heard_at", node.last_heard);
  json.end_object();
}

void put_partition_json(JsonWriter& json, const Partition& partition) {
  auto number = [&](std::string_view key, std::uint64_t value) {
    json.field(key, static_cast<std::int64_t>(value));
  };
  json.begin_object();
  json.field("name", partition.name.view())
      .field("state", name(partition.state))
      .flag("default", partition.is_default);
  json.flag("hidden", partition.hidden)
      .flag("root_only", partition.root_only)
      .flag("overridden", partition.overridden);
  json.field("nodes", partition.nodes_text.view());
  number("node_count", partition.nodes.size());
  number("cpus", partition.total_cpus);
  json.duration("max_time_s", partition.max_time);
  if (partition.default_time) json.duration("default_time_s", partition.default_time);
  number("min_nodes", partition.min_nodes);
  if (partition.max_nodes) number("max_nodes", partition.max_nodes);
  number("priority_tier", partition.priority_tier);
  number("priority_job_factor", partition.priority_job_factor);
  if (partition.default_mem_per_cpu_mib) number("default_mem_per_cpu_mib", partition.default_mem_per_cpu_mib);
  if (partition.default_mem_per_node_mib)
    number("default_mem_per_node_mib", partition.default_mem_per_node_mib);
  if (partition.max_mem_per_node_mib) number("max_mem_per_node_mib", partition.max_mem_per_node_mib);
  json.end_object();
}

}  // namespace bai::cli
