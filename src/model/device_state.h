// The single devices of a node as its agent found them, and how they are: what device plugins (src/device) said, for the controller and for people. Which of
// them is which of those that the configuration counts (model/devices.h) is decided by match_devices(), here for everybody. Plain values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/istr.h"
#include "model/devices.h"
#include "model/ids.h"

namespace bai {

enum class DeviceHealth : std::uint8_t { kHealthy, kUnhealthy, kUnknown };
std::string_view name(DeviceHealth health);  // "healthy"

inline constexpr std::uint16_t kNoSocket = 0xffff;
inline constexpr std::size_t kMaxFoundDevices = 1024;   // of a node
inline constexpr std::size_t kMaxDeviceProcesses = 64;  // that are told of one

// A process that uses a device. `job` 0: none of ours.
struct DeviceProcess {
  std::uint32_t pid = 0;
  std::uint64_t mem_mib = 0;
  JobId job = 0;

  friend bool operator==(const DeviceProcess&, const DeviceProcess&) = default;
  template <class A>
  void serialize(A& a) {
    a(pid, mem_mib, job);
  }
};

struct FoundDevice {
  Istr kind, type, id, model;
  std::uint64_t mem_mib = 0;
  std::uint16_t socket = kNoSocket;
  bool shareable = false;
  DeviceHealth health = DeviceHealth::kHealthy;
  Istr why;                                       // of another health
  std::int32_t use_percent = -1;                  // -1: not known
  std::int64_t mem_used_mib = -1, power_mw = -1;  // -1: not known
  std::vector<DeviceProcess> processes;

  friend bool operator==(const FoundDevice&, const FoundDevice&) = default;
  template <class A>
  void serialize(A& a) {
    a(kind, type, id, model, mem_mib, socket, shareable, at_most(health, DeviceHealth::kUnknown), why,
      use_percent, mem_used_mib, power_mw, cap(processes, kMaxDeviceProcesses));
  }
};

struct DeviceReport {
  std::vector<FoundDevice> devices;  // in the order in which they were found first
  std::vector<Istr>
      kinds;  // that are looked for: what is configured of them and was not found is not there; "*": all
  Istr why;   // they could not be looked for, if so

  friend bool operator==(const DeviceReport&, const DeviceReport&) = default;
  template <class A>
  void serialize(A& a) {
    a(cap(devices, kMaxFoundDevices), cap(kinds, 64), why);
  }
};

// One single device of the configuration and what was found for it.
struct DeviceMatch {
  std::size_t group = 0;
  std::uint32_t index = 0;           // within its kind, as DeviceShare::index
  std::optional<std::size_t> found;  // in DeviceReport::devices
  bool missing = false;              // it should have been found
};
// For each single device that the groups count, in their order; counted groups have none. Groups with a type take devices whose type, or words of whose model,
// have it in them ("a100" takes "NVIDIA A100-SXM4-40GB"); then those without take the rest of their kind, each in the order found.
std::vector<DeviceMatch> match_devices(const std::vector<DeviceGroup>& groups, const DeviceReport& report);

// What a node has whose configuration does not say: equal devices in a row make a group.
std::vector<DeviceGroup> groups_of(const DeviceReport& report);

// The groups with what is known of their devices: where they are, how much memory, and which cannot be given to jobs now. `why`, if not null, gets an entry for
// each match: empty, or why it cannot be given.
std::vector<DeviceGroup> with_findings(std::vector<DeviceGroup> groups, const DeviceReport& report,
                                       std::vector<std::string>* why = nullptr);

}  // namespace bai
