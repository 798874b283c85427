// bai-cluster: a complete private cluster on this machine, for anyone.
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "base/crash_point.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/output.h"
#include "cli/report.h"
#include "cluster/cluster.h"
#include "cluster/run.h"

namespace {

using namespace bai;
using namespace bai::cluster;

OptionTable table() {
  OptionTable t;
  t.program = "bai-cluster";
  t.synopsis = "up|env|status|down|run [OPTION...] [-- COMMAND [ARGUMENT...]]";
  t.description =
      "Starts a complete private cluster on this machine: its own MUNGE, controller and nodes, all under one "
      "directory. Needs no root.";
  t.epilog =
      "up      make it, or start whatever of it does not run\n"
      "env     print what a shell needs to use it: eval \"$(bai-cluster env)\"\n"
      "status  show its processes; exit status 0 if all of them run\n"
      "down    cancel its jobs, end it, remove its files\n"
      "run     make one, run COMMAND in it, take it down, exit with COMMAND's status\n";
  t.options = {
      {.name = "nodes",
       .letter = 'N',
       .arg = ArgKind::required,
       .value_name = "N",
       .help = "Nodes of a new cluster (3)"},
      {.name = "emulate",
       .arg = ArgKind::required,
       .value_name = "N",
       .help =
           "N virtual nodes instead, of one process: their jobs run nothing, for --comment=emulate:SECONDS"},
      {.name = "cpus",
       .letter = 'c',
       .arg = ArgKind::required,
       .value_name = "N",
       .help = "CPUs that each node claims to have (the machine's)"},
      {.name = "memory",
       .arg = ArgKind::required,
       .value_name = "SIZE",
       .help = "Memory that each node claims to have, MiB or with K, M, G, T (the machine's)"},
      {.name = "dir",
       .letter = 'd',
       .arg = ArgKind::required,
       .value_name = "DIR",
       .help = "Where all of it lies ($XDG_STATE_HOME/bai/cluster; run: a temporary directory)"},
      {.name = "store",
       .arg = ArgKind::required,
       .value_name = "sqlite|postgresql",
       .help = "What the controller keeps its state in (sqlite); postgresql starts a private server"},
      {.name = "keep",
       .help = "Leave the files when the cluster goes down; up starts it again with its state"},
      {.name = "json", .help = "Print JSON, errors too"},
      {.name = "help", .letter = 'h', .help = "Show this help"},
      {.name = "version", .letter = 'V', .help = "Show the version"},
  };
  return t;
}

Result<Wanted> wanted_of(const Parsed& parsed) {
  Wanted out;
  if (const auto* given = parsed.find("nodes")) {
    const auto value = parse_int(given->value, 1, 4096);
    if (!value.ok())
      return Error{"bad_option", value.error().message, given->place, "a number from 1 to 4096"};
    out.nodes = static_cast<std::uint32_t>(*value);
  }
  if (const auto* given = parsed.find("emulate")) {
    if (out.nodes)
      return Error{"bad_option", "a cluster's nodes are real or virtual", given->place, "leave --nodes out"};
    const auto value = parse_int(given->value, 1, kMaxHosts);
    if (!value.ok())
      return Error{"bad_option", value.error().message, given->place,
                   "a number from 1 to " + std::to_string(kMaxHosts)};
    out.nodes = static_cast<std::uint32_t>(*value);
    out.emulate = true;
  }
  if (const auto* given = parsed.find("cpus")) {
    const auto value = parse_int(given->value, 1, 65533);
    if (!value.ok())
      return Error{"bad_option", value.error().message, given->place, "a number from 1 to 65533"};
    out.cpus = static_cast<std::uint32_t>(*value);
  }
  if (const auto* given = parsed.find("memory")) {
    const auto value = parse_memory_mib(given->value);
    if (!value.ok()) return Error{"bad_option", value.error().message, given->place, value.error().remedy};
    out.memory_mib = *value;
  }
  if (const auto* given = parsed.find("store")) {
    if (given->value != "sqlite" && given->value != "postgresql")
      return Error{"bad_option", quote(given->value) + " is no store", given->place, "sqlite or postgresql"};
    out.store = given->value == "sqlite" ? Store::kSqlite : Store::kPostgresql;
  }
  out.keep = parsed.has("keep");
  return out;
}

void print_state(const ClusterState& state, const Layout& layout, bool json) {
  cli::Output out;
  if (json) {
    cli::JsonWriter w(out.buffer());
    w.begin_object()
        .field("dir", layout.dir)
        .field("conf", layout.conf())
        .field("port", std::int64_t{state.settings.port});
    w.flag("up", state.whole())
        .field("nodes", std::int64_t{state.settings.nodes})
        .field("nodes_ready", std::int64_t{state.nodes_ready});
    w.key("processes").begin_array();
    for (const auto& p : state.processes) {
      w.begin_object().field("name", p.name).key("pid");
      p.pid ? w.integer(p.pid) : w.null();
      w.end_object();
    }
    w.end_array().end_object();
    out.put("\n");
    return;
  }
  out.put(pad_right("NAME", 10)).put(pad_left("PID", 8)).put("  STATE\n");
  for (const auto& p : state.processes)
    out.put(pad_right(p.name, 10))
        .put(pad_left(p.pid ? std::to_string(p.pid) : "-", 8))
        .put(p.pid ? "  running\n" : "  not running\n");
  out.put(std::to_string(state.nodes_ready) + " of " + std::to_string(state.settings.nodes) + " nodes ready");
  out.put(state.answers ? "" : "; the controller does not answer").put("; files in " + layout.dir + "\n");
}

int up(const Layout& layout, const Wanted& wanted, const cli::Reporter& reporter) {
  auto interrupt = Interrupt::create();
  if (!interrupt.ok()) return reporter.refused(interrupt.error());
  auto done = bring_up(layout, wanted, *interrupt);
  if (!done.ok()) return interrupt->first() ? 128 + interrupt->first() : reporter.refused(done.error());
  if (reporter.json()) {
    auto state = look(layout);
    if (!state.ok()) return reporter.refused(state.error());
    print_state(*state, layout, true);
    return 0;
  }
  const auto& nodes = done->settings.nodes;
  const std::string count = std::to_string(nodes) + (nodes == 1 ? " node" : " nodes");
  if (done->started.empty()) {
    printf("A cluster of %s runs already in %s\n", count.c_str(), layout.dir.c_str());
  } else {
    printf("A cluster of %s is up in %s (%.2f s)\n", count.c_str(), layout.dir.c_str(),
           static_cast<double>(done->took_ms) / 1000);
  }
  const auto usual = default_dir();
  const bool named = !usual.ok() || layout.dir != *usual;
  printf("Use it from this shell:  eval \"$(bai-cluster env%s)\"\n",
         named ? (" --dir " + layout.dir).c_str() : "");
  return fflush(stdout) == 0 ? 0 : 1;
}

int print_env(const Layout& layout, const cli::Reporter& reporter) {
  auto settings = load_settings(layout);
  if (!settings.ok()) return reporter.refused(settings.error());
  printf("export BAI_CONF=%s\nexport PATH=%s\n", shell_quote(layout.conf()).c_str(),
         shell_quote(path_with_programs()).c_str());
  return fflush(stdout) == 0 ? 0 : 1;
}

int status(const Layout& layout, const cli::Reporter& reporter) {
  auto state = look(layout);
  if (!state.ok()) return reporter.refused(state.error());
  print_state(*state, layout, reporter.json());
  return state->whole() ? 0 : 1;
}

int down(const Layout& layout, bool keep, const cli::Reporter& reporter) {
  // Going down is not to be interrupted half way.
  auto interrupt = Interrupt::create();
  if (!interrupt.ok()) return reporter.refused(interrupt.error());
  auto done = take_down(layout, keep, &*interrupt);
  if (!done.ok() && done.error().code == "interrupted") return 128 + interrupt->first();
  return done.ok() ? 0 : reporter.refused(done.error());
}

int run(Layout layout, const Wanted& wanted, const std::vector<std::string>& words,
        const cli::Reporter& reporter) {
  if (words.empty())
    return reporter.mistyped(
        {"bad_option", "a command is missing", "run", "bai-cluster run [OPTION...] -- COMMAND"});
  auto interrupt = Interrupt::create();
  if (!interrupt.ok()) return reporter.refused(interrupt.error());
  if (layout.dir.empty()) {
    const char* tmp = getenv("TMPDIR");
    std::string path = std::string(tmp && *tmp == '/' ? tmp : "/tmp") + "/bai-XXXXXX";
    if (!mkdtemp(path.data())) return reporter.refused(errno_error("cannot make a directory", path, errno));
    if (geteuid() == 0) chmod(path.c_str(), 0755);
    layout.dir = path;
  } else if (has_cluster(layout)) {
    auto state = look(layout);
    if (state.ok() && state->answers)
      return reporter.refused(
          {"exists", "a cluster runs already in " + layout.dir, "",
           "use it by eval \"$(bai-cluster env --dir " + layout.dir + ")\", or choose another directory"});
  }
  adopt_orphans();
  auto done = bring_up(layout, wanted, *interrupt);
  if (!done.ok()) {
    end_orphans();
    rmdir(layout.dir.c_str());
    return interrupt->first() ? 128 + interrupt->first() : reporter.refused(done.error());
  }
  auto result = run_command(words, layout.conf(), *interrupt);
  auto ended = take_down(layout, wanted.keep, nullptr);
  end_orphans();
  if (!ended.ok() && ended.error().code != "no_cluster") return reporter.refused(ended.error());
  if (wanted.keep) reporter.note("the cluster's files are in " + layout.dir);
  if (!result.ok() && result.error().code == "interrupted") return 128 + interrupt->first();
  return result.ok() ? *result : reporter.refused(result.error());
}

}  // namespace

