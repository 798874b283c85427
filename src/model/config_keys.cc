#include "model/config_keys.h"

#include <algorithm>
#include <charconv>

#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"
#include "model/devices.h"

namespace bai {
namespace config_value {

Result<bool> yes_no(std::string_view value) {
  for (auto word : {"yes", "true", "1", "up", "on"})
    if (iequals(value, word)) return true;
  for (auto word : {"no", "false", "0", "down", "off"})
    if (iequals(value, word)) return false;
  return Error{"bad_config", quote(value) + " is neither yes nor no", "", "write yes or no"};
}

Result<std::uint64_t> number(std::string_view value, std::uint64_t min, std::uint64_t max) {
  auto parsed = parse_count(value, static_cast<std::int64_t>(min), static_cast<std::int64_t>(max));
  if (!parsed) return parsed.error();
  return static_cast<std::uint64_t>(*parsed);
}

Result<Seconds> seconds(std::string_view value, Seconds min, Seconds max, bool unlimited) {
  if (unlimited && (iequals(value, "unlimited") || iequals(value, "infinite") || iequals(value, "none")))
    return kUnlimited;
  auto parsed = parse_int(value, min, max);
  if (!parsed) return parsed.error();
  return static_cast<Seconds>(*parsed);
}

Result<std::uint64_t> memory(std::string_view value) {
  if (iequals(value, "unlimited") || iequals(value, "infinite")) return std::uint64_t{0};
  return parse_memory_mib(value, ZeroMemory::kAllowed);
}

Result<std::string> path(std::string_view value) {
  if (value.empty() || value[0] != '/')
    return Error{"bad_config", quote(value) + " is not an absolute path", "", "begin it with /"};
  if (value.size() > 1024 || has_control(value))
    return Error{"bad_config", quote(value) + " is no usable path"};
  return std::string(value);
}

std::vector<Istr> names_or_all(std::string_view value) {
  std::vector<Istr> out;
  if (iequals(trim(value), "all")) return out;
  for (auto part : split_list(value)) out.emplace_back(part);
  return out;
}

std::string show_names(const std::vector<Istr>& names, std::string_view when_empty) {
  if (names.empty()) return std::string(when_empty);
  std::string out;
  for (const auto& name : names) {
    if (!out.empty()) out += ',';
    out += name.view();
  }
  return out;
}

std::string yes(bool value) { return value ? "YES" : "NO"; }

}  // namespace config_value

namespace {

using Row = KeyRow<ClusterConfig>;
using Config = ClusterConfig;
namespace cv = config_value;

// Row makers, one for each kind of value. C is the struct that the member belongs to (ClientConfig or ClusterConfig).
template <class C>
Row text(ConfigKey key, std::string C::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            if (value.size() > 4096 || has_control(value))
              return Error{"bad_config", quote(value) + " is no usable text"};
            c.*member = value;
            return {};
          },
          [member](const Config& c) { return c.*member; }};
}

template <class C>
Row path(ConfigKey key, std::string C::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            auto parsed = cv::path(value);
            if (!parsed) return parsed.error();
            c.*member = *std::move(parsed);
            return {};
          },
          [member](const Config& c) { return c.*member; }};
}

// Empty: "none".
template <class C>
Row path_or_none(ConfigKey key, std::string C::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            auto parsed = iequals(value, "none") ? Result<std::string>(std::string()) : cv::path(value);
            if (!parsed) return parsed.error();
            c.*member = *std::move(parsed);
            return {};
          },
          [member](const Config& c) { return (c.*member).empty() ? std::string("none") : c.*member; }};
}

template <class C>
Row duration(ConfigKey key, Seconds C::*member, Seconds min, Seconds max, bool unlimited = false) {
  return {std::move(key),
          [=](Config& c, std::string_view value) -> Status {
            auto parsed = cv::seconds(value, min, max, unlimited);
            if (!parsed) return parsed.error();
            c.*member = *parsed;
            return {};
          },
          [member](const Config& c) {
            return c.*member == kUnlimited ? "UNLIMITED" : std::to_string(c.*member) + " sec";
          }};
}

