#include "cli/queue.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "base/text.h"
#include "cli/begin.h"
#include "cli/queue_steps.h"
#include "cli/slurm_options.h"
#include "cli/slurm_words.h"

namespace bai::cli {
namespace {

constexpr auto kReq = ArgKind::required;

constexpr std::string_view kFormat = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R";
constexpr std::string_view kLong = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R";
constexpr std::string_view kStart = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R";

Result<QueueView> make_view(const Parsed& parsed, const Dialect& dialect) {
  QueueView view;
  auto* unknown = dialect.slurm ? &view.unknown : nullptr;
  view.header = !parsed.has("noheader");
  view.long_view = parsed.has("long");
  view.expand = parsed.has("array");
  view.finished = parsed.has("states");
  const Given* format = parsed.find_last({"format", "Format"});
  auto columns = !format ? short_columns<JobView>(parsed.has("start") ? kStart
                                                  : view.long_view    ? kLong
                                                                      : kFormat,
                                                  job_fields())
                 : format->option->name == std::string_view("format")
                     ? short_columns<JobView>(format->value, job_fields(), unknown)
                     : long_columns<JobView>(format->value, job_fields(), 20, unknown);
  if (!columns.ok()) {
    Error error = columns.error();
    if (format) error.place = format->place;
    return error;
  }
  view.columns = std::move(*columns);
  // Of a long list the screen shows the beginning: there running jobs go first.
  view.sort = parsed.value_or("sort", parsed.has("start") ? "S" : parsed.has("watch") ? "-t,P,-p" : "P,t,-p");
  view.licenses = parsed.value_or("licenses", "");
  view.qos = parsed.value_or("qos", "");
  view.none = parsed.has("reservation");
  view.by_partition = parsed.has("priority");
  std::vector<JobView> none;
  if (Status sorted = sort_jobs(none, view.sort); !sorted.ok()) return sorted.error();
  return view;
}

// squeue's sentences for filters that cannot be read.
Error in_slurms_words(const Parsed& parsed, const Error& error) {
  if (error.code == "bad_job_id")
    return Error{error.code, "Invalid job id: " + parsed.value_or("jobs", ""), "", ""};
  if (error.code == "bad_state") {
    const std::string states = parsed.value_or("states", "");
    for (auto word : split_list(states))
      if (!parse_job_state(word) && !iequals(word, "all"))
        return Error{error.code, slurm_bad_job_state(word) + "\n", "", ""};
  }
  if (error.code == "bad_hostlist")
    return Error{error.code, "Invalid node name " + parsed.value_or("nodelist", ""), "", ""};
  return error;
}

// -w with a node that is not there: an error, as in squeue.
Status check_nodes(Session& session, const std::vector<std::string>& names, bool slurm) {
  if (names.empty()) return {};
  auto cluster = session.get<wire::ClusterReply>(wire::ClusterRequest{});
  if (!cluster.ok()) return cluster.error();
  for (const auto& name : names) {
    const bool known = std::any_of(cluster->nodes.begin(), cluster->nodes.end(),
                                   [&](const Node& n) { return n.name == name; });
    if (!known)
      return Error{"no_such_node", slurm ? "Invalid node name " + name : "there is no node " + quote(name),
                   "", "see bai-info -N"};
  }
  return {};
}

bool in_list(const std::string& list, std::string_view word) {
  for (auto one : split_list(list))
    if (one == word) return true;
  return false;
}

// Licenses are names here, whatever the count.
void keep_asked(std::vector<JobView>& jobs, const QueueView& view) {
  if (view.licenses.empty() && view.qos.empty() && !view.none) return;
  std::erase_if(jobs, [&](const JobView& job) {
    if (view.none || (!view.qos.empty() && !in_list(view.qos, job.text(job.row->qos)))) return true;
    if (view.licenses.empty()) return false;
    for (auto one : split_list(job.text(job.row->licenses)))
      if (in_list(view.licenses, one.substr(0, one.find(':')))) return false;
    return true;
  });
}

// --priority: a job that asked for several partitions has a line for each.
void split_partitions(std::vector<JobView>& jobs) {
  std::vector<JobView> out;
  out.reserve(jobs.size());
  for (const JobView& job : jobs) {
    const std::string_view all = job.text(job.row->partition);
    if (job.row->state != JobState::kPending || all.find(',') == std::string_view::npos) {
      out.push_back(job);
      continue;
    }
    for (auto one : split_list(all)) {
      out.push_back(job);
      out.back().partition = one;
    }
  }
  jobs = std::move(out);
}

void drop_finished(std::vector<JobView>& jobs) {
  std::erase_if(jobs, [](const JobView& job) { return is_finished(job.row->state); });
}

int show_json(const JobList& list) {
  Output out;
  JsonWriter json(out.buffer());
  json.begin_object().time("now_at", list.now).flag("stale", list.stale).key("jobs").begin_array();
  for (const JobView& job : list.jobs) {
    json.line();
    put_job_json(json, job);
    out.done_line();
  }
  json.end_array().end_object();
  out.put("\n").flush();
  return out.failed() ? kRefused : 0;
}

int show_once(Session& session, const wire::JobFilter& filter, const QueueView& view,
              const Reporter& reporter) {
  if (Status good = check_nodes(session, filter.nodes, reporter.dialect().slurm); !good.ok())
    return good.error().code == "no_such_node" ? reporter.mistyped(good.error())
                                               : reporter.refused(good.error(), "slurm_load_node error");
  wire::QueueRequest request;
  request.filter = filter;
  request.finished_too = !filter.jobs.empty();
  auto list = fetch_jobs(session, std::move(request));
  if (!list.ok()) return reporter.refused(list.error(), "slurm_load_jobs error");
  for (const auto& user : list->unknown_users)
    reporter.error_line(reporter.dialect().slurm ? "Invalid user: " + user + "\n"
                                                 : "there is no user " + quote(user));
  if (filter.jobs.size() == 1 && list->jobs.empty() && filter.users.empty() && !view.finished && !filter.mine)
    return reporter.refused(
        {"no_such_job", "there is no job " + std::to_string(filter.jobs[0].job) + " in the queue", "",
         "bai-acct knows jobs that ended"},
        "slurm_load_jobs error");
  if (!view.finished) drop_finished(list->jobs);
  if (list->stale) reporter.note("the controller's store is failing: this is what was durable last");
  arrange(list->jobs, view);
  if (reporter.json()) {
    (void)sort_jobs(list->jobs, view.sort);
    return show_json(*list);
  }
  Output out;
  put_queue(out.buffer(), list->jobs, view);
  out.flush();
  return out.failed() ? kRefused : 0;
}

}  // namespace

// clang-format off
OptionTable queue_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...]";
  table.description = "Show the jobs that wait and run.";
  table.options = {
      {.name = "account", .letter = 'A', .arg = kReq, .value_name = "LIST", .help = "Only these accounts", .env = "ACCOUNT"},
      {.name = "all", .letter = 'a', .help = "Hidden partitions, too", .env = "ALL"},
      {.name = "array", .letter = 'r', .help = "One line for each task of an array", .env = "ARRAY"},
      {.name = "format", .letter = 'o', .arg = kReq, .value_name = "FORMAT", .help = "Columns, as in \"%.18i %.8j %t\"", .env = "FORMAT"},
      {.name = "Format", .letter = 'O', .arg = kReq, .value_name = "FIELDS", .help = "Columns by name: jobid:10,name,state", .env = "FORMAT2"},
      {.name = "iterate", .letter = 'i', .arg = kReq, .value_name = "SECONDS", .help = "Show again and again"},
      {.name = "jobs", .letter = 'j', .arg = kReq, .value_name = "LIST", .help = "Only these jobs: 7,8_[1-3]", .aliases = {"job"}},
      {.name = "licenses", .letter = 'L', .arg = kReq, .value_name = "LIST", .help = "Only jobs that asked for these licenses", .aliases = {"license"}},
      {.name = "long", .letter = 'l', .help = "More columns"},
      {.name = "me", .help = "Only your own"},
      {.name = "name", .letter = 'n', .arg = kReq, .value_name = "LIST", .help = "Only jobs of these names", .env = "NAMES", .aliases = {"names"}},
      {.name = "nodelist", .letter = 'w', .arg = kReq, .value_name = "NODES", .help = "Only jobs on these nodes", .aliases = {"nodes"}},
      {.name = "noheader", .letter = 'h', .help = "No title line"},
      {.name = "partition", .letter = 'p', .arg = kReq, .value_name = "LIST", .help = "Only these partitions", .env = "PARTITION"},
      {.name = "priority", .letter = 'P', .help = "A line for each partition that a waiting job asked for"},
      {.name = "qos", .letter = 'q', .arg = kReq, .value_name = "LIST", .help = "Only these qualities of service"},
      {.name = "reservation", .letter = 'R', .arg = kReq, .value_name = "LIST", .help = "Accepted; there are none", .hidden = true},
      {.name = "sort", .letter = 'S', .arg = kReq, .value_name = "KEYS", .help = "Order by letters of --format, - before one reverses: P,t,-p", .env = "SORT"},
      {.name = "start", .help = "When waiting jobs are expected to start"},
      {.name = "steps", .letter = 's', .arg = ArgKind::optional, .value_name = "LIST", .help = "Steps that run, in place of jobs: all, or 7.0,8.batch"},
      {.name = "states", .letter = 't', .arg = kReq, .value_name = "LIST", .help = "Only these states, or all", .env = "STATES", .aliases = {"state"}},
      {.name = "user", .letter = 'u', .arg = kReq, .value_name = "LIST", .help = "Only these users", .env = "USERS", .aliases = {"users"}},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
      {.name = "watch", .help = "Follow every change until interrupted"},
  };
  if (dialect.slurm)
    table.options.push_back({.name = "array-unique", .help = "Accepted: it is so unless --array is given", .hidden = true});
  add_list_options(table, dialect);
  add_common_options(table, 0, 'V');
  return table;
}
// clang-format on

