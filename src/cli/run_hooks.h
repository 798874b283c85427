// SrunProlog and SrunEpilog, --prolog and --epilog: programs that bai-run runs where it is itself, before and after its step. As in Slurm their
// exit status changes nothing. One thread.
#pragma once

#include <string>
#include <vector>

#include "cli/report.h"

namespace bai::cli {

// Waits for its end. With `program` empty or "none" nothing happens. `variables` ("K=V"): what it is told beside this command's own
// environment; `context` is SLURM_SCRIPT_CONTEXT; `step` the step's number, empty when it has none yet.
void run_beside_step(const std::string& program, const std::string& context,
                     const std::vector<std::string>& variables, const std::string& step,
                     const Reporter& reporter);

}  // namespace bai::cli
