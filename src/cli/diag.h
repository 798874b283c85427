// bai-diag: what the controller is doing. One thread.
#pragma once

#include "base/options.h"
#include "cli/dialect.h"

namespace bai::cli {

// The whole command; its exit status.
int run_diag(const Dialect& dialect, int argc, const char* const* argv);
OptionTable diag_table(const Dialect& dialect);

}  // namespace bai::cli
