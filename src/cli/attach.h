// bai-attach: joins a running step: its output from now on, and its input.
#pragma once

#include "cli/dialect.h"

namespace bai::cli {

// The whole command; its exit status.
int run_attach(const Dialect& dialect, int argc, const char* const* argv);

}  // namespace bai::cli
