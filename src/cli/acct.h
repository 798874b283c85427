// bai-acct: finished and running jobs from the store, in sacct's form. One thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/options.h"
#include "cli/dialect.h"
#include "cli/job_fields.h"
#include "model/step.h"

namespace bai::cli {

// The whole command; its exit status.
int run_acct(const Dialect& dialect, int argc, const char* const* argv);
OptionTable acct_table(const Dialect& dialect);

// One line: a job, or one of its steps.
struct AcctRow {
  JobView job;
  const Step* step = nullptr;
};

struct AcctField {
  std::string_view name;  // as in the title
  int width;              // negative: to the left
  void (*put)(std::string& out, const AcctRow& row);
};
std::span<const AcctField> acct_fields();

struct AcctColumn {
  const AcctField* field = nullptr;
  int width = 0;
};
// "jobid,state%20,jobname%-30". Errors: bad_format.
Result<std::vector<AcctColumn>> parse_acct_format(std::string_view format);

enum class AcctStyle { kColumns, kParsable, kParsable2 };
void put_acct_header(std::string& out, const std::vector<AcctColumn>& columns, AcctStyle style,
                     std::string_view delimiter);
void put_acct_row(std::string& out, const std::vector<AcctColumn>& columns, const AcctRow& row,
                  AcctStyle style, std::string_view delimiter);

}  // namespace bai::cli
