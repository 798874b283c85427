// bai-control: an administrator's and a user's levers, in scontrol's words. One thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/options.h"
#include "cli/dialect.h"
#include "cli/report.h"
#include "cli/session.h"

namespace bai::cli {

// The whole command; its exit status.
int run_control(const Dialect& dialect, int argc, const char* const* argv);
OptionTable control_table(const Dialect& dialect);

// What a subcommand is given.
struct ControlCall {
  const Parsed& parsed;            // options
  std::vector<std::string> words;  // behind the subcommand's name
  Reporter& reporter;
  // Opens the session when it is needed first; an error was printed when it fails, and `status` set.
  std::function<Session*(int& status)> session;
};

// The subcommands; each returns the exit status.
int control_show(ControlCall& call);
int control_update(ControlCall& call);
int control_drain_plan(ControlCall& call);
int control_write(ControlCall& call);
// control_site.cc
int show_licenses(ControlCall& call);
int show_topology(ControlCall& call);
int show_aliases(ControlCall& call);
int show_daemons(ControlCall& call);
// control_jobs.cc
int control_completing(ControlCall& call);
int control_wait_job(ControlCall& call);
int control_list_pids(ControlCall& call);
// control_update.cc: create, delete
int control_create(ControlCall& call);
int control_delete(ControlCall& call);
int control_ping(ControlCall& call);
int control_check_config(ControlCall& call);
// hold, uhold, release, requeue, requeuehold, suspend, resume
int control_jobs(ControlCall& call, wire::JobAction action, bool user_hold);
// drain, resume
int control_nodes(ControlCall& call, std::string_view state);
int control_plain(ControlCall& call, wire::RequestBody request);

// The words "JOB,JOB_TASK ..." or "JobId=..." behind a subcommand as one filter. Errors: bad_job_id, no_job.
Result<std::vector<wire::JobRef>> job_words(const std::vector<std::string>& words);

}  // namespace bai::cli
