#include "cli/acct.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <unordered_map>

#include "base/text.h"
#include "base/units.h"
#include "cli/begin.h"
#include "cli/job_list.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/slurm_options.h"
#include "cli/step_list.h"

namespace bai::cli {
namespace {

constexpr auto kReq = ArgKind::required;
constexpr std::string_view kFormat = "jobid,jobname,partition,account,alloccpus,state,exitcode";
constexpr std::string_view kBrief = "jobid,state,exitcode";
constexpr std::string_view kLong =
    "jobid,jobidraw,jobname,partition,maxrss,ntasks,alloccpus,elapsed,state,exitcode,reqmem,alloctres,"
    "usercpu,systemcpu,nodelist";

Time wall_clock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return Time{now.tv_sec * 1'000'000 + now.tv_nsec / 1000};
}

Time midnight(Time now) {
  std::time_t t = now.seconds();
  std::tm tm{};
  localtime_r(&t, &tm);
  tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
  tm.tm_isdst = -1;
  return Time::from_seconds(mktime(&tm));
}

Result<wire::AccountingRequest> make_request(const Parsed& parsed) {
  wire::AccountingRequest out;
  auto filter = make_filter(parsed, StepRefs::kAllowed);
  if (!filter.ok()) return filter.error();
  out.filter = std::move(*filter);
  const Time now = wall_clock();
  out.since = out.filter.jobs.empty() ? midnight(now) : Time{1};
  for (auto [option, into] : {std::pair{"starttime", &out.since}, std::pair{"endtime", &out.until}})
    if (const Given* given = parsed.find(option)) {
      auto at = parse_when(given->value, now, When::kPast);
      if (!at.ok()) return Error{at.error().code, at.error().message, given->place, at.error().remedy};
      *into = *at;
    }
  if (out.until.is_set() && out.until < out.since)
    return Error{"bad_time", "End time is before start time", "--endtime",
                 "give a later one, or an earlier --starttime"};
  out.all_users = parsed.has("allusers") || (geteuid() == 0 && out.filter.users.empty());
  return out;
}

// A requeued job has a record for each start, in their order; what it is now comes last.
void keep_last_starts(std::vector<JobView>& jobs) {
  std::unordered_map<JobId, std::size_t> last;
  for (std::size_t i = 0; i < jobs.size(); ++i) last[jobs[i].row->id] = i;
  std::size_t i = 0;
  std::erase_if(jobs, [&](const JobView& job) { return last[job.row->id] != i++; });
}

// Only steps of it were named.
bool only_steps(const JobView& job, const std::vector<wire::JobRef>& refs) {
  bool named = false;
  for (const auto& ref : refs) {
    if (ref.job != job.row->id && ref.job != job.row->array_id) continue;
    if (ref.task != kNoTask && ref.task != job.row->array_task) continue;
    if (ref.step == kNoStep) return false;
    named = true;
  }
  return named;
}

// What else --qos, --nnodes and the like ask of jobs.
struct Narrowing {
  std::string qos, group, constraints, reason;
  std::optional<CountRange> nodes, cpus;
  std::optional<Seconds> limit_min, limit_max;

  bool matches(const JobView& job) const {
    const auto among = [](const std::string& list, std::string_view word) {
      const auto words = split_list(list);
      return list.empty() ||
             std::any_of(words.begin(), words.end(), [&](auto one) { return iequals(one, word); });
    };
    const auto within = [](const std::optional<CountRange>& range, std::uint32_t n) {
      return !range || (n >= range->min && n <= (range->max == 0 ? range->min : range->max));
    };
    const auto& row = *job.row;
    if (!constraints.empty() && job.text(row.constraint).find(constraints) == std::string_view::npos)
      return false;
    if (!among(qos, job.text(row.qos)) || !among(reason, reason_text(job)) || !within(nodes, row.nodes) ||
        !within(cpus, row.cpus))
      return false;
    if (!among(group, job.text(row.group)) && !among(group, std::to_string(row.gid))) return false;
    const Seconds limit = row.time_limit == kUnlimited ? INT64_MAX : row.time_limit;
    return (!limit_min || (limit_max ? limit >= *limit_min : limit == *limit_min)) &&
           (!limit_max || limit <= *limit_max);
  }
};

Result<Narrowing> read_narrowing(const Parsed& parsed) {
  Narrowing out;
  out.qos = parsed.value_or("qos", "");
  out.group = parsed.value_or("group", "");
  out.constraints = parsed.value_or("constraints", "");
  out.reason = parsed.value_or("reason", "");
  for (auto [option, into] : {std::pair{"nnodes", &out.nodes}, std::pair{"ncpus", &out.cpus}})
    if (const Given* given = parsed.find(option)) {
      auto range = parse_count_range(given->value);
      if (!range.ok())
        return Error{range.error().code, range.error().message, given->place, range.error().remedy};
      *into = *range;
    }
  for (auto [option, into] :
       {std::pair{"timelimit-min", &out.limit_min}, std::pair{"timelimit-max", &out.limit_max}})
    if (const Given* given = parsed.find(option)) {
      auto limit = parse_time_limit(given->value);
      if (!limit.ok())
        return Error{limit.error().code, limit.error().message, given->place, limit.error().remedy};
      *into = *limit == kUnlimited ? INT64_MAX : *limit;
    }
  return out;
}

// As long as the controller keeps the job's record.
int show_scripts(Session& session, const JobList& list, bool environment, const Reporter& reporter) {
  Output out;
  int status = 0;
  for (const JobView& job : list.jobs) {
    auto reply = session.get<wire::ScriptReply>(wire::ScriptRequest{{job.row->id}});
    if (!reply.ok()) {
      out.flush();
      status = reporter.refused(reply.error(), "slurmdb_jobs_get error");
      continue;
    }
    std::string text = environment ? reply->environment : reply->script;
    if (environment) std::replace(text.begin(), text.end(), '\0', '\n');
    out.put((environment ? "Environment used for " : "Batch Script for ") + std::to_string(job.row->id) +
            "\n" + std::string(80, '-') + "\n" + text);
    if (!text.ends_with('\n')) out.put("\n");
  }
  return status;
}

}  // namespace

