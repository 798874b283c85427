// What bai-agentd and bai-ctld say to each other over their long-lived session. Commands to an agent are desired
// states and may be repeated; an agent's reports are repeated until the controller says "forget". Protocol version 1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/job.h"
#include "model/node.h"
#include "model/step.h"
#include "model/step_use.h"
#include "wire/messages.h"

namespace bai::wire {

// One step of one start of a job; on one node, since each has its own agent.
struct AttemptKey {
  JobId job = 0;
  Attempt attempt = 0;
  StepId step = kBatchStep;
  friend auto operator<=>(const AttemptKey&, const AttemptKey&) = default;
  template <class A>
  void serialize(A& a) {
    a(job, attempt, step);
  }
};

enum class AttemptPhase : std::uint8_t {
  kClaimed,
  kRunning,
  kEnded,
  kPreparing,  // the order is here and not claimed: it is looked at, or cannot be carried out now, as the message says
};
// How an attempt ended, beside its exit status.
enum class AttemptEnd : std::uint8_t {
  kExited,
  kSignalled,
  kTimeout,
  kDeadline,
  kCancelled,
  kLaunchFailed,  // never ran; message says why
  kShepherdLost,  // bai-stepd died, what was left was ended
  kNodeRebooted,  // the node started anew meanwhile
  kNeverStarted,  // a cancel overtook the launch, or a claim without a start
  kOutOfMemory,   // the kernel ended processes of it for want of memory
  kPreempted,     // ended for a more important job
  kPrologFailed,  // so it was not begun
};
inline constexpr AttemptEnd kLastAttemptEnd = AttemptEnd::kPrologFailed;

// Which programs the node runs around each job, as bits.
using NodeHooks = std::uint8_t;
inline constexpr NodeHooks kHasProlog = 1, kHasEpilog = 2;

struct AttemptReport {
  AttemptKey key;
  AttemptPhase phase = AttemptPhase::kClaimed;
  AttemptEnd end = AttemptEnd::kExited;
  Time started, ended;
  ExitStatus exit;
  std::string message;
  Usage usage;
  std::uint64_t suspend_generation = 0;  // of the last suspend or resume that was carried out
  template <class A>
  void serialize(A& a) {
    a(key, phase, end, started, ended, exit, message, usage, suspend_generation);
  }
};

// ---- agent to controller

struct AgentRegister {
  std::string node;
  std::string address, version, os, arch;
  Uuid boot_id;
  Time boot, agent_started;
  NodeShape found;
  bool invented = false;     // found was told by --cpus/--memory, not measured
  std::string not_enforced;  // "memory, cores: the agent is not root"
  Lineage seen;              // the highest that this node has seen; empty at first
  std::uint64_t config_hash = 0;
  std::vector<AttemptReport>
      attempts;  // everything that it knows: claimed, running, ended and not yet forgotten
  DeviceReport devices;
  NodeHooks hooks = 0;
  std::string unhealthy;  // its health check failed and nobody was told yet: why
  template <class A>
  void serialize(A& a) {
    a(node, address, version, os, arch, boot_id, boot, agent_started, found, invented, not_enforced, seen,
      config_hash, cap(attempts, 1 << 20), devices, hooks, unhealthy);
  }
};

struct AgentHeartbeat {
  std::uint32_t load_percent = 0;
  std::uint64_t free_mib = 0;
  std::uint64_t config_hash = 0;
  std::string not_enforced;  // AgentRegister's, today's
  DeviceReport devices;      // likewise
  NodeHooks hooks = 0;       // likewise
  std::string unhealthy;     // likewise
  template <class A>
  void serialize(A& a) {
    a(load_percent, free_mib, config_hash, not_enforced, devices, hooks, unhealthy);
  }
};

struct AgentAttempts {  // news of attempts; ended ones are repeated every few seconds until forgotten
  std::vector<AttemptReport> attempts;
  template <class A>
  void serialize(A& a) {
    a(cap(attempts, 1 << 20));
  }
};

// The answer to one step of a UseOrder. Said once; nobody repeats it.
struct AgentUse {
  std::uint64_t query = 0;
  AttemptKey key;
  bool running = false;  // here, as far as the agent knows; else `use` is empty
  LiveUse use;
  template <class A>
  void serialize(A& a) {
    a(query, key, running, use);
  }
};

using AgentBody = std::variant<AgentRegister, AgentHeartbeat, AgentAttempts, AgentUse>;

// ---- controller to agent

struct AgentWelcome {
  Lineage lineage;
  std::string cluster_name;
  std::uint64_t config_hash = 0;
  std::string config_text;  // whole, when the agent's hash differs
  std::uint32_t heartbeat_s = 10;
  template <class A>
  void serialize(A& a) {
    a(lineage, cluster_name, config_hash, blob(config_text, 16 << 20), heartbeat_s);
  }
};

struct AgentRefused {  // the session ends; the agent shows why and tries again later
  ErrorBody error;
  template <class A>
  void serialize(A& a) {
    a(error);
  }
};

// "This attempt should be running here." Repeating it changes nothing.
struct LaunchOrder {
  AttemptKey key;
  JobPtr job;  // with its allocation
  LaunchRecord launch;
  Seconds time_limit = 0;  // in force; kUnlimited
  std::string script;
  std::string environment;  // "K=V\0K=V\0"
  std::uint32_t cpus_on_nodes = 0;
  StepPtr step;  // null: the batch script
  StepRun run;   // with a step
  // Of the node whose shepherd this one's dials (step/peer_tree.h), where they need each other.
  std::string parent_address;
  template <class A>
  void save(A& a) const {
    a(key, *job, launch, time_limit, blob(script, kMaxScriptBytes), blob(environment, kMaxEnvironmentBytes),
      cpus_on_nodes, step != nullptr);
    if (step) a(*step, run, parent_address);
  }
  template <class A>
  void load(A& a) {
    auto record = std::make_shared<Job>();
    bool has_step = false;
    a(key, *record, launch, time_limit, blob(script, kMaxScriptBytes),
      blob(environment, kMaxEnvironmentBytes), cpus_on_nodes, has_step);
    job = std::move(record);
    if (!has_step) return;
    auto its_step = std::make_shared<Step>();
    a(*its_step, run, parent_address);
    step = std::move(its_step);
  }
};

// What an attempt gets at once that is to end after a grace.
enum class Notice : std::uint8_t {
  kNone,
  kOwnSignal,        // the signal that its --signal names, unless it had that already
  kOwnSignalOrTerm,  // that, else SIGCONT and SIGTERM to all but the batch script's own process
};

// "This attempt should end" (signal 0: SIGTERM, KillWait, SIGKILL), or get a signal once per generation.
struct SignalOrder {
  AttemptKey key;
  std::uint64_t generation = 0;  // per attempt, rising; an agent acts once on each
  std::uint16_t signal = 0;
  bool batch_only = false;
  bool now = false;  // with signal 0: SIGKILL at once
  AttemptEnd as = AttemptEnd::kCancelled;
  std::uint32_t grace_s = 0;  // with signal 0 and not `now`: it has so long before SIGTERM
  Notice notice = Notice::kNone;
  template <class A>
  void serialize(A& a) {
    a(key, generation, signal, batch_only, now, as, grace_s, at_most(notice, Notice::kOwnSignalOrTerm));
  }
};

// "This attempt should stand still", or go on: the highest generation counts. Its report says when that is done.
struct SuspendOrder {
  AttemptKey key;
  std::uint64_t generation = 0;
  bool suspended = true;
  template <class A>
  void serialize(A& a) {
    a(key, generation, suspended);
  }
};

// A further client of a running step: its shepherd dials it.
struct AttachOrder {
  AttemptKey key;
  StepClientAddress client;
  bool write = false;  // it may write to the tasks, and signal them
  template <class A>
  void serialize(A& a) {
    a(key, client, write);
  }
};

// The time limit in force; what has it already is not told again.
struct LimitOrder {
  AttemptKey key;
  Seconds time_limit = 0;  // from its start; kUnlimited
  template <class A>
  void serialize(A& a) {
    a(key, time_limit);
  }
};

// What do these steps use now? No state is wanted, so it is not repeated: who asked waits a while and goes without.
struct UseOrder {
  std::uint64_t query = 0;
  std::vector<AttemptKey> keys;
  template <class A>
  void serialize(A& a) {
    a(query, cap(keys, 65536));
  }
};

struct AgentOrders {
  Lineage lineage;
  std::vector<LaunchOrder> launches;
  std::vector<SignalOrder> signals;
  std::vector<AttemptKey> forget;  // their ends are durable: tombstones may go
  std::vector<AttachOrder> attaches;
  std::vector<UseOrder> uses;
  std::vector<SuspendOrder> suspends;
  std::vector<LimitOrder> limits;
  template <class A>
  void serialize(A& a) {
    a(lineage, cap(launches, 65536), cap(signals, 65536), cap(forget, 1 << 20), cap(attaches, 65536),
      cap(uses, 65536), cap(suspends, 65536), cap(limits, 65536));
  }
};

struct AgentConfig {
  std::uint64_t config_hash = 0;
  std::string config_text;
  template <class A>
  void serialize(A& a) {
    a(config_hash, blob(config_text, 16 << 20));
  }
};

struct AgentStop {  // bai-control shutdown: the agent leaves, steps stay
  template <class A>
  void serialize(A&) {}
};

using OrderBody = std::variant<AgentWelcome, AgentRefused, AgentOrders, AgentConfig, AgentStop>;

std::string encode_agent(const AgentBody& body);
Result<AgentBody> decode_agent(std::string_view bytes);
std::string encode_order(const OrderBody& body);
Result<OrderBody> decode_order(std::string_view bytes);

}  // namespace bai::wire
