// Which processors of a node a job, or a step of one, gets. Processors are numbered by socket, then core, then thread, as hwloc's logical
// indices are; the agent knows what the operating system calls them. Pure functions; sets are written "0-3,8" (IdSet).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/idset.h"
#include "model/node.h"

namespace bai::controller {

// `count` processors that are not in `taken`, as near to each other as can be: in the fullest socket that has room, else beginning with the
// emptiest; whole cores first. All that are left when there are not so many. Sockets of `near` come before the others.
IdSet choose_cpus(const NodeShape& shape, const IdSet& taken, std::uint32_t count, const IdSet& near = {});

// The sockets to which the devices of `shares` are near, as far as the node's groups know (with_findings()).
IdSet device_sockets(const std::vector<DeviceGroup>& groups, const std::vector<DeviceShare>& shares);

// For a step: `count` of the job's, those that no other of its steps has first.
IdSet choose_step_cpus(const IdSet& job, const IdSet& taken, std::uint32_t count);

// Text that choose_cpus() gave, or nothing.
IdSet cpu_set(std::string_view text);
void add_cpus(IdSet& to, std::string_view text);
void remove_cpus(IdSet& from, std::string_view text);

}  // namespace bai::controller