// clang-format off
OptionTable acct_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...]";
  table.description = "Show jobs that ran and run, with what they used. By default those of today.";
  table.options = {
      {.name = "account", .letter = 'A', .arg = kReq, .value_name = "LIST", .help = "Only these accounts", .aliases = {"accounts"}},
      {.name = "allocations", .letter = 'X', .help = "Jobs only, without their steps"},
      {.name = "allusers", .letter = 'a', .help = "Everybody's jobs"},
      {.name = "brief", .letter = 'b', .help = "Job, state and exit code only"},
      {.name = "delimiter", .arg = kReq, .value_name = "TEXT", .help = "Between fields with -p and -P (|)"},
      {.name = "duplicates", .letter = 'D', .help = "Every start of a job that was requeued, not only the last"},
      {.name = "endtime", .letter = 'E', .arg = kReq, .value_name = "TIME", .help = "Jobs that ran before this (now)"},
      {.name = "format", .letter = 'o', .arg = kReq, .value_name = "FIELDS", .help = "Fields with widths: jobid,state%20", .env = "FORMAT"},
      {.name = "helpformat", .letter = 'e', .help = "Name the fields"},
      {.name = "jobs", .letter = 'j', .arg = kReq, .value_name = "LIST", .help = "Only these jobs, of any time"},
      {.name = "long", .letter = 'l', .help = "More fields"},
      {.name = "me", .help = "Only your own"},
      {.name = "name", .arg = kReq, .value_name = "LIST", .help = "Only jobs of these names"},
      {.name = "nodelist", .letter = 'N', .arg = kReq, .value_name = "NODES", .help = "Only jobs that ran on these nodes"},
      {.name = "noheader", .letter = 'n', .help = "No title lines"},
      {.name = "parsable", .letter = 'p', .help = "Fields end with |"},
      {.name = "parsable2", .letter = 'P', .help = "| between fields"},
      {.name = "partition", .letter = 'r', .arg = kReq, .value_name = "LIST", .help = "Only these partitions"},
      {.name = "starttime", .letter = 'S', .arg = kReq, .value_name = "TIME", .help = "Jobs that ran after this (today, 0:00)"},
      {.name = "states", .letter = 's', .arg = kReq, .value_name = "LIST", .help = "Only jobs in these states", .aliases = {"state"}},
      {.name = "truncate", .letter = 'T', .help = "Accepted", .hidden = true},
      {.name = "user", .letter = 'u', .arg = kReq, .value_name = "LIST", .help = "Only these users", .aliases = {"uid"}},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
  };
  if (dialect.slurm)
    for (const Option& option : std::vector<Option>{
             {.name = "allclusters", .letter = 'L', .help = "Accepted: there is one", .hidden = true},
             {.name = "noconvert", .help = "Accepted", .hidden = true},
             {.name = "units", .arg = kReq, .value_name = "UNIT", .help = "Accepted", .hidden = true},
             {.name = "use-local-uid", .help = "Accepted: it is so", .hidden = true},
             {.name = "whole-hetjob", .arg = ArgKind::optional, .value_name = "yes|no", .help = "Accepted", .hidden = true}})
      table.options.push_back(option);
  for (const Option& option : std::vector<Option>{
           {.name = "constraints", .letter = 'C', .arg = kReq, .value_name = "LIST", .help = "Only jobs that asked for these features"},
           {.name = "env-vars", .help = "The environment that jobs of --jobs were given"},
           {.name = "batch-script", .letter = 'B', .help = "The scripts of jobs of --jobs"},
           {.name = "group", .letter = 'g', .arg = kReq, .value_name = "LIST", .help = "Only jobs of these groups", .aliases = {"gid"}},
           {.name = "ncpus", .letter = 'I', .arg = kReq, .value_name = "N[-M]", .help = "Only jobs with so many processors"},
           {.name = "nnodes", .letter = 'i', .arg = kReq, .value_name = "N[-M]", .help = "Only jobs with so many nodes"},
           {.name = "qos", .letter = 'q', .arg = kReq, .value_name = "LIST", .help = "Only jobs of these qualities of service"},
           {.name = "reason", .letter = 'R', .arg = kReq, .value_name = "LIST", .help = "Only jobs that waited for these reasons"},
           {.name = "timelimit-max", .letter = 'K', .arg = kReq, .value_name = "TIME", .help = "Only jobs with at most this limit"},
           {.name = "timelimit-min", .letter = 'k', .arg = kReq, .value_name = "TIME", .help = "Only jobs with at least this limit"}})
    table.options.push_back(option);
  add_cluster_options(table, dialect);
  add_common_options(table, 'h', 'V');
  return table;
}
// clang-format on

