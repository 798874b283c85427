// Where the steps of this node get their cgroups: one directory below the agent's own, there while steps are, if the agent is root and
// the hierarchy is writable. v2 where it is mounted, else v1's freezer; cgroups(7). Tracking only: no limit is set.
#pragma once

#include <string>
#include <vector>

namespace bai::agent {

// `node` and `spool` make the name. Empty when there is nothing to use; `why` then says so.
std::vector<std::string> make_cgroup_parents(const std::string& node, const std::string& spool,
                                             std::string* why);
// Takes them away if nothing is in them; the next shepherd makes them again (step::create_cgroups).
void remove_cgroup_parents(const std::vector<std::string>& parents);

}  // namespace bai::agent
