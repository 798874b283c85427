// How every command begins: its words, --help and --version, its variables. One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "cli/report.h"

namespace bai::cli {

// `table` must outlive what comes back. The command line, and what variables (PREFIX_NAME, the strongest prefix first) add to it. Nothing when the command is over
// already: then `status` is its exit status.
std::optional<Parsed> begin(const OptionTable& table, int argc, const char* const* argv,
                            const std::vector<std::string>& prefixes, Reporter& reporter, int& status);
// The same without variables.
std::optional<Parsed> begin(const OptionTable& table, int argc, const char* const* argv, Reporter& reporter,
                            int& status);

}  // namespace bai::cli
