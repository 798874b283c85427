// The agent's runtime: one thread, one epoll loop, around the machine (machine.h), the session to the controller, the spool and the
// shepherds. Nothing that the machine wants told or started leaves before the journal is durable; when the disk refuses, running
// steps are not touched, what waits is kept and the journal is written anew every second until it succeeds.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/confine.h"
#include "agent/device_hosts.h"
#include "agent/health.h"
#include "agent/launcher.h"
#include "agent/machine.h"
#include "agent/shepherds.h"
#include "agent/spool.h"
#include "base/aside.h"
#include "base/env.h"
#include "base/fd.h"
#include "base/log.h"
#include "model/config.h"
#include "wire/dealer.h"

namespace bai::agent {

struct AgentOptions {
  std::string node;
  std::string conf;                   // the node's own file
  std::optional<NodeShape> invented;  // told by --cpus and --memory
  std::string controller;             // HOST:PORT; empty: the configuration's
  bool log_level_fixed = false;       // by --log-level: configurations do not change it
};

class Agent {
 public:
  // Takes the spool, finds what the last agent left, and blocks SIGTERM, SIGINT and SIGHUP in the calling thread.
  // Errors: spool_in_use, io_error, hwloc_failed.
  static Result<std::unique_ptr<Agent>> start(const Env& env, AgentOptions options,
                                              const ClusterConfig& config);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Until SIGTERM, SIGINT or the controller's word. Steps go on. Errors: io_error.
  Status run();

 private:
  Agent(const Env& env, AgentOptions options, const ClusterConfig& config, Spool spool);
  Status set_up(const ClusterConfig& config);
  void use_local(const ClusterConfig& config);
  void use_shared(const ClusterConfig& config);
  void use_config(const std::string& text, bool fresh);
  void on_signals();
  void on_session();
  void look_at_devices();
  void note_configured(const ClusterConfig& config);
  void give_devices_to_launcher();
  std::string not_enforced() const;
  void look_for_controller(std::int64_t now);
  int timeout_ms(std::int64_t now);
  void turn();
  void prepare(wire::LaunchOrder order);
  void prepared(wire::AttemptKey key, const std::string& mark, Result<step::StepLaunch> launch);
  void commit(Output out);
  bool make_durable();
  void carry_out(Output out);
  void send(const wire::AgentBody& body);

  const Env& env_;
  AgentOptions options_;
  Spool spool_;
  Journal journal_;
  Fd epoll_, signals_;
  HealthCheck health_;
  std::unique_ptr<DeviceHosts> devices_;
  std::optional<std::vector<DeviceGroup>> configured_devices_;  // of this node, if the configuration names it
  CpuTopology topology_;                                        // of the machine, if somebody needs it
  bool has_mps_ = false;
  bool devices_changed_ = false;        // and the controller was not told
  std::unique_ptr<Aside> aside_;        // MUNGE and the name service may block
  std::shared_ptr<Launcher> launcher_;  // aside_'s, once it works
  std::optional<Shepherds> shepherds_;
  std::optional<Machine> machine_;
  std::unique_ptr<wire::Dealer> dealer_;
  Confiner confiner_;
  std::uint64_t node_mib_ = 0;
  std::string pid_file_;
  std::string lost_why_;  // said last
  Seconds ctld_timeout_ = 0;
  std::int64_t heard_ms_ = 0;  // the controller was there, last
  bool alone_ = false;         // for so long that it was said
  log::Once garbled_{16};
  std::deque<InputBody> inputs_;
  Output first_;  // of the machine's start
  Output held_;   // waits for the disk
  bool journal_broken_ = false;
  std::int64_t journal_retry_ms_ = 0;
  std::int64_t tick_ms_ = 0;
  std::int64_t launched_ms_ = 0;  // the last time
  bool stop_ = false;
};

}  // namespace bai::agent
