// What can be shown of a job: squeue's letters and names, `show job` and JSON. Pure functions; any thread.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "cli/format.h"
#include "cli/output.h"
#include "wire/job_table.h"

namespace bai::cli {

// A row with what is needed to tell about it. Points into a JobTable, which must outlive it.
struct JobView {
  const wire::JobTable* table = nullptr;
  const wire::JobRow* row = nullptr;
  Time now;                         // the controller's
  std::uint32_t task = kNoTask;     // with -r: one of the tasks that a head stands for
  std::string_view partition = {};  // with --priority: one of those that it asked for

  std::string_view text(wire::TextId id) const { return table->text(id); }
  bool is_head() const { return row->array_waiting != 0 && task == kNoTask; }
};

std::span<const Field<JobView>> job_fields();

// "7", "7_3", "7_[1-9%2]".
void put_job_id(std::string& out, const JobView& job);
// Seconds that it has run, or ran.
Seconds run_time(const JobView& job);  // without the time that it was suspended
Seconds suspended_time(const JobView& job);
// When it will end or ended; not set when nobody knows.
Time end_time(const JobView& job);
// The reason as a word, or the sentence that says more where the job failed to start.
std::string_view reason_text(const JobView& job);
std::uint32_t shown_priority(const JobView& job);
// The name of an input or output file, its patterns replaced as far as they are known.
void put_path(std::string& out, const JobView& job, wire::TextId id);
// The script's path and arguments.
std::string command_line(const JobView& job);
// NO, USER or OK.
std::string_view oversubscribe(const JobView& job);
// When it started, or is expected to; its --begin while that is all that is known.
Time start_time(const JobView& job);
// Since when it may start; not set while it is held or waits for other jobs.
Time eligible_time(const JobView& job);
// It starts or has started, and has no time limit.
bool ends_never(const JobView& job);
// MiB for each node or processor as it was asked for; 0 also for all of a node's.
std::uint64_t asked_memory(const JobView& job);
// "cpu=2,mem=200M,node=1,billing=2": held, or at least needed.
std::string tres_text(const JobView& job);
// Processors that a node must have at least.
std::uint32_t least_cpus(const JobView& job);

// One JSON object; `more` may add to its end.
void put_job_json(JsonWriter& json, const JobView& job, const std::function<void()>& more = {});

}  // namespace bai::cli
