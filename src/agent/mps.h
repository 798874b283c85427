// Shares of a GPU held to their size by CUDA MPS: a control daemon for each GPU that is shared, started when the first share of it is given, and the
// variables by which CUDA programs join it. Nothing of NVIDIA's is needed to build. One thread: the launcher's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/devices.h"

namespace bai::agent {

struct MpsSettings {
  std::string program;  // nvidia-cuda-mps-control; empty: the site does not want it
  std::string dir;      // below it a directory for each GPU
};

// The directory of a GPU's daemon, short enough for the sockets in it.
std::string mps_dir(const MpsSettings& settings, const std::string& device_id);
// Of a job that has a share of that GPU: its processors in percent, its memory, and the GPU by its id, since MPS numbers those that it serves anew.
std::vector<std::string> mps_environment(const std::string& dir, const std::string& device_id,
                                         DeviceAmount share, std::uint64_t device_mib);
// The GPU's daemon runs, or is started and waited for. Errors: io_error.
Status start_mps(const MpsSettings& settings, const std::string& device_id);

}  // namespace bai::agent