template <class C, class N>
Row number(ConfigKey key, N C::*member, std::uint64_t min, std::uint64_t max) {
  return {std::move(key),
          [=](Config& c, std::string_view value) -> Status {
            auto parsed = cv::number(value, min, max);
            if (!parsed) return parsed.error();
            c.*member = static_cast<N>(*parsed);
            return {};
          },
          [member](const Config& c) { return std::to_string(c.*member); }};
}

Row memory(ConfigKey key, std::uint64_t Config::*member) {
  return {std::move(key),
          [=](Config& c, std::string_view value) -> Status {
            auto parsed = cv::memory(value);
            if (!parsed) return parsed.error();
            c.*member = *parsed;
            return {};
          },
          [member](const Config& c) { return c.*member ? std::to_string(c.*member) : "UNLIMITED"; }};
}

Row flag(ConfigKey key, bool Config::*member) {
  return {std::move(key),
          [=](Config& c, std::string_view value) -> Status {
            auto parsed = cv::yes_no(value);
            if (!parsed) return parsed.error();
            c.*member = *parsed;
            return {};
          },
          [member](const Config& c) { return c.*member ? "1" : "0"; }};
}

// The words are indices into the enum (or the integer) behind `member`.
template <class E>
Row choice(ConfigKey key, E Config::*member, const std::vector<std::string_view>& words) {
  return {
      std::move(key),
      [=](Config& c, std::string_view value) -> Status {
        for (std::size_t i = 0; i < words.size(); ++i)
          if (iequals(value, words[i])) {
            c.*member = static_cast<E>(i);
            return {};
          }
        return Error{"bad_config", quote(value) + " is unknown", "", "one of: " + join(words, ", ")};
      },
      [member, words](const Config& c) { return std::string(words[static_cast<std::size_t>(c.*member)]); }};
}

Row log_level(ConfigKey key, std::string Config::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            // Slurm's words by number, and our own.
            static constexpr std::string_view kWords[] = {"quiet", "fatal",   "error",  "info",   "verbose",
                                                          "debug", "debug2",  "debug3", "debug4", "debug5",
                                                          "trace", "warning", "off"};
            for (std::size_t i = 0; i < std::size(kWords); ++i)
              if (iequals(value, kWords[i]) || (i < 10 && value == std::to_string(i))) {
                c.*member = kWords[i];
                return {};
              }
            return Error{"bad_config", quote(value) + " is no log level", "",
                         "one of: quiet, error, info, verbose, debug"};
          },
          [member](const Config& c) { return c.*member; }};
}

Status set_cluster_name(Config& c, std::string_view value) {
  if (!is_host_name(value) || value.size() > 63)
    return Error{"bad_config", quote(value) + " is no cluster name", "", "use letters, digits, - and _"};
  c.cluster_name = value;
  return {};
}

Status set_cluster_id(Config& c, std::string_view value) {
  auto id = Uuid::parse(value);
  if (!id)
    return Error{"bad_config", quote(value) + " is no cluster id: " + id.error().message, "",
                 "bai-control ping --json prints it"};
  c.cluster_id = *id;
  return {};
}

Status add_host(Config& c, std::string_view value) {
  HostAddress host;
  const auto open = value.find('(');
  host.name = trim(value.substr(0, open));
  host.address = host.name;
  if (open != std::string_view::npos) {
    if (value.back() != ')')
      return Error{"bad_config", quote(value) + " lacks a closing parenthesis", "", "write NAME(ADDRESS)"};
    host.address = trim(value.substr(open + 1, value.size() - open - 2));
  }
  auto usable = [](std::string_view s) {  // a name, an IPv4 or an IPv6 address
    return !s.empty() && s.size() < 256 &&
           s.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:%") ==
               s.npos;
  };
  if (!is_host_name(host.name) || !usable(host.address))
    return Error{"bad_config", quote(value) + " is no host", "", "write NAME or NAME(ADDRESS)"};
  c.ctld_hosts.push_back(std::move(host));
  return {};
}

