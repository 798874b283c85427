// Options that only Slurm's names have: what is read because scripts and hands say it, and has no meaning in a cluster that stands alone.
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "cli/dialect.h"

namespace bai::cli {

// --clusters, --federation, --local, --sibling and --usage; nothing under our own names. `letter`: whether -M is --clusters.
void add_cluster_options(OptionTable& table, const Dialect& dialect, bool letter = true);
// Those and --noconvert, --hide: of commands that list.
void add_list_options(OptionTable& table, const Dialect& dialect);

// What sbatch, salloc and srun take and bai has no use for: wishes about frequencies, binding, accounting, burst buffers and the like,
// which change how a job runs at most. As directives, too; under every name, since a script may hold them. doc/slurm.md lists them.
std::vector<Option> unmet_job_options();
// Those that cannot be left unmet: a reservation, --kill-on-invalid-dep=yes.
std::optional<Error> refused_job_option(const Parsed& parsed);

// --clusters with another cluster than this.
std::optional<Error> other_cluster(const Parsed& parsed, std::string_view own);

}  // namespace bai::cli