int run_acct(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = acct_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, {"BAI_ACCT_", "SACCT_"}, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  if (parsed.has("helpformat")) {
    std::vector<std::string_view> names;
    for (const auto& field : acct_fields()) names.push_back(field.name);
    Output().put(print_help(names));
    return 0;
  }
  if (!parsed.rest.empty())
    return reporter.mistyped(
        {"bad_option", "Unknown arguments: " + parsed.rest[0], "", "jobs are given with --jobs"});
  const Given* format = parsed.find("format");
  std::string all;  // of "ALL"
  if (format && iequals(format->value, "ALL"))
    for (const auto& field : acct_fields()) (all += all.empty() ? "" : ",") += field.name;
  auto columns = parse_acct_format(!all.empty()          ? std::string_view(all)
                                   : format              ? std::string_view(format->value)
                                   : parsed.has("brief") ? kBrief
                                   : parsed.has("long")  ? kLong
                                                         : kFormat);
  if (!columns.ok())
    return reporter.mistyped(
        {columns.error().code, columns.error().message, format ? format->place : "", columns.error().remedy});
  auto request = make_request(parsed);
  if (!request.ok()) return reporter.mistyped(request.error());
  auto wanted = read_narrowing(parsed);
  if (!wanted.ok()) return reporter.mistyped(wanted.error());
  if ((parsed.has("batch-script") || parsed.has("env-vars")) && request->filter.jobs.empty())
    return reporter.mistyped({"bad_option", "scripts and environments are shown of jobs that are named", "",
                              "name them with --jobs"});
  const auto refs = request->filter.jobs;
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  auto list = fetch_jobs(*session, std::move(*request));
  if (!list.ok()) return reporter.refused(list.error(), "slurmdb_jobs_get error");
  if (list->stale) reporter.note("the controller's store is failing: this is what was durable last");

  if (!parsed.has("duplicates")) keep_last_starts(list->jobs);
  std::erase_if(list->jobs, [&](const JobView& job) { return !wanted->matches(job); });
  if (parsed.has("batch-script") || parsed.has("env-vars"))
    return show_scripts(*session, *list, parsed.has("env-vars"), reporter);
  (void)sort_jobs(list->jobs, "i");

  StepList steps;
  if (!parsed.has("allocations")) {
    auto fetched = fetch_steps(*session, list->jobs);
    if (!fetched.ok()) return reporter.refused(fetched.error(), "slurmdb_jobs_get error");
    steps = std::move(*fetched);
    narrow_steps(steps.views, refs);
  }
  std::span<const StepView> left = steps.views;  // in the jobs' order
  const auto take_steps = [&left](const JobView& job) {
    std::size_t n = 0;
    while (n < left.size() && left[n].job.row == job.row) n++;
    const auto out = left.first(n);
    left = left.subspan(n);
    return out;
  };

  const std::string cluster = session->config().cluster_name;
  Output out;
  if (reporter.json()) {
    JsonWriter json(out.buffer());
    json.begin_object().time("now_at", list->now).flag("stale", list->stale).key("jobs").begin_array();
    for (const JobView& job : list->jobs) {
      put_job_json(json.line(), job, [&] {
        if (parsed.has("allocations")) return;
        json.key("steps").begin_array();
        for (const StepView& step : take_steps(job)) put_step_json(json.line(), step);
        json.end_array();
      });
      out.done_line();
    }
    json.end_array().end_object();
    out.put("\n");
  } else {
    const PrintStyle style = parsed.has("parsable2")  ? PrintStyle::kParsable2
                             : parsed.has("parsable") ? PrintStyle::kParsable
                                                      : PrintStyle::kColumns;
    const std::string delimiter = parsed.value_or("delimiter", "|");
    if (!parsed.has("noheader")) put_print_header(out.buffer(), *columns, style, delimiter);
    for (const JobView& job : list->jobs) {
      if (!only_steps(job, refs))
        put_print_row(out.buffer(), *columns, AcctRow{job, nullptr, cluster}, style, delimiter);
      for (const StepView& step : take_steps(job))
        put_print_row(out.buffer(), *columns, AcctRow{job, step.step, cluster}, style, delimiter);
      out.done_line();
    }
  }
  out.flush();
  return out.failed() ? kRefused : 0;
}

}  // namespace bai::cli
