#include "cli/info.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <set>

#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/begin.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/show.h"
#include "cli/slurm_options.h"
#include "cli/slurm_words.h"

namespace bai::cli {
namespace {

constexpr std::string_view kLimitsFormat = "nodelist:20,notenforced:60";
constexpr auto kReq = ArgKind::required;

std::string_view default_format(const Parsed& parsed) {
  const bool wide = parsed.has("long"), nodes = parsed.has("Node");
  if (parsed.has("summarize")) return "%#P %.5a %.10l %.16F %N";
  if (parsed.has("list-reasons")) return wide ? "%20E %12U %19H %6t %N" : "%20E %9u %19H %N";
  if (nodes) return wide ? "%#N %.6D %#.P %.11T %4c %.8z %.6m %.8d %.6w %.8f %20E" : "%#N %.6D %#.P %6t";
  return wide ? "%#P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N" : "%#P %.5a %.10l %.6D %.6t %N";
}

// Whether the node is in one of the states that -t names, in any of its forms.
bool in_states(const Node& node, const std::vector<std::string>& states) {
  if (states.empty()) return true;
  std::string word = node_state_word(node), compact = node_state_compact(node);
  std::string full = lower(node_state_long(node));
  for (std::string* text : {&word, &compact})
    while (!text->empty() && (text->back() == '*' || text->back() == '+')) text->pop_back();
  for (const auto& state : states) {
    if (state == "all" || state == word || state == compact) return true;
    if (state == "drain" && node.drain) return true;
    if (state.starts_with("alloc") && !node.drain && full.starts_with("mixed"))
      return true;  // as sinfo has it
    if ((state == "no_respond" || state == "not_responding") && !node.responding) return true;
    if ((state == "down" || state == "idle" || state == "mixed" || state == "mix" || state == "alloc" ||
         state == "allocated") &&
        !node.drain && full.starts_with(state))
      return true;
  }
  return false;
}

Status check_states(const std::vector<std::string>& states) {
  static constexpr std::string_view kKnown[] = {
      "all",   "alloc",      "allocated",      "comp", "completing", "down",    "drain", "drained",
      "drng",  "draining",   "fail",           "futr", "future",     "idle",    "mix",   "mixed",
      "maint", "no_respond", "not_responding", "resv", "unk",        "unknown", "alloc+"};
  for (const auto& state : states)
    if (std::find(std::begin(kKnown), std::end(kKnown), state) == std::end(kKnown))
      return Error{"bad_state", quote(state) + " is not a node state", "--states",
                   did_you_mean(state, std::vector<std::string_view>(std::begin(kKnown), std::end(kKnown)))};
  return {};
}

struct Selection {
  std::vector<std::string> states, partitions;
  std::set<std::string, std::less<>> nodes;
  bool reasons = false, responding = false, dead = false, all = false;
};

void keep_selected(wire::ClusterReply& cluster, const Selection& want) {
  std::erase_if(cluster.nodes, [&](const Node& node) {
    return !in_states(node, want.states) || (!want.nodes.empty() && !want.nodes.contains(node.name.view())) ||
           (want.reasons && node.reason.empty()) || (want.responding && !node.responding) ||
           (want.dead && node.responding);
  });
  std::erase_if(cluster.partitions, [&](const Partition& partition) {
    if (want.partitions.empty()) return partition.hidden && !want.all;
    return std::find(want.partitions.begin(), want.partitions.end(), partition.name.view()) ==
           want.partitions.end();
  });
}

// "%#P", "%#.P" and "%#N": as wide as the widest, at least 9.
void widen(std::vector<Column<InfoRow>>& columns, const std::vector<InfoRow>& rows, std::string_view format) {
  if (format.find('#') == std::string_view::npos) return;
  auto holds = [&](const std::string& field) { return format.find(field) != std::string_view::npos; };
  for (auto& column : columns) {
    if (!column.field || column.width != 0 ||
        !(holds(std::string("#") + column.field->letter) || holds(std::string("#.") + column.field->letter)))
      continue;
    std::size_t width = std::max<std::size_t>(9, column.field->title.size());
    std::string cell;
    for (const auto& row : rows) {
      cell.clear();
      column.field->put(cell, row);
      width = std::max(width, cell.size());
    }
    column.width = static_cast<std::uint32_t>(width);
  }
}

void put_json(std::string& out, const wire::ClusterReply& cluster) {
  JsonWriter json(out);
  json.begin_object()
      .time("now_at", cluster.now)
      .flag("stale", cluster.stale)
      .key("partitions")
      .begin_array();
  for (const auto& partition : cluster.partitions) put_partition_json(json.line(), partition);
  json.end_array().key("nodes").begin_array();
  for (const auto& node : cluster.nodes) put_node_json(json.line(), node, cluster.partitions);
  json.end_array().end_object();
  out += '\n';
}

void put_table(std::string& out, const Parsed& parsed, const wire::ClusterReply& cluster,
               std::vector<Column<InfoRow>> columns, std::string_view format) {
  auto rows = make_info_rows(cluster.nodes, cluster.partitions, columns, parsed.has("Node"));
  sort_info_rows(rows, parsed.value_or("sort", parsed.has("list-reasons") ? "H"
                                               : parsed.has("Node")       ? "N"
                                                                          : "#P,-t"));
  if (parsed.has("list-reasons")) {
    std::erase_if(rows, [](const InfoRow& row) { return row.nodes.empty(); });
    // A node in two partitions has one reason.
    std::set<const Node*> seen;
    std::erase_if(rows, [&](const InfoRow& row) { return !seen.insert(row.nodes[0]).second; });
  }
  widen(columns, rows, format);
  if (!parsed.has("noheader")) {
    if (parsed.has("long")) {
      const std::time_t now = std::time(nullptr);
      char text[64] = "";
      std::tm tm{};
      localtime_r(&now, &tm);
      std::strftime(text, sizeof text, "%a %b %d %H:%M:%S %Y\n", &tm);
      out += text;
    }
    put_header(out, columns);
  }
  for (const auto& row : rows) put_row(out, columns, row);
}

}  // namespace

// clang-format off
OptionTable info_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...]";
  table.description = "Show partitions and nodes.";
  table.options = {
      {.name = "all", .letter = 'a', .help = "Hidden partitions, too", .env = "ALL"},
      {.name = "dead", .letter = 'd', .help = "Only nodes that do not respond"},
      {.name = "exact", .letter = 'e', .help = "Accepted; nodes are told apart where it matters", .hidden = true},
      {.name = "format", .letter = 'o', .arg = kReq, .value_name = "FORMAT", .help = "Columns, as in \"%P %.6D %t\"", .env = "FORMAT"},
      {.name = "Format", .letter = 'O', .arg = kReq, .value_name = "FIELDS", .help = "Columns by name: partition,nodes,statelong"},
      {.name = "iterate", .letter = 'i', .arg = kReq, .value_name = "SECONDS", .help = "Show again and again"},
      {.name = "list-reasons", .letter = 'R', .help = "Why nodes are down or drained"},
      {.name = "limits", .help = "Which limits of jobs nodes do not enforce, and why"},
      {.name = "hide", .help = "No hidden partitions (the default)"},
      {.name = "long", .letter = 'l', .help = "More columns"},
      {.name = "Node", .letter = 'N', .help = "One line for each node"},
      {.name = "nodes", .letter = 'n', .arg = kReq, .value_name = "NODES", .help = "Only these nodes"},
      {.name = "noheader", .letter = 'h', .help = "No title line"},
      {.name = "partition", .letter = 'p', .arg = kReq, .value_name = "LIST", .help = "Only these partitions", .env = "PARTITION"},
      {.name = "responding", .letter = 'r', .help = "Only nodes that respond"},
      {.name = "sort", .letter = 'S', .arg = kReq, .value_name = "KEYS", .help = "Order by letters of --format, - before one reverses: #P,-t", .env = "SORT"},
      {.name = "states", .letter = 't', .arg = kReq, .value_name = "LIST", .help = "Only nodes in these states: idle,alloc,drain", .aliases = {"state"}},
      {.name = "summarize", .letter = 's', .help = "One line for each partition"},
      {.name = "reservation", .letter = 'T', .help = "Accepted; there are none", .hidden = true},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
  };
  add_list_options(table, dialect);
  add_common_options(table, 0, 'V');
  return table;
}
// clang-format on

