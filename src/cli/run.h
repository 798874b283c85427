// bai-run: a step of a job, or a job that is one step.
#pragma once

#include "cli/dialect.h"

namespace bai::cli {

// The whole command; its exit status.
int run_run(const Dialect& dialect, int argc, const char* const* argv);

}  // namespace bai::cli
