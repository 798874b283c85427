// A list of jobs as commands show it: fetched, expanded, sorted. One thread.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "cli/job_fields.h"
#include "cli/session.h"
#include "cli/values.h"

namespace bai::cli {

struct JobList {
  std::deque<wire::JobTable> tables;  // what the views point into
  std::vector<JobView> jobs;
  Time now;
  std::vector<std::string> unknown_users;  // that --user named
  bool stale = false;

  void add(wire::JobsReply reply);
};

// All tables of one QueueRequest or AccountingRequest.
Result<JobList> fetch_jobs(Session& session, wire::RequestBody request);

// The filters that bai-queue, bai-cancel and bai-acct share, out of the options jobs, user, me, partition, name, account,
// nodelist and states, where they were given. Errors: those of the values, with their place.
Result<wire::JobFilter> make_filter(const Parsed& parsed, StepRefs steps = StepRefs::kRefused);

// One view for each waiting task in place of its array's head.
void expand_arrays(std::vector<JobView>& jobs);

// Where `refs` name single tasks of an array whose head waits: a view for each of these in place of the head.
void narrow_arrays(std::vector<JobView>& jobs, const std::vector<wire::JobRef>& refs);

// Sorts as squeue -S says: letters of job_fields() with + or - before them, most significant first;
// what is equal stands as squeue has it: last started, then last submitted.
// Errors: bad_sort.
Status sort_jobs(std::vector<JobView>& jobs, std::string_view spec);

}  // namespace bai::cli
