// Devices: the accelerators and other countable things of nodes, Slurm's generic resources (gres.conf(5), sbatch --gres).
// What a node has, what a job asks, what an allocation names. Plain values, any thread.
//
// A kind ("gpu") may come in types ("a100"). Amounts are in thousandths of a device, so that a share of one is an integer:
// `gpu:0.5` is 500. The cluster's quantum (0.01 of a device unless configured) is a multiple of that, and what is asked is
// rounded up to it. A share is of compute and memory in step: 500 of an 80 GiB device is 40 GiB of it. What is less than one
// is a share of one single device; one and more are whole devices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/istr.h"
#include "base/result.h"
#include "model/serialize.h"

namespace bai {

using DeviceAmount = std::uint64_t;  // in thousandths
inline constexpr DeviceAmount kWholeDevice = 1000;
inline constexpr std::uint32_t kMostSingleDevices = 1024;   // of a node
inline constexpr std::uint32_t kDefaultDeviceQuantum = 10;  // 0.01 of a device

// Equal devices of a node: Gres=gpu:a100:4 of a NodeName line, or what the agent found. Devices are numbered through the kind's
// groups in their order, as in /dev/nvidiaN.
struct DeviceGroup {
  Istr kind;
  Istr type;                  // may be empty
  std::uint32_t count = 0;    // devices; of a counted kind the amount itself
  std::uint64_t mem_mib = 0;  // of each device; 0: unknown or none
  // Only a number: no single devices with names and indices, no shares of them (Slurm's gres without File=).
  bool counted = false;
  bool shareable = true;               // shares of one device may be given
  std::vector<std::uint16_t> sockets;  // of each device: the socket that it is near to; empty: unknown
  std::vector<std::uint16_t>
      out;  // those not to be given now, as numbered in the group: unhealthy, or not found

  friend bool operator==(const DeviceGroup&, const DeviceGroup&) = default;
  template <class A>
  void serialize(A& a) {
    a(kind, type, count, mem_mib, counted, shareable, cap(sockets, 4096), cap(out, 4096));
  }
};

enum class DevicePer : std::uint8_t {
  kNode,    // --gres, --gpus-per-node
  kJob,     // --gpus
  kTask,    // --gpus-per-task
  kSocket,  // --gpus-per-socket
};

// `kind[:type]:amount`. The type may name several, any of which will do: "a100|h100"; one node gives only one of them.
struct DeviceRequest {
  Istr kind;
  Istr type;  // empty: any
  DeviceAmount amount = kWholeDevice;
  DevicePer per = DevicePer::kNode;

  friend bool operator==(const DeviceRequest&, const DeviceRequest&) = default;
  template <class A>
  void serialize(A& a) {
    a(kind, type, amount, at_most(per, DevicePer::kSocket));
  }
};

inline constexpr std::uint32_t kCountedDevice = 0xffffffff;

// One device, or a share of it, of one node, as given to a job.
struct DeviceShare {
  Istr kind;
  Istr type;
  std::uint32_t index = 0;  // within the kind on this node; kCountedDevice: an amount of a counted kind
  DeviceAmount amount = kWholeDevice;

  friend bool operator==(const DeviceShare&, const DeviceShare&) = default;
  template <class A>
  void serialize(A& a) {
    a(kind, type, index, amount);
  }
};

// What is free of a node's devices. One slot for each device, and one for each counted group, in the order of the groups.
struct DeviceRoom {
  std::vector<DeviceGroup> groups;
  std::vector<DeviceAmount> free;

  DeviceRoom() = default;
  explicit DeviceRoom(std::vector<DeviceGroup> groups);  // all of it free, but those that are out

  // The slot of what `share` names, or -1: there is no such device here.
  int slot(const DeviceShare& share) const;
  // Each of the shares names a device of this node, and together they do not exceed what is free.
  bool holds(const std::vector<DeviceShare>& shares) const;
  void take(const std::vector<DeviceShare>& shares);  // what is unknown here is ignored
  void give(const std::vector<DeviceShare>& shares);
  // Free of a kind, and of a type of it if that is not empty.
  DeviceAmount free_of(std::string_view kind, std::string_view type = {}) const;

  friend bool operator==(const DeviceRoom&, const DeviceRoom&) = default;
};

// A word for a kind or a type: letters, digits, "_", "-" and ".", at most 64.
bool is_device_name(std::string_view text);
// Of all groups of that kind (and type), in thousandths.
DeviceAmount total_of(const std::vector<DeviceGroup>& groups, std::string_view kind,
                      std::string_view type = {});
// Whether a request for `wanted` ("", "a100", "a100|h100") takes devices of `type`.
bool type_matches(std::string_view wanted, std::string_view type);
// "2", "0.25": nothing when it is no amount, or finer than a thousandth. At most a million devices.
std::optional<DeviceAmount> parse_device_amount(std::string_view text);
// Gres= of a node: "gpu:a100:4,net:10G". GPUs are single devices; of other kinds there is a number, with Slurm's suffixes K, M, G, T, P,
// unless the configuration's DeviceKinds names them.
// Errors: bad_devices.
Result<std::vector<DeviceGroup>> parse_device_groups(std::string_view text);
std::string format_device_groups(const std::vector<DeviceGroup>& groups);
// --gres and --gpus: "gpu:a100:2,net:1", of a node each; with `kind` that kind's "[TYPE:]AMOUNT,...". Errors: bad_devices.
Result<std::vector<DeviceRequest>> parse_device_requests(std::string_view text, DevicePer per,
                                                         std::string_view kind = {});
std::string format_device_requests(const std::vector<DeviceRequest>& requests, DevicePer per);
// "2", "0.25": an amount as people write it.
std::string format_amount(DeviceAmount amount);

}  // namespace bai
