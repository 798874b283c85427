#include "cli/stat.h"

#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "cli/await.h"
#include "cli/begin.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/slurm_words.h"
#include "cli/values.h"
#include "model/step.h"

namespace bai::cli {
namespace {

constexpr auto kReq = ArgKind::required;
constexpr std::string_view kFormat =
    "jobid,ntasks,avecpu,mincpu,averss,maxrss,maxrssnode,maxdiskread,maxdiskwrite,nodelist";
constexpr std::string_view kSlurmFormat =
    "jobid,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,maxrssnode,maxrsstask,averss,maxpages,"
    "maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,mincputask,avecpu,ntasks,avecpufreq,reqcpufreqmin,"
    "reqcpufreqmax,reqcpufreqgov,consumedenergy,maxdiskread,maxdiskreadnode,maxdiskreadtask,avediskread,"
    "maxdiskwrite,maxdiskwritenode,maxdiskwritetask,avediskwrite,tresusageinave,tresusageinmax,"
    "tresusageinmaxnode,tresusageinmaxtask,tresusageinmin,tresusageinminnode,tresusageinmintask,"
    "tresusageintot,tresusageoutave,tresusageoutmax,tresusageoutmaxnode,tresusageoutmaxtask,tresusageoutmin,"
    "tresusageoutminnode,tresusageoutmintask,tresusageouttot";
constexpr std::string_view kPids = "jobid,nodelist,pids";

Result<std::vector<wire::JobRef>> jobs_of(const Parsed& parsed, const Dialect& dialect) {
  std::string named = parsed.value_or("jobs", "");
  for (const auto& word : parsed.rest) named += (named.empty() ? "" : ",") + word;
  if (named.empty())
    return Error{"no_job", dialect.slurm ? "You didn't give me any jobs to stat." : "no job is named", "",
                 "name it with --jobs"};
  auto refs = parse_job_refs(named, StepRefs::kAllowed);
  if (!refs.ok() && dialect.slurm)
    return Error{"bad_job_id", "fatal: Bad job/step specified: " + named, "", ""};
  if (!refs.ok()) return Error{refs.error().code, refs.error().message, "--jobs", refs.error().remedy};
  return refs;
}

std::string ref_name(const wire::JobRef& ref) {
  std::string out = std::to_string(ref.job);
  if (ref.task != kNoTask) out += "_" + std::to_string(ref.task);
  return ref.step == kNoStep ? out : out + "." + step_name(ref.step);
}

bool silent(const wire::NodeUse& part) { return !part.missing.empty(); }

bool complete(const wire::UseReply& reply) {
  return reply.refused.empty() && std::none_of(reply.steps.begin(), reply.steps.end(), [](const auto& step) {
           return std::any_of(step.nodes.begin(), step.nodes.end(), silent);
         });
}

// What could not be had, in words.
void complain(const wire::UseReply& reply, const Reporter& reporter) {
  const bool slurm = reporter.dialect().slurm;
  for (const auto& no : reply.refused) {
    const Error& why = no.error->error;
    if (!slurm)
      reporter.error_line(ref_name(no.ref) + ": " + why.text());
    else if (why.code == "no_such_job")
      reporter.error_line("couldn't get steps for job " + std::to_string(no.ref.job));
    else if (why.code == "not_permitted")
      reporter.error_line("problem getting step_layout for StepId=" + ref_name(no.ref) + ": Invalid user id");
    else
      reporter.error_line(why.message);
  }
  for (const auto& step : reply.steps)
    for (const auto& part : step.nodes) {
      if (!silent(part)) continue;
      if (slurm)
        reporter.error_line("slurm_job_step_stat: there was an error with the request to " + part.node.str() +
                            " rc = Communication connection failure");
      else
        reporter.error_line(stat_step_name(step) + ": " + part.node.str() + " " +
                            (part.missing == "not responding" ? "does not respond" : part.missing) +
                            ": what it uses is not in these figures");
    }
}

void put_figure_json(JsonWriter& json, std::string_view name, const UseFigure& figure, bool extremes_only) {
  const auto number = [](std::uint64_t n) { return static_cast<std::int64_t>(n); };
  json.key(name).begin_object();
  json.field(extremes_only ? "now" : "total", number(figure.total));
  json.field("most", number(figure.most)).field("most_task", std::int64_t{figure.most_task});
  json.field("least", number(figure.least)).field("least_task", std::int64_t{figure.least_task});
  json.end_object();
}

void put_node_json(JsonWriter& json, const wire::NodeUse& part) {
  json.begin_object().field("node", part.node.view());
  if (!part.missing.empty()) {
    json.field("missing", part.missing).end_object();
    return;
  }
  json.field("tasks", std::int64_t{part.use.tasks}).field("processes", std::int64_t{part.use.processes});
  put_figure_json(json, "cpu_us", part.use.cpu_us, false);
  put_figure_json(json, "rss_kib", part.use.rss_kib, true);
  put_figure_json(json, "vm_kib", part.use.vm_kib, true);
  put_figure_json(json, "pages", part.use.pages, false);
  put_figure_json(json, "read_bytes", part.use.read_bytes, false);
  put_figure_json(json, "write_bytes", part.use.write_bytes, false);
  json.key("pids").begin_array();
  for (const auto pid : part.use.pids) json.integer(pid);
  json.end_array().end_object();
}

void put_json(std::string& out, const wire::UseReply& reply) {
  JsonWriter json(out);
  json.begin_object().time("now_at", reply.now).key("steps").begin_array();
  for (const auto& step : reply.steps) {
    json.line().begin_object().field("job_id", std::int64_t{step.job});
    json.field("step_id", step_name(step.step)).field("display_id", stat_step_name(step));
    json.field("name", step.name.view()).field("user", step.user.view());
    json.field("attempt", std::int64_t{step.attempt}).time("started_at", step.started);
    json.field("tasks", std::int64_t{step.tasks}).field("cpus", std::int64_t{step.cpus});
    json.key("nodes").begin_array();
    for (const auto& part : step.nodes) put_node_json(json, part);
    json.end_array().end_object();
  }
  json.end_array().key("refused").begin_array();
  for (const auto& no : reply.refused) {
    json.line().begin_object().field("display_id", ref_name(no.ref));
    json.field("code", no.error->error.code).field("message", no.error->error.message).end_object();
  }
  json.end_array().end_object();
  out += '\n';
}

}  // namespace

Result<wire::UseReply> ask_use(Session& session, wire::UseRequest request) {
  if (auto there = session.connect(); !there.ok()) return there.error();
  const RequestId id = RequestId::ordered();
  if (auto sent = session.send({id, false, std::move(request)}); !sent.ok()) return sent.error();
  bool interrupted = false;
  auto reply = await_reply(session, id, -1, session.deadline(), interrupted);
  if (!reply.ok()) return reply.error();
  if (!*reply)
    return Error{"unreachable", "bai-ctld at " + session.endpoint() + " did not answer", "", "try again"};
  return Session::as<wire::UseReply>(std::move(**reply));
}

// clang-format off
OptionTable stat_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] -j JOB[.STEP],...";
  table.description = "Show what running steps use now. Their nodes are asked at that moment.";
  table.permute = true;
  table.options = {
      {.name = "allsteps", .letter = 'a', .help = "All steps of a job, its batch script too"},
      {.name = "format", .letter = 'o', .arg = kReq, .value_name = "FIELDS", .help = "Fields with widths: jobid,maxrss%20", .env = dialect.slurm ? "" : "FORMAT", .aliases = {"fields"}},
      {.name = "helpformat", .letter = 'e', .help = "Name the fields"},
      {.name = "jobs", .letter = 'j', .arg = kReq, .value_name = "LIST", .help = "These jobs or steps: 7, 7.0, 7.batch, 7_3.0"},
      {.name = "noconvert", .help = "Plain numbers, no larger units"},
      {.name = "noheader", .letter = 'n', .help = "No title lines"},
      {.name = "parsable", .letter = 'p', .help = "Fields end with |"},
      {.name = "parsable2", .letter = 'P', .help = "| between fields"},
      {.name = "pidformat", .letter = 'i', .help = "Steps, nodes and processes"},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
  };
  if (dialect.slurm)
    table.options.push_back({.name = "usage", .help = "Show how it is called"});
  else
    table.options.push_back({.name = "iterate", .letter = 'r', .arg = kReq, .value_name = "SECONDS", .help = "Show again and again, until nothing of it runs"});
  add_common_options(table, 'h', 'V');
  return table;
}
// clang-format on

