// What holds a step in its place, as the launch says it: cgroups with their limits, processors, directories of its own. Decided by
// the agent, carried out by the shepherd. A nested record of the launch file; the format is frozen (record.h).
// Any thread; plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::step {

constexpr size_t kMaxTrees = 16;
constexpr size_t kMaxSettings = 512;  // of one level of a tree
constexpr size_t kMaxSettingBytes = 64u << 10;
constexpr size_t kMaxPrivateDirs = 16;
constexpr size_t kMaxMaskBytes = 1024;  // 8,192 processors

// What is written into a file of a cgroup's directory right after the directory was made. "devices.deny" works on v2 as well, which
// has no such file (device_filter.h).
struct CgroupSetting {
  std::string file, value;
  bool operator==(const CgroupSetting&) const = default;
};

// The job's place in one hierarchy: PARENT/job-ID.ATTEMPT/step-...; each directory is made when it is not there, PARENT too, and given its
// settings in order.
struct CgroupTree {
  std::string parent;  // absolute
  std::vector<CgroupSetting> node, job, step;
  bool operator==(const CgroupTree&) const = default;
};

// A device that a job may not open; cgroup's words. minor -1: all of that major number.
struct DeviceRule {
  bool block = false;
  uint32_t major = 0;
  int64_t minor = -1;
  bool operator==(const DeviceRule&) const = default;
};
std::string format_rule(const DeviceRule& rule);  // "c 195:3 rwm"
// Errors: bad_record.
Result<DeviceRule> parse_rule(std::string_view text);

struct Confinement {
  std::vector<CgroupTree> trees;
  // The job's processors on this node: bit i of byte i / 8 is processor i, for sched_setaffinity(2). Empty: as inherited.
  std::string cpu_mask;
  bool no_new_privileges = false;
  // Directories (/tmp, /dev/shm) of which the job sees its own instead: DIR/.bai-private/JOB of the same file system. Root only.
  std::vector<std::string> private_dirs;
  uint32_t sample_s = 0;    // its use is looked at so often; 0: at its end only
  uint64_t memory_mib = 0;  // the limit, for messages; 0: none
  // Set: each task says on its standard error where it is bound, and this of the way: "MASK", "MAP ", "RANK", "NONE", Slurm's words.
  std::string say_binding;

  bool empty() const { return *this == Confinement(); }
  bool operator==(const Confinement&) const = default;
};

std::string encode_confinement(const Confinement& confinement);
// Errors: bad_record; every length is checked before anything is copied.
Result<Confinement> decode_confinement(std::string_view value);

}  // namespace bai::step
