// Which devices a cgroup of version 2 may not open: a small program at its directory (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE), since v2 has
// no devices.deny. All other devices stay as they are. Needs root. Any thread; nothing is kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "step/confinement.h"

namespace bai::step {

// The program's instructions, as linux/bpf.h lays them out.
std::vector<uint64_t> device_program(const std::vector<DeviceRule>& denied);
// Errors: io_error, when the kernel does not take it.
Status deny_devices(const std::string& dir, const std::vector<DeviceRule>& denied);

}  // namespace bai::step
