#include "cli/slurm_options.h"

#include "base/text.h"

namespace bai::cli {
namespace {

constexpr auto kNone = ArgKind::none;
constexpr auto kReq = ArgKind::required;
constexpr auto kOpt = ArgKind::optional;
constexpr const char* kWithoutEffect = "Accepted, without effect";

Option hidden(const char* name, char letter, ArgKind arg) {
  return {.name = name,
          .letter = letter,
          .arg = arg,
          .value_name = arg == kNone ? "" : "VALUE",
          .help = kWithoutEffect,
          .hidden = true};
}

}  // namespace

void add_cluster_options(OptionTable& table, const Dialect& dialect, bool letter) {
  if (!dialect.slurm) return;
  Option clusters = hidden("clusters", letter ? 'M' : '\0', kReq);
  clusters.aliases = {"cluster"};
  table.options.push_back(clusters);
  for (const char* name : {"federation", "local", "sibling", "usage"})
    if (!table.find(name)) table.options.push_back(hidden(name, 0, kNone));
}

void add_list_options(OptionTable& table, const Dialect& dialect) {
  add_cluster_options(table, dialect);
  if (!dialect.slurm) return;
  for (const char* name : {"noconvert", "hide"})
    if (!table.find(name)) table.options.push_back(hidden(name, 0, kNone));
}

std::vector<Option> unmet_job_options() {
  struct Row {
    const char* name;
    char letter;
    ArgKind arg;
  };
  static constexpr Row kRows[] = {
      {"acctg-freq", 0, kReq},
      {"clusters", 'M', kReq},
      {"core-spec", 'S', kReq},
      {"cpu-freq", 0, kReq},
      {"delay-boot", 0, kReq},
      {"gpu-freq", 0, kReq},
      {"gres-flags", 0, kReq},
      {"hint", 0, kReq},
      {"ignore-pbs", 0, kNone},
      {"kill-on-invalid-dep", 0, kReq},
      {"mcs-label", 0, kReq},
      {"mem-bind", 0, kReq},
      {"network", 0, kReq},
      {"no-kill", 'k', kOpt},
      {"oversubscribe", 's', kNone},
      {"power", 0, kReq},
      {"prefer", 0, kReq},
      {"profile", 0, kReq},
      {"reboot", 0, kNone},
      {"reservation", 0, kReq},
      {"thread-spec", 0, kReq},
      {"time-min", 0, kReq},
      {"use-min-nodes", 0, kNone},
      {"wait-all-nodes", 0, kReq},
      {"wckey", 0, kReq},
  };
  std::vector<Option> out;
  for (const Row& row : kRows) {
    out.push_back(hidden(row.name, row.letter, row.arg));
    out.back().directive = true;
  }
  return out;
}

std::optional<Error> refused_job_option(const Parsed& parsed) {
  if (const Given* given = parsed.find("reservation"))
    return Error{"unknown_reservation", "there is no reservation " + quote(given->value), given->place,
                 "leave it out: there are none"};
  if (const Given* given = parsed.find("kill-on-invalid-dep"); given && iequals(given->value, "yes"))
    return Error{"bad_option", "this is a setting of the cluster: SchedulerParameters=kill_invalid_depend",
                 given->place, "leave it out"};
  return {};
}

std::optional<Error> other_cluster(const Parsed& parsed, std::string_view own) {
  const Given* given = parsed.find("clusters");
  if (!given || given->value == own || iequals(given->value, "all")) return {};
  return Error{"other_cluster",
               "Problem talking to database\n'" + given->value +
                   "' can't be reached now, or it is an invalid entry for --cluster.  Use 'sacctmgr list "
                   "clusters' to see available clusters.",
               "", "this cluster is " + std::string(own)};
}

}  // namespace bai::cli
