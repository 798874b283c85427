// How a partition's queue is worked off, as configured. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/istr.h"
#include "base/time.h"
#include "model/devices.h"
#include "model/serialize.h"

namespace bai {

enum class SchedulingPolicy : std::uint8_t {
  kDefault,  // as EASY, where those who are predicted to be short come first; without predictions, more planned starts in order
  kFcfs,     // strictly in order of priority: nothing passes a blocked job
  kEasy,  // EASY: a planned start for the first blocked job, the others in order where they do not delay it
  kEasySjbf,      // the same, those who pass are tried from the shortest estimate up
  kConservative,  // every blocked job has a planned start, which stands, and only moves forward
};
std::string_view name(SchedulingPolicy policy);  // "default", "fcfs", "easy", "easy-sjbf", "conservative"
std::optional<SchedulingPolicy> parse_scheduling_policy(std::string_view text);  // any case

// Which nodes are taken of those that fit, by name: see PartitionScheduling::placement.
const std::vector<std::string_view>& placement_names();
// "x" of "plugin:x", letters, digits, - and _, 64 at most; empty: no plugin is named.
std::string_view placement_plugin(std::string_view placement);
// One of the names in any case, or a plugin's; nothing for others.
std::optional<Istr> parse_placement(std::string_view text);

// Whether run times are predicted from the user's past jobs. Predictions order and backfill; they never end a job.
enum class Prediction : std::uint8_t { kPolicy, kOff, kOn };  // kPolicy: as the partition's policy has it

// Keys of a PartitionName line.
struct PartitionScheduling {
  SchedulingPolicy policy = SchedulingPolicy::kDefault;
  Prediction prediction = Prediction::kPolicy;
  std::uint32_t planned_starts =
      0;  // how many blocked jobs get exact planned starts; 0: the cluster's setting
  std::uint32_t planned_starts_per_user =
      0;  // and of one user at most (Slurm's bf_max_job_user_part); 0: any number
  // Which nodes are taken of those that fit: "concentrated" (pack), "dispersed" (spread), "roundrobin", "topology" (fewest
  // leaf switches), "fragmentation" (of GPUs), or "plugin:NAME"; empty: "concentrated".
  Istr placement;

  friend bool operator==(const PartitionScheduling&, const PartitionScheduling&) = default;
  template <class A>
  void serialize(A& a) {
    a(at_most(policy, SchedulingPolicy::kConservative), at_most(prediction, Prediction::kOn), planned_starts,
      planned_starts_per_user, placement);
  }
};

// For the whole cluster.
struct SchedulingSettings {
  std::uint32_t planned_starts =
      0;  // of each partition that does not say; 0: 1 with predicted run times, else 100
  Seconds backfill_interval = 30;  // a full pass at least this often while jobs wait
  // A pass that costs less (in nodes and releases looked at) is made whenever something changed; a larger one at the interval,
  // or when what was planned is void, and changes in between are decided one by one.
  std::uint64_t cheap_pass_steps = 50'000;
  std::uint32_t device_quantum = kDefaultDeviceQuantum;  // thousandths of a device

  friend bool operator==(const SchedulingSettings&, const SchedulingSettings&) = default;
};

}  // namespace bai
