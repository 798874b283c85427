// What Slurm 22.05's commands say, and with which exit status they end, for errors of ours. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/options.h"
#include "base/result.h"

namespace bai::cli {

// Slurm's sentence (slurm_errno.c) for a refusal, without program and context; the error's own text when Slurm has no
// such thing.
std::string slurm_message(const Error& error);

// The line that sbatch says before that, for some refusals. `partition`: what --partition said.
std::optional<std::string> slurm_foreword(const Error& error, std::string_view partition);
// slurm_message() in scontrol's words, which knows no permissions but users.
std::string slurm_control_message(const Error& error);
// The same of suspend and resume.
std::string slurm_standing_message(const Error& error);

// getopt_long's lines for a command line that cannot be read ("squeue: invalid option -- 'y'"), with a newline at the end;
// nothing if the error is another one.
std::optional<std::string> slurm_getopt_text(std::string_view program, const Error& error);

// sbatch's words for an option whose value is wrong ("Invalid --time specification"). The code is bad_value where
// sbatch ends with 255, else bad_count, bad_array, ... and 1.
Error slurm_value_error(const Given& given, const Error& error);

// The same for a word in an #SBATCH line that is no option.
Error slurm_directive_error(const Error& error);

// squeue and scancel -t, sinfo -t: what they say of an unknown state.
std::string slurm_bad_job_state(std::string_view state);
std::string slurm_bad_node_state(std::string_view state);

// What an action's exit status is where it is not 1: slurm_errno's lowest byte, as scancel returns it.
int slurm_status(const Error& error);

}  // namespace bai::cli
