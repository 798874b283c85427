#include "step/epilogs.h"

#include <algorithm>

#include "step/child.h"
#include "step/clone.h"
#include "step/tasks.h"

namespace bai::step {

bool Epilogs::start(const StepLaunch& launch, const std::vector<std::string>& cgroups, Ended of) {
  if (launch.task_epilogs.empty()) return false;
  const auto task = std::find_if(launch.tasks.begin(), launch.tasks.end(),
                                 [&](const TaskLaunch& t) { return of.rank && t.rank == *of.rank; });
  const TaskLaunch* its = task == launch.tasks.end() ? nullptr : &*task;
  ChildPlan plan;
  if (its)
    plan.prepare_task(launch, *its, task_environment(launch, *its));
  else
    plan.prepare(launch);
  auto pid = clone_into(cgroups, &plan.cgroups, [&] { run_epilogs(launch, its, plan); });
  if (!pid.ok()) return false;
  running_[*pid] = of;
  return true;
}

std::optional<Epilogs::Ended> Epilogs::reaped(pid_t pid) {
  const auto it = running_.find(pid);
  if (it == running_.end()) return {};
  const Ended ended = it->second;
  running_.erase(it);
  return ended;
}

}  // namespace bai::step