int run_info(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = info_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, {"BAI_INFO_", "SINFO_"}, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  if (parsed.has("reservation")) {
    Output().put("No reservations in the system\n");
    return 0;
  }
  if (!parsed.rest.empty() && !dialect.slurm)  // sinfo reads on
    return reporter.mistyped({"bad_option", "Unrecognized option: " + parsed.rest[0], "", "see --help"});

  const Given* format = parsed.find_last({"format", "Format"});
  const bool limits = parsed.has("limits") && !format;
  const std::string text(format   ? std::string_view(format->value)
                         : limits ? kLimitsFormat
                                  : default_format(parsed));
  const bool by_name = limits || (format && format->option->name == std::string_view("Format"));
  std::vector<std::string> unknown;
  auto* gather = dialect.slurm ? &unknown : nullptr;
  auto columns = by_name ? long_columns<InfoRow>(text, info_fields(), 20, gather)
                         : short_columns<InfoRow>(text, info_fields(), gather);
  if (!columns.ok())
    return reporter.mistyped(
        {columns.error().code, columns.error().message, format ? format->place : "", columns.error().remedy});
  for (const auto& name : unknown) {
    if (by_name)
      reporter.error_line("Invalid job format specification: " + name);
    else
      reporter.said("Invalid node format specification: " + name);
  }
  if (const Given* sort = parsed.find("sort"); sort && !dialect.slurm) {
    std::vector<InfoRow> none;
    if (!sort_info_rows(none, sort->value))
      return reporter.mistyped({"bad_sort", quote(sort->value) + " holds a letter that is no field",
                                sort->place, "letters of --format, as in -S P,-t"});
  }
  Selection want;
  if (const Given* given = parsed.find("states"))
    for (auto word : split_list(given->value)) want.states.push_back(lower(word));
  if (Status good = check_states(want.states); !good.ok())
    return reporter.mistyped(
        dialect.slurm ? Error{"bad_state", slurm_bad_node_state(parsed.value_or("states", "")), "", ""}
                      : good.error());
  if (const Given* given = parsed.find("partition"))
    for (auto word : split_list(given->value)) want.partitions.emplace_back(word);
  if (const Given* given = parsed.find("nodes")) {
    auto names = expand_hostlist(given->value);
    if (!names.ok())
      return reporter.mistyped(
          {names.error().code, names.error().message, given->place, names.error().remedy});
    want.nodes.insert(names->begin(), names->end());
  }
  want.reasons = parsed.has("list-reasons");
  want.responding = parsed.has("responding");
  want.dead = parsed.has("dead");
  want.all = parsed.has("all");
  unsigned pause = 0;
  if (const Given* given = parsed.find("iterate")) {
    auto seconds = parse_int(given->value, 1, 86400);
    if (!seconds.ok() && dialect.slurm)
      return reporter.mistyped({"bad_number", "Error: invalid entry for --iterate=" + given->value, "", ""});
    if (!seconds.ok())
      return reporter.mistyped(
          {seconds.error().code, seconds.error().message, given->place, seconds.error().remedy});
    pause = static_cast<unsigned>(*seconds);
  }
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  for (;;) {
    auto cluster = session->get<wire::ClusterReply>(wire::ClusterRequest{});
    if (!cluster.ok()) return reporter.refused(cluster.error(), "slurm_load_partitions");
    if (cluster->stale) reporter.note("the controller's store is failing: this is what was durable last");
    keep_selected(*cluster, want);
    Output out;
    if (reporter.json())
      put_json(out.buffer(), *cluster);
    else
      put_table(out.buffer(), parsed, *cluster, *columns,
                by_name ? std::string_view() : std::string_view(text));
    out.flush();
    if (out.failed()) return kRefused;
    if (pause == 0) return 0;
    sleep(pause);
  }
}

}  // namespace bai::cli
