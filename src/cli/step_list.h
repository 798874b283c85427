// Lists of steps as commands show them: fetched for jobs, with squeue's columns, `show step` and JSON. One thread.
#pragma once

#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/job_list.h"
#include "model/step.h"

namespace bai::cli {

// A step and the job that it belongs to. Points into lists that must outlive it.
struct StepView {
  JobView job;
  const Step* step = nullptr;
};

struct StepList {
  std::deque<Step> steps;  // what the views point into
  std::vector<StepView> views;
};

// The batch script of a job as a step; nothing when it has none, or has not started.
std::optional<Step> batch_step(const JobView& job);

// The steps of these jobs' starts, in the jobs' order; the batch script's goes first.
Result<StepList> fetch_steps(Session& session, const std::vector<JobView>& jobs);

// Where `refs` name steps: only these of their jobs. Refs without a step leave all of theirs.
void narrow_steps(std::vector<StepView>& steps, const std::vector<wire::JobRef>& refs);

// "7.0", "7_3.batch"; with `raw` the job's own number.
void put_step_id(std::string& out, const StepView& view, bool raw = false);
// Seconds that it has run, or ran.
Seconds run_time(const StepView& view);  // without the time that it was suspended
Seconds suspended_time(const StepView& view);
// "cpu=4,mem=2G,node=2".
std::string tres_text(const Step& step);

// squeue --steps' letters and names.
std::span<const Field<StepView>> step_fields();
// Sorts by letters of step_fields(), as squeue -S says; otherwise by number. Errors: bad_sort.
Status sort_steps(std::vector<StepView>& steps, std::string_view spec);

// As `scontrol show step` prints it.
void show_step(std::string& out, const StepView& view, bool one_line);
// One JSON object.
void put_step_json(JsonWriter& json, const StepView& view);

}  // namespace bai::cli
