#include "cli/dialect.h"

#include "base/paths.h"

namespace bai::cli {

Dialect Dialect::of(const char* argv0) {
  std::string_view name = argv0 ? argv0 : "";
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  Dialect out;
  out.program = name;
  for (std::string_view known : {"sbatch", "squeue", "sinfo", "scancel", "scontrol", "sacct", "sdiag", "srun",
                                 "salloc", "sattach", "sbcast", "sstat"})
    out.slurm |= name == known;
  if (out.slurm) {
    out.output = "slurm-%j.out";
    out.array_output = "slurm-%A_%a.out";
    out.brand = "Slurm";
    out.version = "slurm-wlm 22.05.8";
    out.usage_status = 1;
    out.bare_errors = name == "scontrol";
    out.option_status = name == "sbatch" ? 255 : 1;
  } else {
    out.output = "bai-%j.out";
    out.array_output = "bai-%A_%a.out";
    out.brand = "bai";
    out.version = kVersion;
  }
  return out;
}

}  // namespace bai::cli
