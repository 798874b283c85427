#include "command.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace bai::sim {
namespace {

// Options that mean nothing to a command are refused rather than ignored.
Status check_options(const std::string& command, const Parsed& parsed) {
  struct Meaning {
    const char* option;
    std::string_view commands;
  };
  static constexpr Meaning kMeanings[] = {{"procs", "run"},
                                          {"conf", "run"},
                                          {"nodes", "run fill"},
                                          {"pods", "fill"},
                                          {"policy", "run compare"},
                                          {"placement", "run compare fill"},
                                          {"seeds", "fill"},
                                          {"plot", "run compare"},
                                          {"strict", "run compare fill"},
                                          {"plugin-dir", "run compare fill replay"}};
  for (const auto& [option, commands] : kMeanings) {
    if (!parsed.has(option)) continue;
    const auto words = split_blanks(commands);
    if (std::find(words.begin(), words.end(), command) == words.end())
      return Error{"bad_option", "means nothing to " + command, "--" + std::string(option),
                   "it is for " + join(words, ", ")};
  }
  if (parsed.has("procs") + parsed.has("conf") + parsed.has("nodes") > 1)
    return Error{"bad_option", "one cluster at a time", "run", "--procs, --conf or --nodes"};
  return {};
}

}  // namespace

OptionTable sim_table() {
  OptionTable t;
  t.program = "bai-sim";
  t.synopsis = "run|compare|fill|replay [OPTION...] [FILE...]";
  t.description =
      "Plays a trace of jobs on a cluster that is not there, with the scheduler that the controller uses.";
  t.epilog =
      "Commands:\n"
      "  run TRACE                      how a trace's jobs would have fared\n"
      "  compare A.conf B.conf TRACE    what another configuration would change\n"
      "  fill --nodes FILE --pods FILE  how much of the GPUs a placement can give away\n"
      "  replay FILE                    whether a recording of the controller's decisions repeats\n";
  t.permute = true;
  auto with_value = [&](const char* name, const char* value, const char* help) {
    t.options.push_back({.name = name, .arg = ArgKind::required, .value_name = value, .help = help});
  };
  with_value("procs", "N", "The cluster is one machine of N processors (what the trace's header says)");
  with_value("conf", "FILE", "The cluster is that of this bai.conf");
  with_value("nodes", "FILE", "The cluster is this table of openb's nodes");
  with_value("pods", "FILE", "Openb's table of pods (fill)");
  with_value("policy", "NAME", "fcfs, easy, easy-exact, easy-sjbf, conservative or default");
  with_value("placement", "NAME",
             "concentrated, dispersed, roundrobin, topology, fragmentation or plugin:NAME");
  with_value("plugin-dir", "DIR", "Where plugins are, instead of PluginDir or the installed directory");
  with_value("seeds", "K", "Fill in K different orders (10)");
  with_value("plot", "FILE", "Draw utilisation, queue and waits to an SVG file");
  t.options.push_back({.name = "strict", .help = "A broken line of a trace ends the command"});
  t.options.push_back({.name = "json", .help = "Print JSON, errors too"});
  t.options.push_back({.name = "help", .letter = 'h', .help = "Show this help"});
  t.options.push_back({.name = "version", .letter = 'V', .help = "Show the version"});
  return t;
}

const std::string* Call::value(std::string_view option) const {
  const auto* given = parsed.find(option);
  return given ? &given->value : nullptr;
}

int Call::refuse(const Error& error) const {
  return error.code == "bad_option" ? reporter.mistyped(error) : reporter.refused(error);
}

int Call::mistyped(std::string message, std::string remedy) const {
  return reporter.mistyped({"bad_option", std::move(message), "", std::move(remedy)});
}

void Call::tell(const Broken& broken) const {
  for (const auto& line : broken.first) reporter.note(line + "; left out");
  if (broken.count > broken.first.size())
    reporter.note("and " + std::to_string(broken.count - broken.first.size()) +
                  " more broken lines, left out");
}

std::string plugin_dirs(const Call& call, std::string_view dirs) {
  const auto* given = call.value("plugin-dir");
  return given ? *given : std::string(dirs);
}

Result<Rules> chosen_rules(const Call& call) {
  Rules rules;
  if (const auto* name = call.value("policy")) {
    auto parsed = parse_rules(*name);
    if (!parsed.ok()) return parsed.error();
    rules = *parsed;
  }
  if (const auto* name = call.value("placement")) {
    auto known = read_placement(*name);
    if (!known.ok()) return known.error();
    rules.placement = *known;
  }
  return rules;
}

Result<Site> site_of_table(const Call& call, const std::string& path, const Rules& rules) {
  auto nodes = read_openb_nodes(path, call.strict());
  if (!nodes.ok()) return nodes.error();
  call.tell(nodes->broken);
  Site site = site_of(nodes->nodes, rules);
  if (auto good = use_plugins(site, plugin_dirs(call)); !good.ok()) return good.error();
  return site;
}

void put_json(cli::JsonWriter& json, const std::vector<Figure>& figures) {
  for (const auto& figure : figures) {
    const bool whole = figure.kind == Figure::kCount ||
                       (figure.kind == Figure::kDuration && figure.value == std::floor(figure.value));
    json.key(figure.key);
    whole ? json.integer(static_cast<std::int64_t>(figure.value)) : json.number(figure.value);
  }
}

int finish(cli::Output& out) {
  out.flush();
  return out.failed() ? cli::kRefused : 0;
}

int run_sim(int argc, const char* const* argv) {
  const auto dialect = cli::Dialect::of(argv[0]);
  cli::Reporter reporter(dialect);
  const OptionTable options = sim_table();
  auto parsed = parse_options(options, argc, argv);
  if (!parsed.ok()) return reporter.mistyped(parsed.error());
  int status = 0;
  if (cli::handle_common(options, *parsed, reporter, status)) return status;
  if (parsed->rest.empty())
    return reporter.mistyped(
        {"bad_option", "what shall it do?", "", "run, compare, fill or replay; see bai-sim --help"});
  const std::string command = parsed->rest.front();
  Call call{*parsed, reporter, {parsed->rest.begin() + 1, parsed->rest.end()}};
  if (command != "run" && command != "compare" && command != "fill" && command != "replay")
    return reporter.mistyped(
        {"bad_option", quote(command) + " is nothing that bai-sim does", "", "run, compare, fill or replay"});
  if (auto sound = check_options(command, *parsed); !sound.ok()) return reporter.mistyped(sound.error());
  if (command == "run") return run(call);
  if (command == "compare") return compare(call);
  if (command == "fill") return fill(call);
  return replay(call);
}

}  // namespace bai::sim