void arrange(std::vector<JobView>& jobs, const QueueView& view) {
  narrow_arrays(jobs, view.refs);
  keep_asked(jobs, view);
  if (view.by_partition) split_partitions(jobs);
  if (view.expand) expand_arrays(jobs);
}

void put_queue(std::string& out, std::vector<JobView>& jobs, const QueueView& view) {
  (void)sort_jobs(jobs, view.sort);
  if (view.header) {
    if (view.long_view) {
      const std::time_t now = std::time(nullptr);
      char text[64] = "";
      std::tm tm{};
      localtime_r(&now, &tm);
      std::strftime(text, sizeof text, "%a %b %d %H:%M:%S %Y\n", &tm);
      out += text;
    }
    put_header(out, view.columns);
  }
  for (const JobView& job : jobs) put_row(out, view.columns, job);
}

int run_queue(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = queue_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, {"BAI_QUEUE_", "SQUEUE_"}, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  if (parsed.has("steps")) return queue_steps(parsed, reporter);
  if (!parsed.rest.empty())
    return reporter.mistyped(
        {"bad_option", "Unrecognized option: " + parsed.rest[0], "", "jobs are given with --jobs"});
  auto filter = make_filter(parsed);
  if (!filter.ok())
    return reporter.mistyped(dialect.slurm ? in_slurms_words(parsed, filter.error()) : filter.error());
  auto view = make_view(parsed, dialect);
  if (!view.ok()) {
    if (dialect.slurm && view.error().code == "bad_sort")
      return reporter.mistyped(
          {"bad_sort", "Invalid sort specification: " + parsed.value_or("sort", ""), "", ""});
    return reporter.mistyped(view.error());
  }
  view->refs = filter->jobs;
  if (parsed.has("start")) filter->states = {JobState::kPending};
  for (const auto& name : view->unknown) reporter.error_line("Invalid job format specification: " + name);
  unsigned pause = 0;
  if (const Given* given = parsed.find("iterate")) {
    auto seconds = parse_duration(given->value);
    pause = static_cast<unsigned>(std::strtoul(given->value.c_str(), nullptr, 10));
    if (!seconds.ok() || pause == 0)
      return reporter.mistyped(dialect.slurm
                                   ? Error{"bad_number", "--iterate=" + given->value + "\n", "", ""}
                                   : Error{"bad_number", "is a number of seconds", given->place, ""});
  }
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  if (parsed.has("watch")) return watch_queue(*session, *filter, *view, reporter);
  for (;;) {
    status = show_once(*session, *filter, *view, reporter);
    if (pause == 0) return status;
    sleep(pause);
  }
}

}  // namespace bai::cli
