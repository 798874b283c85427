#include "model/step.h"

#include "base/hostlist.h"
#include "model/hooks.h"

namespace bai {

std::string step_name(StepId id) {
  if (is_hook(id)) return id == kPrologStep ? "prolog" : "epilog";
  return id == kBatchStep ? "batch" : std::to_string(id);
}
std::string step_name(JobId job, StepId id) { return std::to_string(job) + "." + step_name(id); }

std::string_view name(Distribution distribution) {
  switch (distribution) {
    case Distribution::kBlock:
      return "block";
    case Distribution::kCyclic:
      return "cyclic";
    case Distribution::kPlane:
      return "plane";
    case Distribution::kArbitrary:
      return "arbitrary";
  }
  return "block";
}

JobSpec as_signed(std::uint32_t uid, std::uint32_t gid, const StepRun& run) {
  JobSpec spec;
  spec.uid = uid;
  spec.gid = gid;
  spec.workdir = run.workdir;
  spec.std_out = run.std_out;
  spec.std_err = run.std_err;
  // These run, too. No other text holds a NUL, so nothing else is signed the same.
  if (!run.task_prolog.empty() || !run.task_epilog.empty())
    spec.std_err = Istr(run.std_err.str() + '\0' + run.task_prolog.str() + '\0' + run.task_epilog.str());
  spec.open_mode = run.open_mode;
  if (!run.std_in.empty()) {
    JobExtras extras;
    extras.std_in = run.std_in;
    spec.set_extras(std::move(extras));
  }
  return spec;
}

std::uint32_t Step::tasks() const {
  std::uint32_t sum = 0;
  for (const auto& share : nodes) sum += static_cast<std::uint32_t>(share.ranks.size());
  return sum;
}

std::uint32_t Step::cpus() const {
  std::uint32_t sum = 0;
  for (const auto& share : nodes) sum += share.cpus;
  return sum;
}

std::string Step::hostlist() const {
  std::vector<std::string> names;
  for (const auto& share : nodes) names.push_back(share.node.str());
  return compress_hostlist_sorted(std::move(names));
}

}  // namespace bai
