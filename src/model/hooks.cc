#include "model/hooks.h"

#include <glob.h>

#include <algorithm>

#include "base/text.h"

namespace bai {

std::string_view context_name(Hook hook) {
  switch (hook) {
    case Hook::kProlog:
      return "prolog_slurmd";
    case Hook::kEpilog:
      return "epilog_slurmd";
    case Hook::kPrologCtld:
      return "prolog_slurmctld";
    case Hook::kEpilogCtld:
      return "epilog_slurmctld";
  }
  return "prolog_slurmd";
}

std::vector<std::string> hook_programs(const std::vector<std::string>& patterns) {
  std::vector<std::string> out;
  for (const auto& pattern : patterns) {
    if (pattern.find_first_of("*?[") == pattern.npos) {
      out.push_back(pattern);
      continue;
    }
    glob_t found{};
    if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
      for (std::size_t i = found.gl_pathc; i > 0; --i) out.emplace_back(found.gl_pathv[i - 1]);
    globfree(&found);
  }
  return out;
}

std::string hook_script(const std::vector<std::string>& programs) {
  std::string out = "#!/bin/sh\n";
  for (const auto& program : programs) out += shell_quote(program) + " || exit\n";
  return out;
}

std::vector<std::string> hook_variables(Hook hook, const Job& job, std::string_view cluster) {
  std::vector<std::string> out = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  const auto add = [&out](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    for (const char* prefix : {"BAI_", "SLURM_"})
      out.push_back(std::string(prefix).append(name).append("=").append(value));
  };
  const JobSpec& spec = *job.spec;
  add("SCRIPT_CONTEXT", context_name(hook));
  add("CLUSTER_NAME", cluster);
  add("JOB_ID", std::to_string(job.id));
  out.push_back("SLURM_JOBID=" + std::to_string(job.id));
  add("JOB_NAME", spec.name.view());
  add("JOB_UID", std::to_string(spec.uid));
  add("JOB_GID", std::to_string(spec.gid));
  add("JOB_USER", spec.user.empty() ? std::to_string(spec.uid) : spec.user.str());
  add("JOB_GROUP", spec.group.view());
  add("JOB_ACCOUNT", spec.account.view());
  add("JOB_QOS", spec.extras().qos.view());
  add("JOB_COMMENT", spec.extras().comment.view());
  add("JOB_WORK_DIR", spec.workdir.view());
  add("JOB_CONSTRAINTS", spec.request.constraint.view());
  out.push_back("BAI_JOB_ATTEMPT=" + std::to_string(job.attempt));
  if (job.restarts > 0) add("RESTART_COUNT", std::to_string(job.restarts));
  if (job.array_id != 0 && job.array_task != kNoTask) {
    add("ARRAY_JOB_ID", std::to_string(job.array_id));
    add("ARRAY_TASK_ID", std::to_string(job.array_task));
  }
  if (job.allocation) {
    add("JOB_PARTITION", job.allocation->partition.view());
    add("JOB_NODELIST", job.allocation->hostlist());
    add("NODELIST", job.allocation->hostlist());
    add("JOB_NUM_NODES", std::to_string(job.allocation->nodes.size()));
  }
  if (job.started.is_set()) add("JOB_START_TIME", std::to_string(job.started.seconds()));
  if (hook == Hook::kEpilog || hook == Hook::kEpilogCtld) {
    // As wait(2) gives it, and "CODE:SIGNAL".
    add("JOB_EXIT_CODE", std::to_string(job.exit.code * 256 + job.exit.signal));
    add("JOB_EXIT_CODE2", job.exit.text());
  }
  return out;
}

}  // namespace bai
