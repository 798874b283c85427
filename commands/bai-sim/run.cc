// bai-sim run and bai-sim compare.
#include "base/env.h"
#include "base/text.h"
#include "base/units.h"
#include "command.h"
#include "sim/figures.h"
#include "sim/plot.h"

namespace bai::sim {
namespace {

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

struct Outcome {
  std::string name;
  Site site;
  Played played;
  std::vector<Figure> figures;
};

// Notes go to standard error.
Outcome simulate(const Call& call, const Workload& workload, std::string name, Site site, bool exact) {
  Outcome out{std::move(name), std::move(site), {}, {}};
  const auto begun = Call::Clock::now();
  out.played = play(workload, out.site, exact, call.value("plot") != nullptr);
  const auto metrics = measure(workload, out.site, out.played);
  out.figures = figures(metrics, out.site, out.played,
                        std::chrono::duration<double>(Call::Clock::now() - begun).count());
  if (out.played.too_large)
    call.reporter.note(out.name + ": " + std::to_string(out.played.too_large) +
                       " jobs can never run there and are left out (" + out.played.too_large_why + ")");
  if (metrics.never_started)
    call.reporter.note(out.name + ": " + std::to_string(metrics.never_started) + " jobs were never started");
  return out;
}

void put_json(cli::JsonWriter& json, const Workload& workload, const Outcome& outcome) {
  json.begin_object()
      .field("name", outcome.name)
      .field("cpus", static_cast<std::int64_t>(outcome.site.cpus / outcome.site.cpu_scale));
  put_json(json, outcome.figures);
  json.field("broken_lines", static_cast<std::int64_t>(workload.broken.count))
      .field("without_run", static_cast<std::int64_t>(workload.without_run))
      .field("too_large", static_cast<std::int64_t>(outcome.played.too_large))
      .end_object();
}

void put_table(std::string& out, const std::vector<Outcome>& outcomes) {
  const auto& first = outcomes.front().figures;
  if (outcomes.size() > 1) {
    out += pad_right("", 30);
    for (const auto& outcome : outcomes) out += pad_left(truncate(outcome.name, 20), 22);
    out += '\n';
  }
  for (std::size_t i = 0; i < first.size(); ++i) {
    out += pad_right(first[i].label, 30);
    for (const auto& outcome : outcomes)
      out += pad_left(text_of(outcome.figures[i]), outcomes.size() > 1 ? 22 : 14);
    if (outcomes.size() == 1) out += clock_of(first[i]).empty() ? "" : "  " + clock_of(first[i]);
    out += '\n';
  }
}

Status draw(const Call& call, const std::string& title, const Workload& workload,
            const std::vector<Outcome>& outcomes) {
  const auto* path = call.value("plot");
  if (!path) return {};
  std::vector<Curve> curves;
  for (const auto& outcome : outcomes) curves.push_back({outcome.name, &outcome.played, outcome.site.cpus});
  return Env::real().write_file_atomic(*path, plot(title, workload.unix_start, curves), 0644);
}

Result<Site> site_of_file(const Call& call, const std::string& path, const Rules& rules) {
  std::vector<std::string> warnings;
  auto config = load_config(path, &warnings);
  if (!config.ok()) return config.error();
  for (const auto& warning : warnings) call.reporter.note(warning);
  auto site = site_of(*config, rules);
  if (!site.ok()) return site.error();
  if (auto good = use_plugins(*site, plugin_dirs(call, config->plugin_dir)); !good.ok()) return good.error();
  return site;
}

Result<Site> machine_of(const Call& call, std::int64_t procs, const Rules& rules) {
  Site site = machine(static_cast<std::uint32_t>(procs), rules);
  if (auto good = use_plugins(site, plugin_dirs(call)); !good.ok()) return good.error();
  return site;
}

Result<Site> chosen_site(const Call& call, const Workload& workload, const Rules& rules) {
  if (const auto* path = call.value("conf")) return site_of_file(call, *path, rules);
  if (const auto* path = call.value("nodes")) return site_of_table(call, *path, rules);
  if (const auto* text = call.value("procs")) {
    auto procs = parse_int(*text, 1, kMostProcs);
    if (!procs.ok()) return Error{"bad_option", procs.error().message, "--procs", procs.error().remedy};
    return machine_of(call, *procs, rules);
  }
  if (workload.max_procs > 0 && workload.max_procs <= kMostProcs)
    return machine_of(call, workload.max_procs, rules);
  return Error{"bad_option", "on what cluster? The trace does not say how many processors there were", "",
               "--procs N or --conf FILE"};
}

}  // namespace

int run(const Call& call) {
  if (call.words.size() != 1)
    return call.mistyped(call.words.empty() ? "which trace?" : "one trace at a time",
                         "bai-sim run TRACE --procs N");
  auto rules = chosen_rules(call);
  if (!rules.ok()) return call.refuse(rules.error());
  auto workload = read_trace(call.words[0], call.strict());
  if (!workload.ok()) return call.refuse(workload.error());
  auto site = chosen_site(call, *workload, *rules);
  if (!site.ok()) return call.refuse(site.error());
  call.tell(workload->broken);
  std::string name = call.value("policy") ? *call.value("policy")
                     : call.value("conf") ? file_name(*call.value("conf"))
                                          : "default";
  std::vector<Outcome> outcomes;
  outcomes.push_back(simulate(call, *workload, std::move(name), *std::move(site), rules->exact));
  outcomes[0].figures.back().value = call.seconds();
  if (auto drawn = draw(call, file_name(call.words[0]), *workload, outcomes); !drawn.ok())
    return call.reporter.refused(drawn.error());
  cli::Output out;
  if (call.reporter.json()) {
    cli::JsonWriter json(out.buffer());
    put_json(json, *workload, outcomes[0]);
    out.put("\n");
  } else {
    put_table(out.buffer(), outcomes);
  }
  return finish(out);
}

int compare(const Call& call) {
  if (call.words.size() != 3)
    return call.mistyped("two configurations and a trace are needed", "bai-sim compare A.conf B.conf TRACE");
  auto rules = chosen_rules(call);
  if (!rules.ok()) return call.refuse(rules.error());
  auto workload = read_trace(call.words[2], call.strict());
  if (!workload.ok()) return call.refuse(workload.error());
  call.tell(workload->broken);
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 2; ++i) {
    auto site = site_of_file(call, call.words[i], *rules);
    if (!site.ok()) return call.refuse(site.error());
    outcomes.push_back(simulate(call, *workload, file_name(call.words[i]), *std::move(site), rules->exact));
  }
  if (auto drawn = draw(call, file_name(call.words[2]), *workload, outcomes); !drawn.ok())
    return call.reporter.refused(drawn.error());
  const auto change = compare_waits(outcomes[0].played, outcomes[1].played);
  cli::Output out;
  if (call.reporter.json()) {
    cli::JsonWriter json(out.buffer());
    json.begin_object();
    put_json(json.key("a"), *workload, outcomes[0]);
    put_json(json.key("b"), *workload, outcomes[1]);
    json.key("jobs_sooner").integer(static_cast<std::int64_t>(change.sooner));
    json.key("jobs_later").integer(static_cast<std::int64_t>(change.later));
    json.key("jobs_same").integer(static_cast<std::int64_t>(change.same)).end_object();
    out.put("\n");
  } else {
    put_table(out.buffer(), outcomes);
    out.put("\n" + std::to_string(change.sooner) + " jobs start sooner with the second, " +
            std::to_string(change.later) + " later, " + std::to_string(change.same) + " at the same time.\n");
  }
  return finish(out);
}

}  // namespace bai::sim