int main(int argc, char** argv) {
  const auto dialect = cli::Dialect::of(argv[0]);
  if (auto armed = crash_points_init(); !armed.ok()) return cli::Reporter(dialect).mistyped(armed.error());
  cli::Reporter reporter(dialect);
  const OptionTable options = table();
  const OptionParser parser(options);
  auto before = parser.parse(argc, argv);
  if (!before.ok()) return reporter.mistyped(before.error());
  int exit_status = 0;
  if (cli::handle_common(options, *before, reporter, exit_status)) return exit_status;
  if (before->rest.empty())
    return reporter.mistyped(
        {"bad_option", "what shall it do?", "", "up, env, status, down or run; see bai-cluster --help"});
  const std::string verb = before->rest.front();
  auto parsed = parser.parse({before->rest.begin() + 1, before->rest.end()});
  if (!parsed.ok()) return reporter.mistyped(parsed.error());
  parsed->given.insert(parsed->given.begin(), before->given.begin(), before->given.end());
  if (cli::handle_common(options, *parsed, reporter, exit_status)) return exit_status;

  const bool makes = verb == "up" || verb == "run";
  if (!makes && verb != "env" && verb != "status" && verb != "down")
    return reporter.mistyped({"bad_option", quote(verb) + " is nothing that bai-cluster does", "",
                              "up, env, status, down or run"});
  if (verb != "run" && !parsed->rest.empty())
    return reporter.mistyped(
        {"bad_option", quote(parsed->rest.front()) + " is too much", verb, "see bai-cluster --help"});
  for (const char* name : {"nodes", "emulate", "cpus", "memory", "store", "keep"})
    if (!makes && parsed->has(name) && !(verb == "down" && std::string_view(name) == "keep"))
      return reporter.mistyped({"bad_option", "goes with up and run only", std::string("--") + name, ""});
  auto wanted = wanted_of(*parsed);
  if (!wanted.ok()) return reporter.mistyped(wanted.error());

  Layout layout;
  if (const auto* given = parsed->find("dir")) {
    auto dir = absolute_dir(given->value);
    if (!dir.ok()) return reporter.mistyped(dir.error());
    layout.dir = *dir;
  } else if (verb != "run") {
    auto dir = default_dir();
    if (!dir.ok()) return reporter.refused(dir.error());
    layout.dir = *dir;
  }
  if (verb == "up") return up(layout, *wanted, reporter);
  if (verb == "env") return print_env(layout, reporter);
  if (verb == "status") return status(layout, reporter);
  if (verb == "down") return down(layout, wanted->keep, reporter);
  return run(layout, *wanted, parsed->rest, reporter);
}
