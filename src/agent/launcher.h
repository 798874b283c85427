// From a launch order to a step: checked, its user known here, its environment and files settled. One thread.
#pragma once

#include <string>
#include <vector>

#include "agent/confine.h"
#include "agent/device_access.h"
#include "agent/hooks.h"
#include "agent/mps.h"
#include "agent/security_limits.h"
#include "agent/signature.h"
#include "agent/topology.h"
#include "agent/users.h"
#include "step/launch.h"

namespace bai::agent {

struct LauncherNode {
  std::string name;
  std::string boot_id;
};

class Launcher {
 public:
  explicit Launcher(LauncherNode node, SignatureCheck signatures = SignatureCheck())
      : node_(std::move(node)), signatures_(std::move(signatures)) {}

  LaunchPolicy policy;  // of the node's own file
  std::string cluster_name;
  Seconds kill_wait = 30;
  HookSettings hooks;
  ConfinementSettings confinement;
  Confiner confiner;     // configured with them
  CpuTopology topology;  // of this machine; empty: jobs are not bound
  Seconds sample = 30;   // between looks at a step's use
  DeviceTable devices;   // of this machine, as plugins found them
  MpsSettings mps;

  // Errors: those of SignatureCheck, unknown_user, user_lookup (later), bad_order.
  Result<step::StepLaunch> prepare(const wire::LaunchOrder& order, const Uuid& cluster,
                                   const std::string& mark, Time now, std::int64_t mono_ms);

 private:
  // What every launch says: which attempt it is.
  step::StepLaunch begun(const wire::LaunchOrder& order, const Uuid& cluster, const std::string& mark) const;
  // The site's program; nothing of it is the user's.
  step::StepLaunch hook(const wire::LaunchOrder& order, const Uuid& cluster, const std::string& mark,
                        std::uint32_t node_index) const;
  Status bind(const wire::LaunchOrder& order, const IdSet& cpus, step::StepLaunch& launch) const;
  Result<std::vector<std::string>> device_environment(const std::vector<DeviceShare>& shares) const;
  Status bind_to_gpus(const wire::LaunchOrder& order, const std::vector<DeviceShare>& shares,
                      step::StepLaunch& launch) const;
  LauncherNode node_;
  SignatureCheck signatures_;
  Users users_;
  SecurityLimits limits_;
};

// Those after which the same order may succeed.
bool is_passing(const Error& error);

}  // namespace bai::agent
