// bai-queue --steps: the steps that run. One thread.
#pragma once

#include "base/options.h"
#include "cli/report.h"

namespace bai::cli {

// The exit status.
int queue_steps(const Parsed& parsed, const Reporter& reporter);

}  // namespace bai::cli