std::string show_hosts(const Config& c) {
  std::string out;
  for (const auto& host : c.ctld_hosts) {
    if (!out.empty()) out += ',';
    out += host.name;
    if (host.address != host.name) out += '(' + host.address + ')';
  }
  return out;
}

// A path, or AuthInfo's list with socket=PATH in it.
Status set_munge_socket(Config& c, std::string_view value) {
  if (!value.empty() && value[0] != '/' && value.find('=') != value.npos) {
    for (auto part : split_list(value))
      if (istarts_with(part, "socket=")) return set_munge_socket(c, part.substr(7));
    return {};
  }
  auto parsed = cv::path(value);
  if (!parsed) return parsed.error();
  if (parsed->size() > 107) return Error{"bad_config", "the path of a socket has at most 107 bytes"};
  c.munge_socket = *std::move(parsed);
  return {};
}

Status set_licenses(Config& c, std::string_view value) {
  c.licenses.clear();
  for (auto part : split_list(value)) {
    const auto colon = part.find_first_of(":=");
    const auto name = trim(part.substr(0, colon));
    std::uint64_t count = 1;
    if (colon != part.npos) {
      auto parsed = cv::number(trim(part.substr(colon + 1)), 0, 0xfffffffd);
      if (!parsed) return parsed.error();
      count = *parsed;
    }
    if (!is_host_name(name))
      return Error{"bad_config", quote(part) + " is no licence", "", "write NAME:COUNT,..."};
    if (!c.licenses.emplace(name, static_cast<std::uint32_t>(count)).second)
      return Error{"bad_config", "licence " + quote(name) + " is given twice"};
  }
  return {};
}

std::string show_licenses(const Config& c) {
  std::string out;
  for (const auto& [name, count] : c.licenses)
    out += (out.empty() ? "" : ",") + name + ":" + std::to_string(count);
  return out;
}

Status set_scheduler_parameters(Config& c, std::string_view value) {
  c.scheduler_parameters.clear();
  for (auto part : split_list(value)) {
    const auto equals = part.find('=');
    const auto word = equals == part.npos ? std::string_view() : part.substr(equals + 1);
    c.scheduler_parameters[std::string(trim(part.substr(0, equals)))] = trim(word);
  }
  c.kill_invalid_depend = c.scheduler_parameters.contains("kill_invalid_depend");
  if (auto it = c.scheduler_parameters.find("bf_interval"); it != c.scheduler_parameters.end()) {
    auto interval = cv::seconds(it->second, 0, 10 * 3600, false);
    if (!interval) return interval.error();
    c.scheduling.backfill_interval = *interval;
  }
  return {};
}

Status set_backfill_interval(Config& c, std::string_view value) {
  auto interval = cv::seconds(value, 0, 10 * 3600, false);
  if (!interval) return interval.error();
  c.scheduling.backfill_interval = *interval;
  return {};
}

Status set_planned_starts(Config& c, std::string_view value) {
  auto count = cv::number(value, 0, 1'000'000);
  if (!count) return count.error();
  c.scheduling.planned_starts = static_cast<std::uint32_t>(*count);
  return {};
}

Status set_device_quantum(Config& c, std::string_view value) {
  auto share = parse_device_amount(value);
  if (!share || *share == 0 || kWholeDevice % *share != 0)
    return Error{"bad_config", quote(value) + " is no quantum", "",
                 "give what divides 1, as 0.01, 0.05 or 1"};
  c.scheduling.device_quantum = static_cast<std::uint32_t>(*share);
  return {};
}

