#include "cli/cancel.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/text.h"
#include "cli/actions.h"
#include "cli/begin.h"
#include "cli/job_list.h"
#include "cli/output.h"
#include "cli/slurm_options.h"
#include "cli/slurm_words.h"
#include "cli/values.h"

namespace bai::cli {
namespace {

constexpr auto kReq = ArgKind::required;

// -i: asks for each job that the filter finds; only what was agreed to is left in it. False: nothing is.
Result<bool> ask_for_each(Session& session, wire::JobFilter& filter, bool slurm) {
  wire::QueueRequest request;
  request.filter = filter;
  auto list = fetch_jobs(session, std::move(request));
  if (!list.ok()) return list.error();
  std::vector<wire::JobRef> chosen;
  for (const JobView& job : list->jobs) {
    if (is_finished(job.row->state)) continue;
    std::string question = "Cancel job_id=";
    put_job_id(question, job);
    question += " name=" + std::string(job.text(job.row->name)) +
                " partition=" + std::string(job.text(job.row->partition)) + " [y/n]? ";
    Output(slurm ? 1 : 2).put(question);
    char answer[64] = "";
    if (!std::fgets(answer, sizeof answer, stdin)) break;
    if (answer[0] == 'y' || answer[0] == 'Y') chosen.push_back({job.row->id, kNoTask});
  }
  filter = wire::JobFilter{};
  filter.jobs = std::move(chosen);
  return !filter.jobs.empty();
}

// What scancel says nothing of when a job shall end: it has ended, or there is none. Of a step that is not there it speaks.
bool is_done(const wire::JobResult& result) {
  if (!result.error) return false;
  const Error& error = result.error->error;
  if (result.ref.step != kNoStep) return error.code == "already_finished";
  return error.code == "no_such_job" || error.code == "already_finished" || error.code == "not_running";
}

bool is_empty(const wire::JobFilter& f) {
  return f.jobs.empty() && f.users.empty() && f.partitions.empty() && f.names.empty() && f.accounts.empty() &&
         f.nodes.empty() && f.states.empty() && !f.mine;
}

}  // namespace

// clang-format off
OptionTable cancel_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] [JOB[_TASK][.STEP]...]";
  table.description = "End jobs or steps of them, or send them a signal.";
  table.permute = true;
  table.options = {
      {.name = "account", .letter = 'A', .arg = kReq, .value_name = "LIST", .help = "Jobs of these accounts"},
      {.name = "batch", .letter = 'b', .help = "Signal the batch script only"},
      {.name = "ctld", .help = "Accepted; the controller always signals", .hidden = true},
      {.name = "full", .letter = 'f', .help = "Signal the batch script and all steps"},
      {.name = "hurry", .letter = 'H', .help = "Accepted", .hidden = true},
      {.name = "interactive", .letter = 'i', .help = "Ask before each"},
      {.name = "me", .help = "All of your own"},
      {.name = "name", .letter = 'n', .arg = kReq, .value_name = "LIST", .help = "Jobs of these names", .aliases = {"jobname"}},
      {.name = "nodelist", .letter = 'w', .arg = kReq, .value_name = "NODES", .help = "Jobs on these nodes"},
      {.name = "partition", .letter = 'p', .arg = kReq, .value_name = "LIST", .help = "Jobs in these partitions"},
      {.name = "quiet", .letter = 'Q', .help = "No words for jobs that ended already"},
      {.name = "signal", .letter = 's', .arg = kReq, .value_name = "SIGNAL", .help = "Send this signal instead of ending the job"},
      {.name = "states", .letter = 't', .arg = kReq, .value_name = "LIST", .help = "Jobs in these states", .aliases = {"state"}},
      {.name = "user", .letter = 'u', .arg = kReq, .value_name = "LIST", .help = "Jobs of these users"},
      {.name = "verbose", .letter = 'v', .help = "Say what is done"},
  };
  table.options.push_back(request_id_option());
  if (dialect.slurm)
    for (const Option& option : std::vector<Option>{
             {.name = "qos", .letter = 'q', .arg = ArgKind::required, .value_name = "NAME", .help = "Only jobs of this quality of service", .hidden = true},
             {.name = "reservation", .letter = 'R', .arg = ArgKind::required, .value_name = "NAME", .help = "Only jobs in this reservation: none", .hidden = true},
             {.name = "wckey", .arg = ArgKind::required, .value_name = "NAME", .help = "Only jobs with this key: none", .hidden = true}})
      table.options.push_back(option);
  add_cluster_options(table, dialect);
  add_common_options(table, 0, 'V');
  return table;
}
// clang-format on

