// The cgroups of this node and what a job may use in them: which hierarchies there are (v1, v2, hybrid), and the trees of a job that
// a shepherd then makes. Decisions are pure functions of what was found and configured; cgroups(7), and Slurm's cgroup.conf(5).
// One thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "step/confinement.h"
#include "step/launch.h"

namespace bai::agent {

// Where directories of ours may be made. A controller is v1's when it has a hierarchy there, else v2's.
struct CgroupSystem {
  std::string unified;  // v2: below it ours are made; empty: not mounted
  bool alone = false;   // its processes are the agent's, or those of a container with it: they may be moved
  std::vector<std::string> controllers;   // of v2, that can be used there
  std::map<std::string, std::string> v1;  // by controller
  std::map<std::string, std::string>
      facts;  // v1's cpuset.cpus and cpuset.mems; "1" for files of memory that are there
};

// From the texts of /proc/self/mounts and /proc/self/cgroup. `root` is put before each path: a test's file tree.
CgroupSystem find_cgroups(std::string_view mounts, std::string_view own, const std::string& root = "");

// What one job may use on this node.
struct JobLimits {
  std::uint32_t cpus = 0;
  std::string cpu_list;       // "0-3,8": its processors; empty: not told apart
  std::uint64_t mem_mib = 0;  // 0: not limited
  std::vector<step::DeviceRule> denied_devices;
  std::vector<step::DeviceRule> step_denied_devices{};  // beside them, to this step
};

class Confiner {
 public:
  Confiner() = default;
  // `name`: of our directories. `why_not`: no cgroups can be made, and why.
  Confiner(CgroupSystem system, std::string name, std::string why_not = "")
      : system_(std::move(system)), name_(std::move(name)), why_not_(std::move(why_not)) {}

  void configure(const ConfinementSettings& settings, std::uint64_t node_mib);
  // Whether it is known which of the machine's processors are a job's.
  void binds(bool known) { binds_ = known; }
  // Looks whether this system lets devices be kept from jobs, which root of a container may not do. Else it is said in not_enforced().
  void try_devices();
  // Whether jobs cannot open what is denied them of devices.
  bool keeps_devices() const { return settings_.devices && has("devices"); }
  // Puts the job's cgroups into the launch: a plain one to find its processes by, and trees for what it is held to.
  void confine(const JobLimits& limits, step::StepLaunch& launch) const;
  // Only the plain one: for what is the site's own.
  void track(step::StepLaunch& launch) const;
  // v2's controllers handed down to where jobs are; directories of an earlier agent get today's settings. Errors are in not_enforced().
  void prepare();
  // Every directory that may be there when no step is.
  std::vector<std::string> parents() const;
  // "memory, cores: the agent is not root": what is configured and cannot be done; empty when all is.
  std::string not_enforced() const;
  // The bytes of memory, and of memory and swap beside it, that a job with `mem_mib` may use.
  std::uint64_t ram_bytes(std::uint64_t mem_mib) const;
  std::uint64_t swap_bytes(std::uint64_t mem_mib) const;

 private:
  bool has(const std::string& controller) const;
  Status hand_down(std::string_view controller) const;
  step::CgroupTree& tree(const std::string& controller, std::vector<step::CgroupTree>& trees) const;
  std::string plain() const;
  std::string limited(const std::string& base) const { return base + "/" + name_ + "-limited"; }
  std::vector<step::CgroupSetting> unified_settings() const;

  CgroupSystem system_;
  std::string name_, why_not_;
  ConfinementSettings settings_;
  std::uint64_t node_mib_ = 0;
  bool binds_ = true;
  bool keeps_devices_ = true;
  std::vector<std::string> failed_;  // controllers that could not be handed down
};

// Of the running machine: v2's directory and v1's, below this process's own, if it may make directories there.
Confiner find_confiner(const std::string& node, const std::string& spool);
// Takes directories away that nothing is in; the next shepherd makes them again.
void remove_cgroup_parents(const std::vector<std::string>& parents);

}  // namespace bai::agent