// An agent knows whether its node has jobs, not whether they fill it: ALLOC and MIXED are the same here.
Status set_device_names(std::vector<std::string>& out, std::string_view value, const char* what) {
  out.clear();
  if (iequals(trim(value), "none")) return {};
  for (auto word : split_list(value)) {
    if (!is_device_name(word))
      return Error{"bad_config", quote(word) + " is no " + what, "", "give names, joined by commas"};
    if (out.size() == 16) return Error{"bad_config", "there are too many names"};
    out.emplace_back(word);
  }
  return {};
}

Status set_health_check_states(Config& c, std::string_view value) {
  HealthCheckStates states{false, false, false};
  for (auto word : split_list(value)) {
    const bool any = iequals(word, "ANY"), busy = iequals(word, "ALLOC") || iequals(word, "MIXED");
    const bool idle = iequals(word, "IDLE"), cycle = iequals(word, "CYCLE");
    if (!any && !busy && !idle && !cycle)
      return Error{"bad_config", quote(word) + " is no state for it", "",
                   "ANY, IDLE, ALLOC, MIXED and CYCLE are"};
    states.idle |= any || idle;
    states.busy |= any || busy;
    states.cycle |= cycle;
  }
  if (!states.idle && !states.busy) states.idle = states.busy = true;  // CYCLE alone
  c.health_check_states = states;
  return {};
}

std::string show_health_check_states(const Config& c) {
  const auto& states = c.health_check_states;
  return std::string(states.idle && states.busy ? "ANY"
                     : states.idle              ? "IDLE"
                                                : "ALLOC,MIXED") +
         (states.cycle ? ",CYCLE" : "");
}

using Confined = ConfinementSettings;

Row confined(ConfigKey key, bool Confined::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            auto parsed = cv::yes_no(value);
            if (!parsed) return parsed.error();
            c.confinement.*member = *parsed;
            return {};
          },
          [member](const Config& c) { return cv::yes(c.confinement.*member); }};
}

Row percent(ConfigKey key, std::uint32_t Confined::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            auto parsed = cv::number(value.substr(0, value.find('.')), 0, 1'000'000);
            if (!parsed) return parsed.error();
            c.confinement.*member = static_cast<std::uint32_t>(*parsed);
            return {};
          },
          [member](const Config& c) { return std::to_string(c.confinement.*member); }};
}

Status set_max_processes(Config& c, std::string_view value) {
  auto parsed =
      iequals(value, "unlimited") ? Result<std::uint64_t>(std::uint64_t{0}) : cv::number(value, 0, 4'000'000);
  if (!parsed) return parsed.error();
  c.confinement.max_processes = static_cast<std::uint32_t>(*parsed);
  return {};
}

Status set_cpu_time(Config& c, std::string_view value) {
  if (iequals(value, "no") || iequals(value, "none"))
    c.confinement.cpu_time = CpuTime::kNone;
  else if (iequals(value, "weight"))
    c.confinement.cpu_time = CpuTime::kWeight;
  else if (iequals(value, "quota"))
    c.confinement.cpu_time = CpuTime::kQuota;
  else
    return Error{"bad_config", quote(value) + " is unknown", "", "one of: none, weight, quota"};
  return {};
}

std::string show_cpu_time(const Config& c) {
  return c.confinement.cpu_time == CpuTime::kNone     ? "none"
         : c.confinement.cpu_time == CpuTime::kWeight ? "weight"
                                                      : "quota";
}

// Slurm's task/affinity; what task/cgroup does is ConstrainCores here.
Status set_task_plugin(Config& c, std::string_view value) {
  c.confinement.bind = false;
  for (auto word : split_list(value)) {
    const auto plugin = word.substr(istarts_with(word, "task/") ? 5 : 0);
    if (!iequals(plugin, "affinity") && !iequals(plugin, "cgroup") && !iequals(plugin, "none"))
      return Error{"bad_config", quote(word) + " is unknown", "", "affinity, cgroup and none are known"};
    c.confinement.bind |= iequals(plugin, "affinity");
  }
  return {};
}

