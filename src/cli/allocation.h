// Allocation: a job without a batch script, made for bai-alloc and bai-run: submitted, waited for, given back. It lives as long as the
// session that holds it (InactiveLimit after it is gone). One thread.
#pragma once

#include <optional>
#include <string>

#include "base/options.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/submit.h"

namespace bai::cli {

struct AllocationOptions {
  std::string name;     // the job's, where none was given
  std::string command;  // shown with the job
  bool lease = true;    // it ends with its client
  bool quiet = false;
  bool announce = false;  // says that it was granted (salloc), not only that it waited (srun)
  bool immediate = false;
  std::vector<Istr> hosts;  // the node of each task, where these are chosen (--distribution=arbitrary)
};

class Allocation {
 public:
  // Submits and waits until it runs. SIGINT, SIGTERM and SIGHUP, which stay blocked, give it up: error "interrupted".
  // Errors: those of make_submission(), a refusal, "revoked" (it ended while it waited).
  static Result<Allocation> make(Session& session, const Parsed& parsed, const Submitter& submitter,
                                 const AllocationOptions& options, const Reporter& reporter);

  const Job& job() const { return *job_; }
  JobId id() const { return job_->id; }
  Seconds time_limit() const { return time_limit_; }
  // The request whose further replies tell of the job's end.
  const RequestId& hold_id() const { return hold_; }
  // After the session was lost: holds it again. Errors: the job is over, or the controller away.
  Status hold_again(Session& session);
  // Gives it back; its exit status is `exit`. What is over already is no error.
  Status give_back(Session& session, ExitStatus exit) const;

 private:
  std::shared_ptr<const Job> job_;
  Seconds time_limit_ = 0;
  RequestId hold_;
};

// What a job's environment has for what runs beside it, under both names: JOB_ID, JOB_NODELIST, ... "K=V" each.
std::vector<std::string> allocation_variables(const Job& job, Seconds time_limit);

}  // namespace bai::cli
