// The environment that a job takes along: what --export leaves of the caller's, and what the submission itself adds.
// "K=V\0K=V\0...", as LaunchRecord::environment is a hash of. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "base/result.h"

namespace bai::cli {

// By sbatch --export's rules: ALL, NONE, NIL, or names and NAME=VALUE with or without ALL; NAME alone is the caller's value.
// Without ALL only SLURM_* and BAI_* of the caller's are kept, and with NONE also who the user is (HOME, USER, LOGNAME,
// SHELL) and a plain PATH. `added` ("K=V") replaces what is there. Errors: bad_export.
Result<std::string> make_environment(std::string_view export_spec, const char* const* environ,
                                     const std::vector<std::string>& added);

// SUBMIT_DIR and SUBMIT_HOST.
std::vector<std::string> submit_variables(std::string_view cwd, std::string_view host);

}  // namespace bai::cli