// "30", "task=30,energy=10": the part for tasks counts.
Status set_acct_gather(Config& c, std::string_view value) {
  for (auto word : split_list(value)) {
    const auto equals = word.find('=');
    if (equals != word.npos && !iequals(trim(word.substr(0, equals)), "task")) continue;
    auto parsed = cv::seconds(trim(equals == word.npos ? word : word.substr(equals + 1)), 0, 65533, false);
    if (!parsed) return parsed.error();
    c.acct_gather_interval = *parsed;
  }
  return {};
}

std::string show_scheduler_parameters(const Config& c) {
  std::string out;
  for (const auto& [name, value] : c.scheduler_parameters)
    out += (out.empty() ? "" : ",") + name + (value.empty() ? "" : "=" + value);
  return out;
}

Status set_return_to_service(Config& c, std::string_view value) {
  auto parsed = cv::number(value, 0, 2);
  if (!parsed) return parsed.error();
  c.return_to_service = static_cast<ReturnToService>(*parsed);
  return {};
}

// Slurm's other words are taken and mean nothing here: there is no preemption by policy.
Status set_preempt_parameters(Config& c, std::string_view value) {
  constexpr std::string_view kWords[] = {"min_exempt_priority", "reclaim_licenses", "reorder_count",
                                         "send_user_signal",    "strict_order",     "suspend_grace_time",
                                         "youngest_first"};
  c.preempt_send_user_signal = false;
  for (auto word : split_list(value)) {
    const auto name = word.substr(0, word.find('='));
    if (std::none_of(std::begin(kWords), std::end(kWords), [&](auto known) { return iequals(known, name); }))
      return Error{"bad_config", quote(word) + " is not a word of PreemptParameters", "",
                   "write send_user_signal"};
    if (iequals(name, "send_user_signal")) c.preempt_send_user_signal = true;
  }
  return {};
}

std::string show_user(const Config& c) { return c.bai_user + "(" + std::to_string(c.bai_uid) + ")"; }

Status set_user(Config& c, std::string_view value) {
  if (value.empty() || value.size() > 255 || has_control(value))
    return Error{"bad_config", quote(value) + " is no user"};
  c.bai_user = value;  // resolved at the end
  return {};
}

}  // namespace

std::vector<std::string> idle_scheduler_words(const ClusterConfig& config) {
  constexpr std::string_view kUsed[] = {"bf_interval", "kill_invalid_depend"};
  std::vector<std::string> out;
  for (const auto& [word, value] : config.scheduler_parameters)
    if (std::find(std::begin(kUsed), std::end(kUsed), word) == std::end(kUsed)) out.push_back(word);
  return out;
}

const std::vector<KeyRow<ClusterConfig>>& client_rows() {
  static const std::vector<Row> all = [] {
    std::vector<Row> rows = {
        {{"BaiUser", {"SlurmUser"}, "who bai-ctld runs as: a name of /etc/passwd or a uid"},
         set_user,
         show_user},
        {{"ClusterId", {}, "the cluster's identity, as bai-control ping --json prints it"},
         set_cluster_id,
         [](const Config& c) { return c.cluster_id.empty() ? std::string() : c.cluster_id.hex(); }},
        {{"ClusterName", {}, "the cluster's name"},
         set_cluster_name,
         [](const Config& c) { return c.cluster_name; }},
        {{"CtldHost", {"SlurmctldHost", "ControlMachine"}, "where bai-ctld runs: NAME or NAME(ADDRESS)"},
         add_host,
         show_hosts},
        number({"CtldPort", {"SlurmctldPort"}, "bai-ctld's TCP port"}, &Config::ctld_port, 1, 65535),
        number({"MaxScriptSize", {}, "bytes; suffixes k and m"}, &Config::max_script_size, 1024, 64u << 20),
        duration({"MessageTimeout", {}, "seconds that a command waits for an answer"},
                 &Config::message_timeout, 1, 3600),
        {{"MungeSocket", {"AuthInfo"}, "munged's socket"},
         set_munge_socket,
         [](const Config& c) { return c.munge_socket; }},
    };
    add_client_hook_rows(rows);
    return rows;
  }();
  return all;
}

