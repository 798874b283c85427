// The resource limits that a job takes along from where it was submitted: their names, and how they travel (in a job's environment, so
// that they are signed with it). Pure; any thread.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace bai {

struct RlimitName {
  std::string_view name;  // Slurm's: PropagateResourceLimits, --propagate
  std::uint32_t resource;
};
inline constexpr RlimitName kRlimitNames[] = {
    {"AS", RLIMIT_AS},       {"CORE", RLIMIT_CORE},       {"CPU", RLIMIT_CPU},       {"DATA", RLIMIT_DATA},
    {"FSIZE", RLIMIT_FSIZE}, {"MEMLOCK", RLIMIT_MEMLOCK}, {"NOFILE", RLIMIT_NOFILE}, {"NPROC", RLIMIT_NPROC},
    {"RSS", RLIMIT_RSS},     {"STACK", RLIMIT_STACK}};

// A set of them: bit n is the nth of kRlimitNames.
using RlimitSet = std::uint32_t;
inline constexpr RlimitSet kAllRlimits = (1u << std::size(kRlimitNames)) - 1;
// "ALL", "NONE", or names with commas.
Result<RlimitSet> parse_rlimits(std::string_view text);
std::string show_rlimits(RlimitSet set);

// BAI_RLIMIT_NOFILE=1024: a soft limit; "infinity" is none.
inline constexpr std::string_view kRlimitPrefix = "BAI_RLIMIT_";

}  // namespace bai
