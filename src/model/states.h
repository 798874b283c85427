// The states of jobs and nodes, why a job waits, and which moves are allowed. Names are Slurm's. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace bai {

enum class JobState : std::uint8_t {
  kPending,
  kConfiguring,
  kRunning,
  kSuspended,
  kCompleting,
  kCompleted,
  kFailed,
  kCancelled,
  kTimeout,
  kNodeFail,
  kPreempted,
  kOutOfMemory,
  kDeadline,
  kBootFail,
  kRequeued,  // of an attempt in accounting only: somebody sent the job back to the queue
};
inline constexpr int kJobStates = 15;

std::string_view name(JobState state);                           // "PENDING"
std::string_view compact(JobState state);                        // "PD"
std::optional<JobState> parse_job_state(std::string_view text);  // either form, any case
inline bool is_finished(JobState state) { return state >= JobState::kCompleted; }
// Holds resources on nodes.
inline bool is_active(JobState state) {
  return state >= JobState::kConfiguring && state <= JobState::kCompleting;
}
// The one table of moves; an illegal one is a bug.
bool may_move(JobState from, JobState to);

// Why a job waits, or why it ended as it did. Slurm's words (squeue's REASON).
enum class Reason : std::uint8_t {
  kNone,
  kPriority,
  kResources,
  kDependency,
  kDependencyNeverSatisfied,
  kJobHeldUser,
  kJobHeldAdmin,
  kBeginTime,
  kPartitionDown,
  kPartitionInactive,
  kPartitionTimeLimit,
  kPartitionNodeLimit,
  kPartitionConfig,  // more than the partition's nodes can ever give
  kReqNodeNotAvail,
  kBadConstraints,
  kJobArrayTaskLimit,
  kLicenses,
  kNonZeroExitCode,
  kRaisedSignal,
  kTimeLimit,
  kDeadline,
  kNodeDown,
  kJobLaunchFailure,
  kJobHoldMaxRequeue,
  kAssocMaxJobsLimit,
  kSystemFailure,
  kPreempted,
  kOutOfMemory,
};
inline constexpr int kReasons = 28;
std::string_view name(Reason reason);  // "Resources"; kNone is "None"

enum class Hold : std::uint8_t { kNone, kUser, kAdmin };

// A node's own condition; allocated, mixed and idle follow from what runs on it.
enum class NodeCondition : std::uint8_t { kUnknown, kUp, kDown, kFuture };
enum class PartitionState : std::uint8_t { kUp, kDown, kDrain, kInactive };
std::string_view name(NodeCondition condition);
std::string_view name(PartitionState state);  // "UP"
std::optional<PartitionState> parse_partition_state(std::string_view text);

}  // namespace bai
