// What `bai-agentd --emulate N[:SPEC]` asks for, understood. Pure, save that hwloc is asked when nobody says what a node has. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/config.h"

namespace bai::agent {

// The nodes by name, with what each has; nothing else of ConfigNode is set but the address that the configuration gives.
//   text   N, or N:KEY=VALUE,KEY=VALUE...: the keys of a NodeName line that say what a node has (Memory is RealMemory)
//   names  a host list of N names; empty: n1 to nN, with as many digits as N has
// What SPEC leaves out is what the configuration's NodeName line says, else what this machine has. Errors: bad_option, hwloc_failed.
Result<std::vector<ConfigNode>> parse_emulation(std::string_view text, std::string_view names,
                                                const ClusterConfig& config);

}  // namespace bai::agent
