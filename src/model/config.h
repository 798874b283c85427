// ClusterConfig: bai.conf understood. One table of keys (config_keys()) drives the parser, `show config` and the manual
// page's test. The grammar below it is base/config_text.h; keys, defaults and spellings are slurm.conf(5)'s where the
// meaning is the same. Pure functions over plain values, save load_* and read_user, which read files. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/config_text.h"
#include "base/istr.h"
#include "base/paths.h"
#include "base/result.h"
#include "base/time.h"
#include "model/ids.h"
#include "model/node.h"
#include "model/rlimits.h"
#include "model/scheduling.h"
#include "model/topology.h"

namespace bai {

enum class StoreType : std::uint8_t { kSqlite, kPostgresql };
enum class LogFormat : std::uint8_t { kText, kJson };
// When a node that was set down comes back by itself (Slurm's 0, 1, 2).
enum class ReturnToService : std::uint8_t { kNever, kIfLost, kAlways };

// On which nodes HealthCheckProgram runs: those without jobs, those with some; on all at once, or one after another.
struct HealthCheckStates {
  bool idle = true, busy = true, cycle = false;
  friend bool operator==(const HealthCheckStates&, const HealthCheckStates&) = default;
};

// How jobs share the time of processors that are not theirs alone.
enum class CpuTime : std::uint8_t { kNone, kWeight, kQuota };

// What jobs are held to on a node, by cgroups: Slurm's cgroup.conf(5), in percent and MiB. Each node's own.
struct ConfinementSettings {
  bool cores = false;
  bool memory = true;  // of jobs that have been given less than the node
  bool swap = false;
  bool devices = true;
  CpuTime cpu_time = CpuTime::kNone;
  std::uint32_t max_processes = 0;  // of a job; 0: any number
  std::uint32_t allowed_ram_percent = 100, max_ram_percent = 100;
  std::uint32_t allowed_swap_percent = 0, max_swap_percent = 100;
  std::uint64_t min_ram_mib = 30;
  bool bind = true;  // jobs and tasks to their processors, by affinity (TaskPlugin)
  bool no_new_privileges = false;
  std::vector<std::string> private_dirs;
  friend bool operator==(const ConfinementSettings&, const ConfinementSettings&) = default;
};

// What becomes of jobs whose device is not healthy any more.
enum class UnhealthyDeviceJobs : std::uint8_t { kKeep, kRequeue, kCancel };

// CtldHost=NAME(ADDRESS)
struct HostAddress {
  std::string name;
  std::string address;  // the name again when none was given

  friend bool operator==(const HostAddress&, const HostAddress&) = default;
};

// What a command needs: where the controller is and whom to trust as one.
struct ClientConfig {
  std::string cluster_name = "cluster";
  Uuid cluster_id;                      // empty: whatever the store says, and commands ask for it
  std::vector<HostAddress> ctld_hosts;  // the first counts
  std::uint16_t ctld_port = 6917;
  std::string bai_user = "bai";  // as written
  std::uint32_t bai_uid = 0;     // resolved
  std::string munge_socket = "/run/munge/munge.socket.2";
  Seconds message_timeout = 10;              // how long a command waits for one answer
  std::uint64_t max_script_size = 4u << 20;  // bytes
  std::string srun_prolog, srun_epilog;      // run by bai-run; empty: none
  RlimitSet propagated_limits = kAllRlimits;

  std::string ctld_endpoint() const;  // "127.0.0.1:6917", as callers dial it
};

// One node of a NodeName line. shape.cpus and shape.mem_mib are 0 when the line does not say: then what the agent finds counts.
struct ConfigNode {
  Istr name;
  Istr address;   // empty: the name
  Istr hostname;  // empty: the name
  NodeShape shape;
  std::vector<std::string> features;
  std::uint32_t weight = 1;
  NodeCondition condition = NodeCondition::kUnknown;  // State=
  bool drain = false;                                 // State=DRAIN
  Istr reason;
};

struct ClusterConfig : ClientConfig {
  // Waiting for others, seconds.
  Seconds agentd_heartbeat = 10;      // an agent says at least this often that it lives
  Seconds agentd_timeout = 40;        // silent for longer: not responding, gets no new jobs
  Seconds agentd_lost_timeout = 300;  // silent for longer: lost, its jobs end or are requeued
  Seconds ctld_timeout = 120;         // an agent without its controller says so in its log
  Seconds kill_wait = 30;             // between SIGTERM and SIGKILL
  Seconds inactive_limit = 60;        // an allocation whose client is gone ends after this long; 0: never
  Seconds min_job_age = 300;          // ended jobs stay in the queue's memory for this long

