#include "agent/hooks.h"

#include <unistd.h>

#include "agent/environment.h"
#include "base/text.h"
#include "model/hooks.h"
#include "model/step.h"

namespace bai::agent {

namespace {

constexpr std::size_t kMostWords = 200;  // bytes of what a program said that are repeated

// The last line that is not empty.
std::string_view last_line(std::string_view text) {
  text = trim(text);
  return trim(text.substr(text.rfind('\n') + 1));
}

}  // namespace

HookSettings hook_settings(const ClusterConfig& own, const std::string& conf) {
  return {own.prolog,      own.epilog,      own.prolog_epilog_timeout, conf,
          own.task_prolog, own.task_epilog, own.security_limits};
}

wire::NodeHooks node_hooks(const ClusterConfig& own) {
  return static_cast<wire::NodeHooks>((own.prolog.empty() ? 0 : wire::kHasProlog) |
                                      (own.epilog.empty() ? 0 : wire::kHasEpilog));
}

void make_hook(const wire::LaunchOrder& order, const HookSettings& settings, const HookPlace& place,
               std::uint32_t own_uid, step::StepLaunch& launch) {
  const bool prolog = order.key.step == kPrologStep;
  launch.step = step_name(order.key.step);
  launch.uid = own_uid;
  launch.gid = getegid();
  launch.as_root = own_uid == 0;
  launch.script = hook_script(hook_programs(prolog ? settings.prolog : settings.epilog));
  launch.argv = {launch.step};
  launch.env = hook_variables(prolog ? Hook::kProlog : Hook::kEpilog, *order.job, place.cluster_name);
  const auto add = [&launch](std::string entry) { launch.env.push_back(std::move(entry)); };
  add("SLURMD_NODENAME=" + place.node);
  add("BAI_NODE_NAME=" + place.node);
  if (!settings.conf.empty()) add("BAI_CONF=" + settings.conf);
  for (const char* prefix : {"BAI_", "SLURM_"}) add(prefix + ("NODEID=" + std::to_string(place.index)));
  if (const std::string gpus = gpus_on_node(*order.job, place.index); !gpus.empty()) {
    for (const char* prefix : {"BAI_", "SLURM_"}) add(prefix + ("JOB_GPUS=" + gpus));
    add("CUDA_VISIBLE_DEVICES=" + gpus);
  }
  launch.workdir = "/";
  launch.time_limit_s = static_cast<std::uint64_t>(settings.timeout);
}

void add_task_hooks(const wire::LaunchOrder& order, const HookSettings& settings, step::StepLaunch& launch) {
  const auto add = [](std::vector<std::string>& to, std::string_view program) {
    if (!program.empty()) to.emplace_back(program);
  };
  add(launch.task_prologs, settings.task_prolog);
  if (order.step) add(launch.task_prologs, order.run.task_prolog.view());
  if (order.step) add(launch.task_epilogs, order.run.task_epilog.view());
  add(launch.task_epilogs, settings.task_epilog);
}

std::string hook_failure(const step::StepStatus& status, std::string_view output) {
  std::string out;
  if (status.reason == step::EndReason::kTimeout)
    out = "it took too long and was ended";
  else if (status.reason != step::EndReason::kExited && status.reason != step::EndReason::kSignalled)
    out = status.message;
  else if (status.signal != 0)
    out = "signal " + std::to_string(status.signal);
  else
    out = "exit status " + std::to_string(status.exit_code);
  if (const auto line = last_line(output); !line.empty())
    out += (out.empty() ? "" : ": ") + escape_control(line.substr(0, kMostWords));
  return out;
}

}  // namespace bai::agent
