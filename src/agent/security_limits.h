// The limits that /etc/security/limits.conf and limits.d give to users (limits.conf(5), pam_limits(8)), and what they and a job's own
// come to. bai-stepd is static and can load no PAM module, so the files are read here. Decisions are pure; SecurityLimits reads.
// One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/users.h"
#include "step/launch.h"

namespace bai::agent {

// One line's.
struct LimitLine {
  std::string domain;
  bool soft = false, hard = false;
  std::string item;         // "nofile", ...; "-": nothing is limited for whom the domain names
  std::int64_t value = -1;  // in the item's own unit; -1: unlimited
};
// Lines that are not understood are left out.
std::vector<LimitLine> parse_limit_lines(std::string_view text);

struct UserLimits {
  std::map<std::uint32_t, std::optional<std::uint64_t>> soft, hard;  // by RLIMIT_*; in setrlimit(2)'s units
  std::optional<int> priority;
};
// As pam_limits judges: a user's own lines go before those of groups, these before "*"; among equals the last one counts. `gid_of`: a
// group's number by its name.
UserLimits limits_of(const std::vector<LimitLine>& lines, const User& user,
                     const std::function<std::optional<std::uint32_t>(const std::string&)>& gid_of);

// What the client passed on in the environment (BAI_RLIMIT_NOFILE=1024 ...: soft limits, as Slurm's SLURM_RLIMIT_*) is taken out of it.
std::map<std::uint32_t, std::uint64_t> take_passed_limits(std::vector<std::string>& env);

// A job's limits: soft ones as passed on, else the system's, else what the shepherd has; hard ones the system's, else the shepherd's.
std::vector<step::ResourceLimit> job_limits(const UserLimits& system,
                                            const std::map<std::uint32_t, std::uint64_t>& passed);

// The files, read again once a minute at most.
class SecurityLimits {
 public:
  explicit SecurityLimits(std::string dir = "/etc/security") : dir_(std::move(dir)) {}
  UserLimits of(const User& user, std::int64_t mono_ms);

 private:
  std::string dir_;
  std::int64_t until_ms_ = -1;
  std::vector<LimitLine> lines_;
  std::map<std::string, std::optional<std::uint32_t>> groups_;
};

}  // namespace bai::agent