  // Files. Spool, runtime, log and pid names of agents may hold %n (node name) and %h (host name): see for_node().
  std::string state_save_location = "/var/lib/bai/ctld";
  std::string agentd_spool_dir = "/var/lib/bai/agentd";
  std::string agentd_runtime_dir = "/run/bai_agentd/%n";  // a memory file system; empty: none
  std::string ctld_log_file;                              // empty: stderr (the journal)
  std::string agentd_log_file;
  std::string ctld_log_level = "info";  // quiet fatal error info verbose debug debug2..debug5
  std::string agentd_log_level = "info";
  LogFormat log_format = LogFormat::kText;
  std::string ctld_pid_file = "/run/bai/ctld.pid";
  std::string agentd_pid_file = "/run/bai/agentd.pid";
  std::string stepd_path;  // empty: beside bai-agentd
  std::string mail_prog = "/usr/bin/mail";

  StoreType store_type = StoreType::kSqlite;
  std::string
      store_location;  // SQLite: a file (empty: bai.db in state_save_location); PostgreSQL: a conninfo; secret

  // Limits of the queue.
  std::uint32_t max_job_count = 1'000'000;
  std::uint32_t max_array_size = 100'001;  // task numbers are below it
  std::uint32_t first_job_id = 1;
  bool job_requeue = true;                // for jobs that say neither --requeue nor --no-requeue
  bool preempt_send_user_signal = false;  // a job that leaves its nodes at once gets its --signal first
  std::uint32_t max_job_requeue = 5;      // further requeues by the system leave the job held
  std::uint64_t def_mem_per_cpu_mib = 0;  // 0: none
  std::uint64_t def_mem_per_node_mib = 0;
  std::uint64_t max_mem_per_node_mib = 0;  // 0: unlimited

  // Nodes.
  ReturnToService return_to_service = ReturnToService::kIfLost;
  bool dynamic_nodes = false;         // nodes that no NodeName line names may join
  std::string health_check_program;   // local: what root runs is the node's own to say
  Seconds health_check_interval = 0;  // 0: only when the agent starts
  HealthCheckStates health_check_states;

  // The site's programs around a job (hooks.h), patterns of glob(7); each daemon has them from its own file only.
  std::vector<std::string> prolog, epilog, prolog_ctld, epilog_ctld;
  std::string task_prolog, task_epilog;  // empty: none
  Seconds prolog_epilog_timeout = 600;   // 0: none
  bool prolog_alloc = false;             // on all nodes before the job starts, not with its first step there

  // Judged by each agent from its own file only, never from what the controller sent (ConfigKey::local).
  std::uint32_t minimum_uid = 1;  // jobs of smaller uids are refused; root has its own key
  bool allow_root_jobs = false;
  Seconds signature_max_age = kUnlimited;  // of a job's signature at its launch
  ConfinementSettings confinement;
  bool security_limits = true;  // of /etc/security, for jobs

  // Device plugins: what root runs is the node's own to say.
  std::string device_plugin_dir{kPluginDir};
  std::vector<std::string> device_plugins;                             // by name
  bool device_plugins_given = false;                                   // else the usual ones that are there
  std::string device_config_dir = std::string(kConfDir) + "/devices";  // may hold %n
  Seconds device_check_interval = 30;
  std::string cuda_mps_control;  // a program; empty: none is started

  std::vector<std::string> device_kinds = {"gpu"};  // of single devices; others are counted
  UnhealthyDeviceJobs unhealthy_device_jobs = UnhealthyDeviceJobs::kKeep;

  Seconds acct_gather_interval = 30;  // between looks at what a step uses; 0: at its end only

