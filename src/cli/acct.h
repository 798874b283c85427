// bai-acct: finished and running jobs from the store, in sacct's form. One thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/options.h"
#include "cli/dialect.h"
#include "cli/job_fields.h"
#include "cli/print_fields.h"
#include "model/step.h"

namespace bai::cli {

// The whole command; its exit status.
int run_acct(const Dialect& dialect, int argc, const char* const* argv);
OptionTable acct_table(const Dialect& dialect);

// One line: a job, or one of its steps.
struct AcctRow {
  JobView job;
  const Step* step = nullptr;
  std::string_view cluster = {};
};

using AcctField = PrintField<AcctRow>;
using AcctColumn = PrintColumn<AcctRow>;
std::span<const AcctField> acct_fields();
inline Result<std::vector<AcctColumn>> parse_acct_format(std::string_view format) {
  return parse_print_format<AcctRow>(format, acct_fields());
}

}  // namespace bai::cli
