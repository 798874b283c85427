// bai-alloc: an allocation, and a shell or a command beside it.
#pragma once

#include "cli/dialect.h"

namespace bai::cli {

// The whole command; its exit status.
int run_alloc(const Dialect& dialect, int argc, const char* const* argv);

}  // namespace bai::cli