  std::string plugin_dir{kPluginDir};  // "DIR:DIR"
  std::map<std::string, std::uint32_t> licenses;
  SchedulingSettings scheduling;
  std::vector<Switch> switches;  // SwitchName lines, in configuration order, each name once
  std::map<std::string, std::string>
      scheduler_parameters;         // kept for the scheduler; a word without '=' has an empty value
  std::string scheduler_recording;  // a file; empty: none
  std::uint64_t scheduler_recording_mib = 1024;  // at most; 0: any size
  bool kill_invalid_depend = false;              // jobs whose dependency can never be satisfied are cancelled

  std::vector<ConfigNode> nodes;  // in configuration order, each name once
  std::vector<Partition>
      partitions;  // in configuration order; nodes expanded, exactly one default if there is any

  // What agents fetch: all files in one, in canonical form, without secret and local keys; parse_config_text() reads it.
  std::string bundle;
  std::uint64_t hash = 0;  // of the bundle: equal on controller and agent when they run the same

  const ConfigNode* find_node(std::string_view name) const;  // nullptr if there is none; O(log nodes)
  const Partition* find_partition(std::string_view name) const;
  const Partition* default_partition() const;
  // `store_location`, or its default.
  std::string store_path() const;

 private:
  friend struct ConfigBuilder;
  std::vector<std::uint32_t> by_name_;  // indices into nodes, sorted by name
};

// A path or name with %n and %h replaced by the node's name (%% is %).
std::string for_node(std::string_view pattern, std::string_view node);

// How a configuration is judged; tests give another user file.
struct ConfigRules {
  std::string passwd = "/etc/passwd";
};

// The configuration that the lines say. Errors: bad_config, with FILE:LINE and the nearest known key. Known keys of Slurm's
// without a meaning here add one warning each ("FILE:LINE: ..."); `warnings` may be null.
Result<ClusterConfig> parse_config(const std::vector<ConfigLine>& lines, std::vector<std::string>* warnings,
                                   const ConfigRules& rules = {});
// Reads the file and what it includes. Errors as above, or no_config when it cannot be read.
Result<ClusterConfig> load_config(const std::string& path, std::vector<std::string>* warnings,
                                  const ConfigRules& rules = {});
// The bundle of another's ClusterConfig; `name` is what errors call it.
Result<ClusterConfig> parse_config_bundle(std::string_view bundle, const std::string& name,
                                          const ConfigRules& rules = {});
// For an agent: takes the local keys (ConfigKey::local) of its own file into what the controller sent.
void take_local_keys(ClusterConfig& into, const ClusterConfig& own);
// The few keys that a command needs; others are not judged. Made for a program that lives for a millisecond.
Result<ClientConfig> load_client_config(const std::string& path, const ConfigRules& rules = {});

// Which file: what --conf said, else BAI_CONF, else SLURM_CONF (a slurm.conf serves), else `fallback` ($(sysconfdir)/bai/bai.conf).
std::string find_config(std::string_view option, std::string_view fallback);

// The uid of a name or number. passwd(5) is read as a file: static programs have no NSS. Error: unknown_user.
Result<std::uint32_t> read_user(std::string_view name_or_uid, const std::string& passwd);

// Key and value as `scontrol show config` prints them, by key; secrets are hidden, what was not set is "(null)".
std::vector<std::pair<std::string, std::string>> describe(const ClusterConfig& config);
// What changes from `a` to `b`, a line each: "MaxJobCount: 1000 -> 2000", "node n5: added". Empty when nothing does.
std::vector<std::string> diff(const ClusterConfig& a, const ClusterConfig& b);
// The NodeName line of a node (`bai-agentd -C`, `show node`'s configuration).
std::string node_line(const ConfigNode& node);

// A key of bai.conf, for the manual page and its test.
struct ConfigKey {
  std::string_view name;
  std::vector<std::string_view> aliases;  // Slurm's spelling
  std::string_view summary;
  bool local = false;   // read from a node's own file only, not in the bundle
  bool secret = false;  // not in the bundle, hidden in describe()
};
std::vector<ConfigKey> config_keys();
std::vector<ConfigKey> node_keys();       // of NodeName lines
std::vector<ConfigKey> partition_keys();  // of PartitionName lines
std::vector<ConfigKey> switch_keys();     // of SwitchName lines
// Slurm's keys that are read and have no meaning here.
std::vector<std::string_view> ignored_keys();

}  // namespace bai
