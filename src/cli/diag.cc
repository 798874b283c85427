#include "cli/diag.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "base/text.h"
#include "base/units.h"
#include "cli/begin.h"
#include "cli/diag_slurm.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/slurm_options.h"

namespace bai::cli {
namespace {

// Whole numbers whole, small ones with three digits.
std::string value_text(double value) {
  char buf[48];
  if (value == std::floor(value) && std::fabs(value) < 1e15)
    std::snprintf(buf, sizeof buf, "%.0f", value);
  else
    std::snprintf(buf, sizeof buf, std::fabs(value) < 10 ? "%.3f" : "%.1f", value);
  return buf;
}

void put_table(std::string& out, const wire::DiagReply& diag) {
  out += "Since " + format_timestamp(diag.since) + ", now " + format_timestamp(diag.now) + "\n";
  std::string group;
  std::size_t width = 0;
  for (const auto& metric : diag.metrics) width = std::max(width, metric.name.size());
  for (const auto& metric : diag.metrics) {
    if (metric.group != group) {
      group = metric.group;
      out += "\n" + group + "\n";
    }
    out += "  " + pad_right(metric.name, width) + "  " + pad_left(value_text(metric.value), 12);
    if (!metric.unit.empty()) out += " " + metric.unit;
    out += '\n';
  }
}

void put_json(std::string& out, const wire::DiagReply& diag) {
  JsonWriter json(out);
  json.begin_object().time("now_at", diag.now).time("since_at", diag.since).key("metrics").begin_array();
  for (const auto& metric : diag.metrics) {
    json.line()
        .begin_object()
        .field("group", metric.group)
        .field("name", metric.name)
        .field("unit", metric.unit);
    json.key("value").number(metric.value).end_object();
  }
  json.end_array().end_object();
  out += '\n';
}

}  // namespace

OptionTable diag_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...]";
  table.description = "Show what the controller is doing: rates, latencies, commits, passes, queues, memory.";
  table.options = {
      {.name = "iterate",
       .letter = 'i',
       .arg = ArgKind::required,
       .value_name = "SECONDS",
       .help = "Show again and again"},
      {.name = "reset", .letter = 'r', .help = "Begin counting anew (operators)"},
  };
  if (dialect.slurm)  // its -i is another one
    table.options = {
        {.name = "all", .letter = 'a', .help = "Show everything, which is what is shown anyway"},
        {.name = "reset", .letter = 'r', .help = "Begin counting anew (operators)"},
        {.name = "sort-by-id", .letter = 'i', .help = "Accepted"},
        {.name = "sort-by-time", .letter = 't', .help = "Accepted"},
        {.name = "sort-by-time2", .letter = 'T', .help = "Accepted"},
    };
  add_cluster_options(table, dialect);
  add_common_options(table, 'h', 'V');
  return table;
}

int run_diag(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = diag_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  if (!parsed.rest.empty())
    return reporter.mistyped({"bad_option", "unexpected word " + quote(parsed.rest[0]), "", "see --help"});
  unsigned pause = 0;
  if (const Given* iterate = parsed.find("iterate")) {
    auto seconds = parse_int(iterate->value, 1, 86400);
    if (!seconds.ok())
      return reporter.mistyped(
          {seconds.error().code, seconds.error().message, iterate->place, seconds.error().remedy});
    pause = static_cast<unsigned>(*seconds);
  }
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  for (;;) {
    auto diag = session->get<wire::DiagReply>(wire::DiagRequest{parsed.has("reset")});
    if (!diag.ok()) return reporter.refused(diag.error());
    Output out;
    if (reporter.json())
      put_json(out.buffer(), *diag);
    else if (dialect.slurm && parsed.has("reset"))
      out.put("Reset scheduling statistics\n");
    else if (dialect.slurm)
      put_slurm_diag(out.buffer(), *diag);
    else
      put_table(out.buffer(), *diag);
    out.flush();
    if (out.failed()) return kRefused;
    if (pause == 0) return 0;
    sleep(pause);
  }
}

}  // namespace bai::cli
