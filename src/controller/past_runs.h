// What the scheduler learned of run times before the controller was started anew: read from the history.
#pragma once

#include <optional>
#include <vector>

#include "sokovan/sokovan.h"
#include "store/store.h"

namespace bai::controller {

// So many of the newest rows; a prediction asks for four runs of a user's.
inline constexpr std::uint32_t kPastRuns = 20'000;

// The jobs that ended last, oldest first. Without them nothing is wrong but predictions: an error is logged, and none are given.
// On the thread that owns the reader.
std::vector<JobPtr> past_runs(store::Reader& reader);

// What the scheduler learns from one, with the limit that was in force; nothing from an attempt that did not come to its own end.
std::optional<sokovan::RunEnded> run_of(const Job& job, Seconds limit);

}  // namespace bai::controller
