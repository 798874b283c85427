#include "cli/queue_steps.h"

#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "base/text.h"
#include "cli/step_list.h"

namespace bai::cli {
namespace {

constexpr std::string_view kFormat = "%.15i %.8j %.9P %.8u %.9M %N";

struct StepsView {
  std::vector<Column<StepView>> columns;
  std::vector<std::string> unknown;
  std::vector<wire::JobRef> refs;
  std::string sort;
};

Result<StepsView> make_view(const Parsed& parsed, bool slurm) {
  StepsView view;
  auto* unknown = slurm ? &view.unknown : nullptr;
  const Given* format = parsed.find_last({"format", "Format"});
  if (format && format->source == Source::environment) format = nullptr;  // those are of jobs
  auto columns = !format ? short_columns<StepView>(kFormat, step_fields())
                 : format->option->name == std::string_view("format")
                     ? short_columns<StepView>(format->value, step_fields(), unknown)
                     : long_columns<StepView>(format->value, step_fields(), 20, unknown);
  if (!columns.ok()) {
    Error error = columns.error();
    if (format) error.place = format->place;
    return error;
  }
  view.columns = std::move(*columns);
  std::string named = parsed.value_or("steps", "");
  if (named.empty() && !parsed.rest.empty()) named = parsed.rest[0];  // "-s 7.0", as squeue takes it
  if (!named.empty()) {
    auto refs = parse_job_refs(named, StepRefs::kAllowed);
    if (!refs.ok() && slurm) return Error{"bad_job_id", "Invalid job_step id: " + named + ".??", "", ""};
    if (!refs.ok()) return refs.error();
    view.refs = std::move(*refs);
  }
  const Given* sort = parsed.find("sort");
  if (sort && sort->source != Source::environment) view.sort = sort->value;
  std::vector<StepView> none;
  if (Status sorted = sort_steps(none, view.sort); !sorted.ok()) return sorted.error();
  return view;
}

void put_date(std::string& out) {
  const std::time_t now = std::time(nullptr);
  char text[64] = "";
  std::tm tm{};
  localtime_r(&now, &tm);
  std::strftime(text, sizeof text, "%a %b %d %H:%M:%S %Y\n", &tm);
  out += text;
}

int show_once(Session& session, const Parsed& parsed, const wire::JobFilter& filter, const StepsView& view,
              const Reporter& reporter) {
  wire::QueueRequest request;
  request.filter = filter;
  if (request.filter.jobs.empty()) request.filter.jobs = view.refs;
  auto list = fetch_jobs(session, std::move(request));
  if (!list.ok()) return reporter.refused(list.error(), "slurm_load_jobs error");
  std::erase_if(list->jobs, [](const JobView& job) { return !is_active(job.row->state); });
  auto steps = fetch_steps(session, list->jobs);
  if (!steps.ok()) return reporter.refused(steps.error(), "slurm_get_job_steps error");
  std::erase_if(steps->views, [](const StepView& view) { return is_finished(view.step->state); });
  narrow_steps(steps->views, view.refs);
  (void)sort_steps(steps->views, view.sort);
  Output out;
  if (reporter.json()) {
    JsonWriter json(out.buffer());
    json.begin_object().time("now_at", list->now).flag("stale", list->stale).key("steps").begin_array();
    for (const StepView& step : steps->views) put_step_json(json.line(), step);
    json.end_array().end_object();
    out.put("\n");
  } else {
    if (!parsed.has("noheader")) {
      if (parsed.has("long")) put_date(out.buffer());
      put_header(out.buffer(), view.columns);
    }
    for (const StepView& step : steps->views) {
      put_row(out.buffer(), view.columns, step);
      out.done_line();
    }
  }
  out.flush();
  return out.failed() ? kRefused : 0;
}

}  // namespace

int queue_steps(const Parsed& parsed, const Reporter& reporter) {
  const bool slurm = reporter.dialect().slurm;
  auto filter = make_filter(parsed, StepRefs::kAllowed);
  if (!filter.ok()) return reporter.mistyped(filter.error());
  auto view = make_view(parsed, slurm);
  if (!view.ok()) return reporter.mistyped(view.error());
  if (!filter->jobs.empty() && view->refs.empty()) view->refs = filter->jobs;
  for (const auto& name : view->unknown)
    reporter.error_line("Invalid job step format specification: " + name);
  unsigned pause = 0;
  if (const Given* given = parsed.find("iterate")) {
    pause = static_cast<unsigned>(std::strtoul(given->value.c_str(), nullptr, 10));
    if (pause == 0) return reporter.mistyped({"bad_number", "is a number of seconds", given->place, ""});
  }
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  for (;;) {
    const int status = show_once(*session, parsed, *filter, *view, reporter);
    if (pause == 0 || status != 0) return status;
    sleep(pause);
  }
}

}  // namespace bai::cli
