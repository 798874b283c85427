// Dialect: what differs between bai's own commands and the same programs called by Slurm's names. Chosen once, from the
// name that the program was called by; no other code looks at that name. Plain values; any thread.
#pragma once

#include <string>
#include <string_view>

namespace bai::cli {

struct Dialect {
  bool slurm = false;
  std::string program;      // "bai-submit", "sbatch": before every message
  std::string_view output;  // where a job's output goes by default
  std::string_view array_output;
  std::string_view brand;    // "bai", "Slurm": in sentences
  std::string_view version;  // "slurm 22.05.8", or bai's own
  int usage_status = 2;      // exit status for what was typed wrong (Slurm: 1)
  bool bare_errors = false;  // scontrol: most of its errors name no program
  int option_status = 2;     // for an option that is wrong in itself (sbatch: 255)

  // From argv[0]. Slurm's names are sbatch, squeue, sinfo, scancel, scontrol, sacct; everything else is bai.
  static Dialect of(const char* argv0);
};

}  // namespace bai::cli
