#include "cli/limits.h"

#include <sys/resource.h>

namespace bai::cli {

Result<std::vector<std::string>> passed_limits(const Parsed& parsed, RlimitSet configured) {
  if (const Given* given = parsed.find("propagate")) {
    auto asked = parse_rlimits(given->value);
    if (!asked.ok())
      return Error{asked.error().code, asked.error().message, given->place, asked.error().remedy};
    configured = *asked;
  }
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::size(kRlimitNames); ++i) {
    rlimit limit{};
    const auto& [name, resource] = kRlimitNames[i];
    if (!(configured & (1u << i)) || getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0)
      continue;
    out.push_back(std::string(kRlimitPrefix)
                      .append(name)
                      .append("=")
                      .append(limit.rlim_cur == RLIM_INFINITY ? "infinity" : std::to_string(limit.rlim_cur)));
  }
  return out;
}

}  // namespace bai::cli
