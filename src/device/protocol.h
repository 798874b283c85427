// What bai-agentd and the host process of a device plugin say to each other: frames on a SOCK_SEQPACKET socketpair, u16 type and then fields as in step/record.h. The
// host's side is hostile input: whatever a driver library made of that process, every length is checked before anything is copied. Both ends are of one
// build, so the format is not frozen. Plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "model/device_state.h"
#include "step/confinement.h"

namespace bai::device {

inline constexpr std::size_t kMaxFrame = 64u << 10;
// What the agent starts the host with; the socket is descriptor 3.
inline constexpr const char* kHostOption = "--device-host";
inline constexpr int kHostSocket = 3;

// ---- agent to host: one at a time, each answered by some of the below and a Done or Failed

struct Begin {  // load, start and discover: Found for each device
  std::string name, file, config_dir;
  friend bool operator==(const Begin&, const Begin&) = default;
};
struct Look {};  // State for each device
using ToHost = std::variant<Begin, Look>;

// ---- host to agent

// A device file, and what a cgroup calls it.
struct DeviceFile {
  std::string path;
  step::DeviceRule rule;
  friend bool operator==(const DeviceFile&, const DeviceFile&) = default;
};

// What device_plugin.h's bai_device says.
struct Found {
  std::string id, kind, type, model, local_cpus;
  std::int32_t numa_node = -1;
  std::uint64_t mem_mib = 0;
  bool shares = false, mps = false;
  std::vector<DeviceFile> files;
  std::vector<std::string> environment;
  friend bool operator==(const Found&, const Found&) = default;
};

struct Process {
  std::uint32_t pid = 0;
  std::uint64_t mem_mib = 0;
  friend bool operator==(const Process&, const Process&) = default;
};

struct State {
  std::string id;
  DeviceHealth health = DeviceHealth::kHealthy;
  std::string why;
  std::int32_t use_percent = -1;
  std::int64_t mem_used_mib = -1, power_mw = -1;
  std::vector<Process> processes;
  friend bool operator==(const State&, const State&) = default;
};

struct Done {
  std::vector<std::string> kinds;  // after Begin
  friend bool operator==(const Done&, const Done&) = default;
};

struct Failed {
  bool absent = false;  // nothing of the kind is on this node
  std::vector<std::string> kinds;
  std::string why;
  friend bool operator==(const Failed&, const Failed&) = default;
};
using FromHost = std::variant<Found, State, Done, Failed>;

// "NAME=WORD": what a variable of a device looks like.
bool is_variable(std::string_view entry);

std::string encode(const ToHost& message);
std::string encode(const FromHost& message);
// Errors: bad_frame.
Result<ToHost> decode_to_host(std::string_view frame);
Result<FromHost> decode_from_host(std::string_view frame);

}  // namespace bai::device