int run_stat(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = stat_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, {"BAI_STAT_"}, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  if (parsed.has("usage")) {
    Output().put("Usage: sstat [options] -j <job(.stepid)>\n\tUse --help for help\n");
    return 0;
  }
  if (parsed.has("helpformat")) {
    std::vector<std::string_view> names;
    for (const auto& field : stat_fields()) names.push_back(field.name);
    Output().put(print_help(names));
    return 0;
  }
  auto refs = jobs_of(parsed, dialect);
  if (!refs.ok()) return reporter.mistyped(refs.error());
  const Given* format = parsed.find("format");
  auto columns = parse_print_format<StatRow>(format                    ? std::string_view(format->value)
                                             : parsed.has("pidformat") ? kPids
                                             : dialect.slurm           ? kSlurmFormat
                                                                       : kFormat,
                                             stat_fields());
  if (!columns.ok())
    return reporter.mistyped({columns.error().code, columns.error().message,
                              format && !dialect.slurm ? format->place : "", columns.error().remedy});
  unsigned pause = 0;
  if (const Given* given = parsed.find("iterate")) {
    auto seconds = parse_int(given->value, 1, 86400);
    if (!seconds.ok())
      return reporter.mistyped(
          {seconds.error().code, seconds.error().message, given->place, seconds.error().remedy});
    pause = static_cast<unsigned>(*seconds);
  }
  const PrintStyle style = parsed.has("parsable2")  ? PrintStyle::kParsable2
                           : parsed.has("parsable") ? PrintStyle::kParsable
                                                    : PrintStyle::kColumns;
  wire::UseRequest request;
  request.jobs = std::move(*refs);
  request.all_steps = parsed.has("allsteps");
  request.batch_too = !dialect.slurm;
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  for (bool first = true;; first = false) {
    auto reply = ask_use(*session, request);
    if (!reply.ok()) return reporter.refused(reply.error(), "slurm_job_step_stat");
    Output out;
    if (reporter.json()) {
      put_json(out.buffer(), *reply);
    } else {
      if (!parsed.has("noheader") && first) put_print_header(out.buffer(), *columns, style, "|");
      for (const auto& step : reply->steps) {
        const StatRow row = stat_row(step, !parsed.has("noconvert"));
        const bool none = std::all_of(step.nodes.begin(), step.nodes.end(), silent);
        if (!none) put_print_row(out.buffer(), *columns, row, style, "|");
      }
    }
    out.flush();
    if (out.failed()) return kRefused;
    if (!reporter.json()) complain(*reply, reporter);
    if (pause != 0 && !reply->steps.empty()) {
      sleep(pause);
      continue;
    }
    // Steps that were watched to their end are no failure.
    return complete(*reply) || dialect.slurm || !first ? 0 : kRefused;
  }
}

}  // namespace bai::cli
