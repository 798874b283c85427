#include "model/states.h"

#include <array>

#include "base/text.h"

namespace bai {
namespace {

struct StateName {
  std::string_view name;
  std::string_view compact;
};
constexpr std::array<StateName, kJobStates> kStateNames = {{{"PENDING", "PD"},
                                                            {"CONFIGURING", "CF"},
                                                            {"RUNNING", "R"},
                                                            {"SUSPENDED", "S"},
                                                            {"COMPLETING", "CG"},
                                                            {"COMPLETED", "CD"},
                                                            {"FAILED", "F"},
                                                            {"CANCELLED", "CA"},
                                                            {"TIMEOUT", "TO"},
                                                            {"NODE_FAIL", "NF"},
                                                            {"PREEMPTED", "PR"},
                                                            {"OUT_OF_MEMORY", "OOM"},
                                                            {"DEADLINE", "DL"},
                                                            {"BOOT_FAIL", "BF"},
                                                            {"REQUEUED", "RQ"}}};

constexpr std::array<std::string_view, kReasons> kReasonNames = {"None",
                                                                 "Priority",
                                                                 "Resources",
                                                                 "Dependency",
                                                                 "DependencyNeverSatisfied",
                                                                 "JobHeldUser",
                                                                 "JobHeldAdmin",
                                                                 "BeginTime",
                                                                 "PartitionDown",
                                                                 "PartitionInactive",
                                                                 "PartitionTimeLimit",
                                                                 "PartitionNodeLimit",
                                                                 "PartitionConfig",
                                                                 "ReqNodeNotAvail",
                                                                 "BadConstraints",
                                                                 "JobArrayTaskLimit",
                                                                 "Licenses",
                                                                 "NonZeroExitCode",
                                                                 "RaisedSignal",
                                                                 "TimeLimit",
                                                                 "Deadline",
                                                                 "NodeDown",
                                                                 "JobLaunchFailure",
                                                                 "JobHoldMaxRequeue",
                                                                 "AssocMaxJobsLimit",
                                                                 "SystemFailure",
                                                                 "Preempted",
                                                                 "OutOfMemory"};

constexpr std::uint32_t bit(JobState state) { return 1u << static_cast<unsigned>(state); }
constexpr std::uint32_t kEnds =
    bit(JobState::kCompleted) | bit(JobState::kFailed) | bit(JobState::kCancelled) | bit(JobState::kTimeout) |
    bit(JobState::kNodeFail) | bit(JobState::kPreempted) | bit(JobState::kOutOfMemory) |
    bit(JobState::kDeadline) | bit(JobState::kBootFail);

// From each state, the states that may follow. Every state that holds resources can end, or go back to the queue (requeue).
constexpr std::uint32_t moves_from(JobState from) {
  switch (from) {
    case JobState::kPending:
      return bit(JobState::kConfiguring) | bit(JobState::kCancelled) | bit(JobState::kDeadline) |
             bit(JobState::kFailed);
    case JobState::kConfiguring:
      return bit(JobState::kRunning) | bit(JobState::kCompleting) | bit(JobState::kPending) | kEnds;
    case JobState::kRunning:
      return bit(JobState::kSuspended) | bit(JobState::kCompleting) | bit(JobState::kPending) | kEnds;
    case JobState::kSuspended:
      return bit(JobState::kRunning) | bit(JobState::kCompleting) | bit(JobState::kPending) | kEnds;
    case JobState::kCompleting:
      return bit(JobState::kPending) | kEnds;
    default:
      return bit(JobState::kPending);  // an operator or the job's owner requeues it
  }
}

}  // namespace

std::string_view name(JobState state) { return kStateNames[static_cast<std::size_t>(state)].name; }
std::string_view compact(JobState state) { return kStateNames[static_cast<std::size_t>(state)].compact; }

std::optional<JobState> parse_job_state(std::string_view text) {
  for (int i = 0; i < kJobStates; ++i)
    if (iequals(text, kStateNames[i].name) || iequals(text, kStateNames[i].compact))
      return static_cast<JobState>(i);
  return std::nullopt;
}

bool may_move(JobState from, JobState to) { return moves_from(from) & bit(to); }

std::string_view name(Reason reason) { return kReasonNames[static_cast<std::size_t>(reason)]; }

std::string_view name(NodeCondition condition) {
  constexpr std::array<std::string_view, 4> kNames = {"UNKNOWN", "UP", "DOWN", "FUTURE"};
  return kNames[static_cast<std::size_t>(condition)];
}

std::string_view name(PartitionState state) {
  constexpr std::array<std::string_view, 4> kNames = {"UP", "DOWN", "DRAIN", "INACTIVE"};
  return kNames[static_cast<std::size_t>(state)];
}

std::optional<PartitionState> parse_partition_state(std::string_view text) {
  for (auto state :
       {PartitionState::kUp, PartitionState::kDown, PartitionState::kDrain, PartitionState::kInactive})
    if (iequals(text, name(state))) return state;
  return std::nullopt;
}

}  // namespace bai
