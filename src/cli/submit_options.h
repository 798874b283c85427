// bai-submit's options: the table, and what they make of a job. The same table reads the command line, #BAI and #SBATCH
// lines, variables and the keys of --bulk. Pure functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "base/time.h"
#include "cli/dialect.h"
#include "model/rlimits.h"
#include "wire/messages.h"

namespace bai::cli {

OptionTable submit_table(const Dialect& dialect);

// Whose job it is, where and when it is submitted.
struct SubmitContext {
  const Dialect* dialect = nullptr;
  std::string cwd, host;
  std::uint32_t session = 0;  // getsid()
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  Time now;
  RlimitSet propagated_limits = kAllRlimits;  // as configured
  std::uint32_t max_array_size = 4'000'001;   // Slurm's most; the controller's own limit is its to tell
};

// Fills the specification, the array and the hold from what was given. Name, command and the launch record are the
// caller's. What was changed of contradictory wishes is told in `warnings`. Errors: bad_option and the value parsers' codes;
// the place is where it was given.
Result<wire::Submission> make_submission(const Parsed& parsed, const SubmitContext& context,
                                         std::vector<std::string>& warnings);

}  // namespace bai::cli
