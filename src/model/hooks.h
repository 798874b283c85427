// Hooks: the site's programs that run around a job: Prolog and Epilog on its nodes, PrologCtld and EpilogCtld beside the controller. What they are
// told and in which order they run, as slurm.conf(5) and Slurm's Prolog and Epilog Guide have it. Any thread; pure functions, save
// hook_programs(), which reads directories.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "model/job.h"

namespace bai {

// Among the numbers of a job's steps, those of the programs on its nodes.
inline constexpr StepId kPrologStep = 0xfffffff0;
inline constexpr StepId kEpilogStep = 0xfffffff1;
inline constexpr bool is_hook(StepId step) { return step == kPrologStep || step == kEpilogStep; }

enum class Hook : std::uint8_t { kProlog, kEpilog, kPrologCtld, kEpilogCtld };
// "prolog_slurmd": SLURM_SCRIPT_CONTEXT.
std::string_view context_name(Hook hook);

// The configured patterns (glob(7)) as the programs that they name now: one pattern after the other, those of one in reverse
// alphabetical order, as Slurm runs them. A name without wildcards is itself, also where nothing is.
std::vector<std::string> hook_programs(const std::vector<std::string>& patterns);

// A shell script that runs them one after the other until one fails, and ends as that one.
std::string hook_script(const std::vector<std::string>& programs);

// "K=V" each, BAI_ and SLURM_ names: what every hook is told of a job that has its nodes, and a search path. Epilogs hear how it ended.
std::vector<std::string> hook_variables(Hook hook, const Job& job, std::string_view cluster);

}  // namespace bai
