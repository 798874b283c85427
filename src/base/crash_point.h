// Crash points: named places in the programs at which a test can have the process killed, to prove that nothing is lost
// on that edge, or sent another signal, to prove that it minds it there. Off (always, save under BAI_CRASH_POINT) one costs a relaxed load. A name that is not in the table
// below does not compile; a test enumerates the table.
// crash_point() may be called from any thread; crash_points_init() once, from main, before threads start.
#pragma once

#include <atomic>
#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>

#include "base/result.h"

namespace bai {

// The one table. "program.edge"; an edge is named by the durable or visible act beside it.
inline constexpr std::string_view kCrashPoints[] = {
    "ctld.request_received",
    "ctld.before_commit",
    "ctld.after_commit",
    "ctld.before_reply",
    "ctld.before_launch_sent",
    "ctld.after_launch_sent",
    "ctld.end_received",
    "ctld.end_committed",
    "agent.launch_received",
    "agent.before_claim",
    "agent.after_claim",
    "agent.before_fork",
    "agent.after_fork",
    "agent.end_seen",
    "agent.end_sent",
    "agent.before_forget",
    "agent.suspend_recorded",
    "step.before_fork",
    "step.after_fork",
    "step.before_status",
    "step.after_status",
    "cluster.directory_made",
    "cluster.settings_written",
    "cluster.munged_started",
    "cluster.initdb_started",
    "cluster.postgres_started",
    "cluster.ctld_started",
    "cluster.agent_started",
    "cluster.ready",
    "cluster.command_started",
    "cluster.going_down",
    "cluster.processes_ended",
};

// An entry of the table, looked up while compiling.
class CrashPoint {
 public:
  consteval CrashPoint(const char* name) : index_(find(name)) {}  // NOLINT: implicit on purpose
  std::size_t index() const { return index_; }

 private:
  static consteval std::size_t find(std::string_view name) {
    for (std::size_t i = 0; i < std::size(kCrashPoints); ++i)
      if (kCrashPoints[i] == name) return i;
    throw "this name is not in kCrashPoints";
  }
  std::size_t index_;
};

namespace detail {
inline constexpr std::size_t kNoCrashPoint = static_cast<std::size_t>(-1);
extern std::atomic<std::size_t> armed_crash_point;
void crash_point_reached();
}  // namespace detail

// Dies here (the name and a newline on fd 2, then SIGKILL to itself) if this point is armed and this is its nth passing; goes
// on if another signal is set, which need not end it.
inline void crash_point(CrashPoint point) {
  if (detail::armed_crash_point.load(std::memory_order_relaxed) == point.index()) [[unlikely]]
    detail::crash_point_reached();
}

// Reads BAI_CRASH_POINT=NAME[:NTH][=[-]SIGNAL] (NTH counts from 1; SIGNAL is a number, with '-' for the whole process group). An unknown name or a bad number is an error, so that a test
// cannot pass by a typing mistake.
Status crash_points_init();

// All names, for enumeration.
std::span<const std::string_view> crash_point_names();

}  // namespace bai