const std::vector<KeyRow<ClusterConfig>>& global_rows() {
  constexpr Seconds kYear = 365 * 86400;
  static const std::vector<Row> all = [] {
    std::vector<Row> rows = {
        duration({"AgentdHeartbeat", {}, "an agent says at least this often that it lives"},
                 &Config::agentd_heartbeat, 1, 3600),
        log_level({"AgentdDebug", {"SlurmdDebug"}, "what bai-agentd logs"}, &Config::agentd_log_level),
        text({"AgentdLogFile", {"SlurmdLogFile"}, "where bai-agentd logs; standard error if not set"},
             &Config::agentd_log_file),
        duration({"AgentdLostTimeout", {}, "an agent silent for so long is lost and its jobs end"},
                 &Config::agentd_lost_timeout, 2, kYear),
        path({"AgentdPidFile", {"SlurmdPidFile"}, "bai-agentd's process id"}, &Config::agentd_pid_file),
        path_or_none({"AgentdRuntimeDir", {}, "a memory file system for the files of running steps"},
                     &Config::agentd_runtime_dir),
        path({"AgentdSpoolDir", {"SlurmdSpoolDir"}, "what bai-agentd keeps on its node"},
             &Config::agentd_spool_dir),
        duration({"AgentdTimeout", {"SlurmdTimeout"}, "an agent silent for so long gets no new jobs"},
                 &Config::agentd_timeout, 1, 65533),
        flag({"AllowRootJobs", {}, "whether this node runs jobs of root", true}, &Config::allow_root_jobs),
        log_level({"CtldDebug", {"SlurmctldDebug"}, "what bai-ctld logs"}, &Config::ctld_log_level),
        text({"CtldLogFile", {"SlurmctldLogFile"}, "where bai-ctld logs; standard error if not set"},
             &Config::ctld_log_file),
        path({"CtldPidFile", {"SlurmctldPidFile"}, "bai-ctld's process id"}, &Config::ctld_pid_file),
        duration({"CtldTimeout", {"SlurmctldTimeout"}, "an agent without its controller for so long warns"},
                 &Config::ctld_timeout, 1, 65533),
        memory({"DefMemPerCPU", {}, "MiB for each CPU of a job that does not say"},
               &Config::def_mem_per_cpu_mib),
        memory({"DefMemPerNode", {}, "MiB on each node for a job that does not say"},
               &Config::def_mem_per_node_mib),
        {{"BackfillInterval", {}, "seconds after which the whole queue is planned anew, at the latest"},
         set_backfill_interval,
         [](const Config& c) { return std::to_string(c.scheduling.backfill_interval); }},
        {{"DeviceQuantum", {}, "shares of a device are multiples of it"},
         set_device_quantum,
         [](const Config& c) { return format_amount(c.scheduling.device_quantum); }},
        {{"PlannedStarts", {}, "how many waiting jobs of a partition get exact planned starts"},
         set_planned_starts,
         [](const Config& c) { return std::to_string(c.scheduling.planned_starts); }},
        percent({"AllowedRAMSpace", {}, "percent of a job's memory that it may use", true},
                &Confined::allowed_ram_percent),
        percent({"AllowedSwapSpace", {}, "percent of a job's memory that it may use of swap beside it", true},
                &Confined::allowed_swap_percent),
        confined({"ConstrainCores", {}, "whether jobs are held to their processors by cpuset", true},
                 &Confined::cores),
        {{"ConstrainCPU", {}, "none, weight or quota: how a job's share of processor time is kept", true},
         set_cpu_time,
         show_cpu_time},
        confined({"ConstrainDevices", {}, "whether jobs are held to their devices", true},
                 &Confined::devices),
        confined({"ConstrainRAMSpace", {}, "whether jobs are held to their memory", true}, &Confined::memory),
        confined({"ConstrainSwapSpace", {}, "whether jobs are held to their swap", true}, &Confined::swap),
        {{"JobAcctGatherFrequency", {}, "seconds between looks at what a step uses; 0: at its end only"},
         set_acct_gather,
         [](const Config& c) { return std::to_string(c.acct_gather_interval); }},
        {{"MaxProcessesPerJob", {}, "processes and threads that a job may have on this node; 0: any", true},
         set_max_processes,
         [](const Config& c) { return std::to_string(c.confinement.max_processes); }},
        percent({"MaxRAMPercent", {}, "percent of the node's memory that a job may use at most", true},
                &Confined::max_ram_percent),
        percent({"MaxSwapPercent", {}, "percent of the node's memory that a job may use of swap", true},
                &Confined::max_swap_percent),
        {{"MinRAMSpace", {}, "MiB that each job may use at least", true},
         [](Config& c, std::string_view value) -> Status {
           auto parsed = cv::memory(value);
           if (!parsed) return parsed.error();
           c.confinement.min_ram_mib = *parsed;
           return {};
         },
         [](const Config& c) { return std::to_string(c.confinement.min_ram_mib); }},
        confined({"NoNewPrivileges", {}, "whether setuid programs are powerless in jobs", true},
                 &Confined::no_new_privileges),
        {{"TaskPlugin", {}, "affinity: jobs are bound to their processors; none", true},
         set_task_plugin,
         [](const Config& c) { return std::string(c.confinement.bind ? "affinity" : "none"); }},
        duration({"DeviceCheckInterval", {}, "seconds between looks at the node's devices", true},
                 &Config::device_check_interval, 1, 3600),
        path({"DeviceConfigDir", {}, "where device plugins have their files; %n is the node's name", true},
             &Config::device_config_dir),
        {{"DeviceKinds", {}, "kinds of devices that are single ones with numbers; others are counted"},
         [](Config& c, std::string_view value) -> Status {
           return set_device_names(c.device_kinds, value, "kind of devices");
         },
         [](const Config& c) { return c.device_kinds.empty() ? "none" : join(c.device_kinds, ","); }},
        path({"DevicePluginDir", {}, "where device plugins are, device_NAME.so", true},
             &Config::device_plugin_dir),
        {{"DevicePlugins",
          {},
          "NAME,... of device plugins, or none; if not set, the usual ones that are there",
          true},
         [](Config& c, std::string_view value) -> Status {
           c.device_plugins_given = true;
           return set_device_names(c.device_plugins, value, "plugin's name");
         },
         [](const Config& c) {
           return !c.device_plugins_given    ? ""
                  : c.device_plugins.empty() ? "none"
                                             : join(c.device_plugins, ",");
         }},
        path_or_none(
            {"CudaMpsControl", {}, "nvidia-cuda-mps-control, to hold jobs to their shares of a GPU", true},
            &Config::cuda_mps_control),
        choice(
            {"UnhealthyDeviceJobs", {}, "what becomes of jobs whose device fails: keep, requeue or cancel"},
            &Config::unhealthy_device_jobs, {"keep", "requeue", "cancel"}),
        flag({"DynamicNodes", {}, "whether nodes that no NodeName line names may join"},
             &Config::dynamic_nodes),
        number({"FirstJobId", {}, "the first job's number"}, &Config::first_job_id, 1, 0x03ff0000),
        duration({"HealthCheckInterval",
                  {},
                  "seconds between runs of HealthCheckProgram; 0: at the start only",
                  true},
                 &Config::health_check_interval, 0, 65533),
        {{"HealthCheckNodeState", {}, "on which nodes it runs: ANY, IDLE, ALLOC, MIXED; and CYCLE", true},
         set_health_check_states,
         show_health_check_states},
        path({"HealthCheckProgram", {}, "run on each node; it drains the node itself if it must", true},
             &Config::health_check_program),
        flag({"JobRequeue", {}, "whether jobs may be requeued that do not say"}, &Config::job_requeue),
        duration({"KillWait", {}, "seconds between SIGTERM and SIGKILL"}, &Config::kill_wait, 0, 65533),
        {{"Licenses", {}, "NAME:COUNT,... that jobs may ask for with -L"}, set_licenses, show_licenses},
        choice({"LogFormat", {}, "how daemons log: text or json"}, &Config::log_format, {"text", "json"}),
        path({"MailProg", {}, "the program that sends mail"}, &Config::mail_prog),
        number({"MaxArraySize", {}, "numbers of array tasks are below it"}, &Config::max_array_size, 0,
               4'000'001),
        number({"MaxJobCount", {}, "most jobs that bai-ctld keeps at once"}, &Config::max_job_count, 1,
               100'000'000),
        number({"MaxJobRequeue", {"MaxBatchRequeue"}, "a job requeued more often by the system is held"},
               &Config::max_job_requeue, 0, 250),
        memory({"MaxMemPerNode", {}, "most MiB that a job may ask for on a node"},
               &Config::max_mem_per_node_mib),
        duration(
            {"InactiveLimit", {}, "seconds after which an allocation ends whose client is gone; 0: never"},
            &Config::inactive_limit, 0, kYear),
        duration({"MinJobAge", {}, "seconds that an ended job stays in the queue's memory"},
                 &Config::min_job_age, 0, kYear),
        number({"MinimumUid", {}, "this node refuses jobs of smaller uids", true}, &Config::minimum_uid, 0,
               0xfffffffd),
        text({"PluginDir", {}, "where placement plugins are, DIR:DIR; the installed directory if not set"},
             &Config::plugin_dir),
        {{"PreemptParameters", {}, "send_user_signal: jobs that leave their nodes get their --signal first"},
         set_preempt_parameters,
         [](const Config& c) { return std::string(c.preempt_send_user_signal ? "send_user_signal" : ""); }},
        {{"ReturnToService",
          {},
          "0: a down node waits for an operator; 1: it returns if it was lost; 2: always"},
         set_return_to_service,
         [](const Config& c) { return std::to_string(static_cast<int>(c.return_to_service)); }},
        {{"SchedulerParameters", {}, "KEY=VALUE,... for the scheduler"},
         set_scheduler_parameters,
         show_scheduler_parameters},
        path({"SchedulerRecording",
              {},
              "a file of all that the scheduler is told and decides; none if not set"},
             &Config::scheduler_recording),
        memory({"SchedulerRecordingSize", {}, "MiB at which it ends"}, &Config::scheduler_recording_mib),
        duration({"SignatureMaxAge", {}, "this node refuses jobs whose signature is older", true},
                 &Config::signature_max_age, 60, 100 * kYear, true),
        path({"StateSaveLocation", {}, "bai-ctld's directory"}, &Config::state_save_location),
        path({"StepdPath", {}, "bai-stepd, if not beside bai-agentd", true}, &Config::stepd_path),
        text({"StoreLocation", {}, "SQLite's file, or libpq's connection string", false, true},
             &Config::store_location),
        choice({"StoreType", {}, "sqlite or postgresql"}, &Config::store_type, {"sqlite", "postgresql"}),
    };
    add_hook_rows(rows);
    rows.insert(rows.end(), client_rows().begin(), client_rows().end());
    std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.key.name < b.key.name; });
    return rows;
  }();
  return all;
}

}  // namespace bai
