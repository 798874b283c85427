// The keys of NodeName and PartitionName lines.
#include "base/hostlist.h"
#include "base/text.h"
#include "base/time.h"
#include "base/units.h"
#include "model/config_keys.h"

namespace bai {
namespace {

namespace cv = config_value;
using Text = std::string_view;

constexpr std::size_t kMaxFeatures = 256;  // each node of a line has its list

Status bad(Text value, const char* what, std::string remedy) {
  return Error{"bad_config", quote(value) + " " + what, "", std::move(remedy)};
}

KeyRow<NodeLine> shape_number(ConfigKey key, std::uint32_t NodeShape::*member, std::uint64_t max) {
  const bool cpus = member == &NodeShape::cpus;
  return {std::move(key),
          [=](NodeLine& line, Text value) -> Status {
            auto parsed = cv::number(value, 1, max);
            if (!parsed) return parsed.error();
            line.node.shape.*member = static_cast<std::uint32_t>(*parsed);
            (cpus ? line.cpus_given : line.topology_given) = true;
            return {};
          },
          [=](const NodeLine& line) { return std::to_string(line.node.shape.*member); }};
}

KeyRow<NodeLine> shape_memory(ConfigKey key, std::uint64_t NodeShape::*member) {
  return {std::move(key),
          [=](NodeLine& line, Text value) -> Status {
            auto parsed = cv::memory(value);
            if (!parsed) return parsed.error();
            line.node.shape.*member = *parsed;
            return {};
          },
          [=](const NodeLine& line) { return std::to_string(line.node.shape.*member); }};
}

KeyRow<NodeLine> names(ConfigKey key, std::string NodeLine::*member, Istr ConfigNode::*shown) {
  return {std::move(key),
          [=](NodeLine& line, Text value) -> Status {
            if (has_control(value)) return bad(value, "is no name", "");
            line.*member = value;
            return {};
          },
          [=](const NodeLine& line) { return (line.node.*shown).str(); }};
}

Status set_features(NodeLine& line, Text value) {
  line.node.features.clear();
  for (auto feature : split_list(value)) {
    if (feature.find_first_of("&|()[]*: \t\"'") != feature.npos || has_control(feature) ||
        feature.size() > 255)
      return bad(feature, "is no feature", "use letters, digits, - and _");
    if (line.node.features.size() == kMaxFeatures)
      return bad(feature, "is one feature too many", "a node has at most " + std::to_string(kMaxFeatures));
    line.node.features.emplace_back(feature);
  }
  return {};
}

Status set_node_state(NodeLine& line, Text value) {
  line.node.drain = false;
  if (iequals(value, "unknown") || iequals(value, "idle")) {
    line.node.condition = NodeCondition::kUnknown;
  } else if (iequals(value, "down")) {
    line.node.condition = NodeCondition::kDown;
  } else if (iequals(value, "future")) {
    line.node.condition = NodeCondition::kFuture;
  } else if (iequals(value, "drain") || iequals(value, "drained")) {
    line.node.condition = NodeCondition::kUnknown;
    line.node.drain = true;
  } else {
    return bad(value, "is no state of a node", "one of: UNKNOWN, DOWN, DRAIN, FUTURE");
  }
  return {};
}

std::string show_node_state(const NodeLine& line) {
  if (line.node.drain) return "DRAIN";
  return std::string(name(line.node.condition));
}

Status set_gres(NodeLine& line, Text value) {
  auto groups = parse_device_groups(value);
  if (!groups)
    return bad(value, ("is no list of devices: " + groups.error().message).c_str(), groups.error().remedy);
  line.node.shape.devices = *std::move(groups);
  return {};
}

KeyRow<Partition> number(ConfigKey key, std::uint32_t Partition::*member, std::uint64_t min,
                         std::uint64_t max, bool unlimited = false) {
  return {std::move(key),
          [=](Partition& p, Text value) -> Status {
            if (unlimited && (iequals(value, "unlimited") || iequals(value, "infinite"))) {
              p.*member = 0;
              return {};
            }
            auto parsed = cv::number(value, min, max);
            if (!parsed) return parsed.error();
            p.*member = static_cast<std::uint32_t>(*parsed);
            return {};
          },
          [=](const Partition& p) {
            return unlimited && p.*member == 0 ? "UNLIMITED" : std::to_string(p.*member);
          }};
}

KeyRow<Partition> memory(ConfigKey key, std::uint64_t Partition::*member) {
  return {std::move(key),
          [=](Partition& p, Text value) -> Status {
            auto parsed = cv::memory(value);
            if (!parsed) return parsed.error();
            p.*member = *parsed;
            return {};
          },
          [=](const Partition& p) { return p.*member ? std::to_string(p.*member) : "UNLIMITED"; }};
}

KeyRow<Partition> flag(ConfigKey key, bool Partition::*member) {
  return {std::move(key),
          [=](Partition& p, Text value) -> Status {
            auto parsed = cv::yes_no(value);
            if (!parsed) return parsed.error();
            p.*member = *parsed;
            return {};
          },
          [=](const Partition& p) { return cv::yes(p.*member); }};
}

KeyRow<Partition> name_list(ConfigKey key, std::vector<Istr> Partition::*member, const char* when_empty) {
  return {std::move(key),
          [=](Partition& p, Text value) -> Status {
            if (has_control(value)) return bad(value, "is no list of names", "");
            p.*member = cv::names_or_all(value);
            return {};
          },
          [=](const Partition& p) { return cv::show_names(p.*member, when_empty); }};
}

// `zero` is what 0 stands for in Partition.
KeyRow<Partition> limit(ConfigKey key, Seconds Partition::*member, const char* zero) {
  return {std::move(key),
          [=](Partition& p, Text value) -> Status {
            auto parsed = parse_time_limit(value);
            if (!parsed) return parsed.error();
            if (*parsed == 0)
              return bad(value, "allows no job to run", "give minutes, D-HH:MM:SS, or UNLIMITED");
            p.*member = *parsed;
            return {};
          },
          [=](const Partition& p) { return p.*member == 0 ? zero : format_duration_full(p.*member); }};
}

Status set_partition_state(Partition& p, Text value) {
  auto state = parse_partition_state(value);
  if (!state) return bad(value, "is no state of a partition", "one of: UP, DOWN, DRAIN, INACTIVE");
  p.state = *state;
  return {};
}

Status set_oversubscribe(Partition& p, Text value) {
  const auto word = value.substr(0, value.find(':'));
  p.oversubscribe_exclusive = iequals(word, "exclusive");
  if (p.oversubscribe_exclusive || iequals(word, "no")) return {};
  return bad(value, "is not supported", "CPUs are never shared: write NO or EXCLUSIVE");
}

Status set_policy(Partition& p, Text value) {
  auto policy = parse_scheduling_policy(value);
  if (!policy) return bad(value, "is no policy", "one of: default, fcfs, easy, easy-sjbf, conservative");
  p.scheduling.policy = *policy;
  return {};
}

Status set_prediction(Partition& p, Text value) {
  if (iequals(value, "policy")) {
    p.scheduling.prediction = Prediction::kPolicy;
    return {};
  }
  auto on = cv::yes_no(value);
  if (!on) return bad(value, "is not known", "one of: policy, yes, no");
  p.scheduling.prediction = *on ? Prediction::kOn : Prediction::kOff;
  return {};
}

std::string show_prediction(const Partition& p) {
  return p.scheduling.prediction == Prediction::kPolicy ? "policy"
                                                        : cv::yes(p.scheduling.prediction == Prediction::kOn);
}

Status set_placement(Partition& p, Text value) {
  const auto placement = parse_placement(value);
  if (!placement)
    return bad(value, "is no placement", "one of: " + join(placement_names(), ", ") + ", plugin:NAME");
  p.scheduling.placement = *placement;
  return {};
}

KeyRow<Partition> planned(ConfigKey key, std::uint32_t PartitionScheduling::*member) {
  return {
      std::move(key),
      [=](Partition& p, Text value) -> Status {
        auto parsed = cv::number(value, 0, 1'000'000);
        if (!parsed) return parsed.error();
        p.scheduling.*member = static_cast<std::uint32_t>(*parsed);
        return {};
      },
      [=](const Partition& p) { return p.scheduling.*member ? std::to_string(p.scheduling.*member) : ""; }};
}

KeyRow<Switch> switch_members(ConfigKey key, std::vector<Istr> Switch::*member) {
  return {std::move(key),
          [=](Switch& s, Text value) -> Status {
            auto names = expand_hostlist(value, kMaxHosts);
            if (!names) return names.error();
            (s.*member).assign(names->begin(), names->end());
            return {};
          },
          [=](const Switch& s) {
            std::vector<std::string> names;
            for (const auto& name : s.*member) names.push_back(name.str());
            return compress_hostlist(names);
          }};
}

Status set_priority(Partition& p, Text value) {
  auto parsed = cv::number(value, 0, 65533);
  if (!parsed) return parsed.error();
  p.priority_tier = p.priority_job_factor = static_cast<std::uint32_t>(*parsed);
  return {};
}

}  // namespace

const std::vector<KeyRow<NodeLine>>& node_rows() {
  static const std::vector<KeyRow<NodeLine>> rows = {
      {{"NodeName", {}, "a host list, or DEFAULT for the lines below"},
       [](NodeLine&, Text) -> Status { return {}; },
       [](const NodeLine& line) { return line.node.name.str(); }},
      names({"NodeHostname", {}, "the host's own name, if not NodeName"}, &NodeLine::hostnames,
            &ConfigNode::hostname),
      names({"NodeAddr", {}, "a name or address to reach it by, if not NodeHostname"}, &NodeLine::addresses,
            &ConfigNode::address),
      shape_number({"CPUs", {"Procs"}, "processors for jobs; what the agent finds if not said"},
                   &NodeShape::cpus, 65533),
      shape_number({"Boards", {}, "boards"}, &NodeShape::boards, 1024),
      shape_number({"Sockets", {"SocketsPerBoard"}, "sockets"}, &NodeShape::sockets, 1024),
      shape_number({"CoresPerSocket", {}, "cores of a socket"}, &NodeShape::cores_per_socket, 4096),
      shape_number({"ThreadsPerCore", {}, "hardware threads of a core"}, &NodeShape::threads_per_core, 64),
      shape_memory({"RealMemory", {}, "MiB for jobs; what the agent finds if not said"}, &NodeShape::mem_mib),
      shape_memory({"TmpDisk", {}, "MiB of temporary disk"}, &NodeShape::tmp_mib),
      {{"Features", {"Feature"}, "words that jobs may ask for with -C"},
       set_features,
       [](const NodeLine& line) { return join(line.node.features, ","); }},
      {{"Gres", {}, "devices: KIND[:TYPE]:COUNT,... as gpu:a100:4"},
       set_gres,
       [](const NodeLine& line) { return format_device_groups(line.node.shape.devices); }},
      {{"Weight", {}, "nodes with the smallest are used first"},
       [](NodeLine& line, Text value) -> Status {
         auto parsed = cv::number(value, 0, 0xfffffffd);
         if (!parsed) return parsed.error();
         line.node.weight = static_cast<std::uint32_t>(*parsed);
         return {};
       },
       [](const NodeLine& line) { return std::to_string(line.node.weight); }},
      {{"State", {}, "UNKNOWN, DOWN, DRAIN or FUTURE"}, set_node_state, show_node_state},
      {{"Reason", {}, "why it is down or drained"},
       [](NodeLine& line, Text value) -> Status {
         if (has_control(value) || value.size() > 1024) return bad(value, "is no reason", "");
         line.node.reason = Istr(value);
         return {};
       },
       [](const NodeLine& line) { return line.node.reason.str(); }},
  };
  return rows;
}

const std::vector<KeyRow<Partition>>& partition_rows() {
  static const std::vector<KeyRow<Partition>> rows = {
      {{"PartitionName", {}, "a name, or DEFAULT for the lines below"},
       [](Partition&, Text) -> Status { return {}; },
       [](const Partition& p) { return p.name.str(); }},
      {{"Nodes", {}, "a host list, or ALL"},
       [](Partition& p, Text value) -> Status {
         p.nodes_text = Istr(value);
         return {};
       },
       [](const Partition& p) { return p.nodes_text.str(); }},
      flag({"Default", {}, "whether jobs go here that name no partition"}, &Partition::is_default),
      limit({"MaxTime", {}, "longest time limit"}, &Partition::max_time, "UNLIMITED"),
      limit({"DefaultTime", {}, "time limit of jobs that give none; MaxTime if not set"},
            &Partition::default_time, "NONE"),
      {{"GraceTime", {}, "seconds from the notice to SIGTERM, of jobs that are requeued"},
       [](Partition& p, Text value) -> Status {
         auto seconds = cv::seconds(value, 0, 7 * 86'400, false);
         if (!seconds) return seconds.error();
         p.grace_time = *seconds;
         return {};
       },
       [](const Partition& p) { return std::to_string(p.grace_time); }},
      number({"MinNodes", {}, "fewest nodes of a job"}, &Partition::min_nodes, 0, kMaxHosts),
      number({"MaxNodes", {}, "most nodes of a job"}, &Partition::max_nodes, 1, kMaxHosts, true),
      {{"State", {}, "UP, DOWN, DRAIN or INACTIVE"},
       set_partition_state,
       [](const Partition& p) { return std::string(name(p.state)); }},
      number({"PriorityTier", {}, "jobs of a higher tier come first"}, &Partition::priority_tier, 0, 65533),
      number({"PriorityJobFactor", {}, "the partition's part in a job's priority"},
             &Partition::priority_job_factor, 0, 65533),
      {{"Priority", {}, "PriorityTier and PriorityJobFactor in one"},
       set_priority,
       [](const Partition&) { return std::string(); }},
      {{"SchedulingPolicy", {}, "default, fcfs, easy, easy-sjbf or conservative"},
       set_policy,
       [](const Partition& p) { return std::string(name(p.scheduling.policy)); }},
      {{"Prediction", {}, "whether run times are predicted: policy, yes or no"},
       set_prediction,
       show_prediction},
      planned({"PlannedStarts",
               {},
               "how many waiting jobs get exact planned starts; as for the cluster if not set"},
              &PartitionScheduling::planned_starts),
      planned({"PlannedStartsPerUser", {}, "and of one user at most; any number if not set"},
              &PartitionScheduling::planned_starts_per_user),
      {{"Placement",
        {},
        "which nodes are taken: concentrated, dispersed, roundrobin, topology, fragmentation or plugin:NAME"},
       set_placement,
       [](const Partition& p) {
         return p.scheduling.placement.empty() ? "concentrated" : p.scheduling.placement.str();
       }},
      flag({"Hidden", {}, "whether it is left out of listings"}, &Partition::hidden),
      flag({"RootOnly", {}, "whether root alone may submit here"}, &Partition::root_only),
      flag({"ExclusiveUser", {}, "whether a node serves one user at a time"}, &Partition::exclusive_user),
      {{"OverSubscribe", {"Shared"}, "NO, or EXCLUSIVE for whole nodes"},
       set_oversubscribe,
       [](const Partition& p) { return std::string(p.oversubscribe_exclusive ? "EXCLUSIVE" : "NO"); }},
      memory({"DefMemPerCPU", {}, "MiB for each CPU of a job that does not say"},
             &Partition::default_mem_per_cpu_mib),
      memory({"DefMemPerNode", {}, "MiB on each node for a job that does not say"},
             &Partition::default_mem_per_node_mib),
      memory({"MaxMemPerNode", {}, "most MiB that a job may ask for on a node"},
             &Partition::max_mem_per_node_mib),
      name_list({"AllowAccounts", {}, "accounts that may use it; ALL"}, &Partition::allow_accounts, "ALL"),
      name_list({"DenyAccounts", {}, "accounts that may not use it"}, &Partition::deny_accounts, ""),
      name_list({"AllowGroups", {}, "groups that may use it; ALL"}, &Partition::allow_groups, "ALL"),
  };
  return rows;
}

const std::vector<KeyRow<Switch>>& switch_rows() {
  static const std::vector<KeyRow<Switch>> rows = {
      {{"SwitchName", {}, "a switch's name"},
       [](Switch&, Text) -> Status { return {}; },
       [](const Switch& s) { return s.name.str(); }},
      switch_members({"Nodes", {}, "a leaf's nodes, a host list"}, &Switch::nodes),
      switch_members({"Switches", {}, "the switches below it, a host list"}, &Switch::switches),
  };
  return rows;
}

}  // namespace bai
