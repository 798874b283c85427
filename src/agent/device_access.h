// What a job or a step is shown of this node's devices, and what is kept from it: variables and cgroup rules, from what plugins found and what the controller gave.
// Pure functions over plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/device_host.h"
#include "model/device_state.h"
#include "model/gpu_bind.h"
#include "step/confinement.h"

namespace bai::agent {

// A device as launches need it.
struct NodeDevice {
  Istr kind;
  std::uint32_t index =
      0;  // DeviceShare::index; kNotGiven: the configuration does not count it, so it is nobody's
  std::string plugin;
  std::uint16_t socket = kNoSocket;
  device::Found found;
};
inline constexpr std::uint32_t kNotGiven = 0xffffffff;
using DeviceTable = std::vector<NodeDevice>;  // of a plugin in the order found

// `known` and `plugins` in the order of `report`. `groups`: what the node is said to have; kinds that it does not count are left as they are, open to everybody.
DeviceTable make_device_table(const std::vector<DeviceGroup>& groups, const DeviceReport& report,
                              const std::vector<const KnownDevice*>& known,
                              const std::vector<std::string>& plugins);

struct DeviceGrant {
  // "NAME=VALUE", of every variable that a device of the node knows: without a device of its own, a job has it empty.
  std::vector<std::string> environment;
  std::vector<step::DeviceRule> denied;  // files of devices that are not its own
};
// `apart`: cgroups keep the others' devices from it, so that its own are numbered from 0.
DeviceGrant grant_devices(const DeviceTable& table, const std::vector<DeviceShare>& shares, bool apart);

// The variables of a task that sees `mine` of its step's GPUs `all` (both by rising index): those of its plugins' devices, or, where no plugin knows them,
// the customary ones by number.
std::vector<std::string> visible_gpus(const DeviceTable& table, const std::vector<DeviceShare>& all,
                                      const std::vector<DeviceShare>& mine, bool apart);
// What --gpu-bind=verbose says of a task, a line as srun's.
std::string gpu_bind_line(const std::vector<std::uint32_t>& bound, const std::vector<GpuPlace>& gpus);

// Those of a job that has the node for itself and asked for none in particular.
std::vector<DeviceShare> all_devices(const DeviceTable& table);

// The device of a share; nullptr when no plugin found it.
const NodeDevice* find_device(const DeviceTable& table, const DeviceShare& share);

}  // namespace bai::agent
