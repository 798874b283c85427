#include "controller/past_runs.h"

#include <algorithm>

#include "base/log.h"
#include "sokovan/asked.h"

namespace bai::controller {

std::vector<JobPtr> past_runs(store::Reader& reader) {
  store::HistoryQuery newest;
  newest.newest_first = true;
  newest.limit = kPastRuns;
  std::vector<JobPtr> out;
  const auto read = reader.history(newest, [&](store::HistoryRow row) {
    out.push_back(std::move(row.job));
    return true;
  });
  if (!read) {
    log::warning("run times are predicted without what ran before", {{"why", read.error().text()}});
    return {};
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::optional<sokovan::RunEnded> run_of(const Job& job, Seconds limit) {
  if (!is_finished(job.state) || job.state == JobState::kRequeued || job.state == JobState::kNodeFail ||
      !job.started.is_set() || job.ended < job.started)
    return std::nullopt;
  return sokovan::RunEnded{job.spec->uid, limit, run_time(job, job.ended),
                           sokovan::cpus_asked(job.spec->request)};
}

}  // namespace bai::controller