int run_cancel(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = cancel_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  auto filter = make_filter(parsed);
  if (!filter.ok()) {
    if (dialect.slurm && filter.error().code == "bad_state")
      return reporter.said("Invalid job state specified: " + parsed.value_or("states", "") +
                           "\nValid job states are PENDING, RUNNING, and SUSPENDED");
    return reporter.mistyped(filter.error());
  }
  for (const auto& word : parsed.rest) {
    auto refs = parse_job_refs(word, StepRefs::kAllowed);
    if (!refs.ok())
      return reporter.mistyped(dialect.slurm ? Error{refs.error().code, "Invalid job id " + word, "", ""}
                                             : refs.error());
    filter->jobs.insert(filter->jobs.end(), refs->begin(), refs->end());
  }
  if (parsed.has("reservation") || parsed.has("wckey")) return 0;
  if (is_empty(*filter) && !parsed.has("qos"))
    return reporter.mistyped({"no_job", "No job identification provided", "", "name jobs, or say --me"});
  auto id = request_id(parsed);
  if (!id.ok()) return reporter.mistyped(id.error());

  wire::ActionRequest request;
  request.action = wire::JobAction::kCancel;
  request.batch_only = parsed.has("batch");
  request.full = parsed.has("full");
  if (const Given* signal = parsed.find("signal")) {
    auto number = parse_signal(signal->value);
    if (!number.ok() && dialect.slurm) return reporter.said("Unknown job signal: " + signal->value);
    if (!number.ok())
      return reporter.mistyped(
          {number.error().code, number.error().message, signal->place, number.error().remedy});
    request.signal = *number;
  }
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  if (const Given* qos = parsed.find("qos")) {
    wire::QueueRequest asked;
    asked.filter = *filter;
    auto list = fetch_jobs(*session, std::move(asked));
    if (!list.ok()) return reporter.refused(list.error(), "slurm_load_jobs error");
    filter->jobs.clear();
    for (const JobView& job : list->jobs)
      if (job.text(job.row->qos) == qos->value) filter->jobs.push_back({job.row->id});
    if (filter->jobs.empty()) return 0;
  }
  if (parsed.has("interactive")) {
    auto any = ask_for_each(*session, *filter, dialect.slurm);
    if (!any.ok()) return reporter.refused(any.error(), "slurm_load_jobs error");
    if (!*any) return 0;
  }
  request.filter = std::move(*filter);
  auto reply = session->get<wire::ActionReply>(std::move(request), *id);
  if (!reply.ok() && dialect.slurm && reply.error().code == "unknown_user") {
    reporter.error_line("Invalid user name: " + parsed.value_or("user", ""));
    return kRefused;
  }
  if (!reply.ok()) return reporter.refused(reply.error(), "Kill job error");
  if (parsed.has("verbose"))
    for (const auto& result : reply->results)
      if (!result.error || dialect.slurm)
        reporter.note((result.ref.step == kNoStep ? "Terminating job " : "Terminating step ") +
                      ref_text(result.ref));
  if (parsed.has("quiet"))
    std::erase_if(reply->results, [](const wire::JobResult& r) {
      return r.error && r.error->error.code == "already_finished";
    });
  if (dialect.slurm && !parsed.has("signal"))
    std::erase_if(reply->results, [&](const wire::JobResult& r) {
      if (!is_done(r)) return false;
      if (parsed.has("verbose"))
        reporter.error_line("Kill job error on job id " + ref_text(r.ref) + ": " +
                            slurm_message(r.error->error));
      return true;
    });
  int shown = show_results(*reply, reporter, [&](const std::string& job, const Error& error) {
    const bool step = job.find('.') != std::string::npos;
    if (!dialect.slurm)
      return (step ? "Kill job error on job step id " : "Kill job error on job id ") + job + ": " +
             error.text();
    if (step)  // "no_such_step" is scancel's "2: Invalid job id", without the step
      return "Kill job error on job step id " +
             (error.code == "no_such_step" ? job.substr(0, job.find('.')) : job) + ": " +
             slurm_message(error);
    const bool waits = error.code == "not_running" && parsed.has("signal");
    return "Kill job error on job id " + job + ": " +
           (waits ? "Invalid job id specified" : slurm_message(error));
  });
  if (dialect.slurm && shown != 0)
    for (const auto& result : reply->results)
      if (result.error && slurm_status(result.error->error) != kRefused)
        shown = slurm_status(result.error->error);
  return shown;
}

}  // namespace bai::cli
