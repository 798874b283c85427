// bai-agentd: one per node. Registers it with the controller, launches what it is told to, reports how it ended. See src/agent/agent.h.
#include <stdio.h>
#include <unistd.h>

#include <string>

#include "agent/agent.h"
#include "agent/device_hosts.h"
#include "agent/emulation.h"
#include "agent/emulator.h"
#include "agent/inventory.h"
#include "base/crash_point.h"
#include "base/hostlist.h"
#include "base/log.h"
#include "base/options.h"
#include "base/paths.h"
#include "base/units.h"
#include "device/host.h"

namespace {

using namespace bai;

OptionTable table() {
  OptionTable t;
  t.program = "bai-agentd";
  t.synopsis = "[OPTION...]";
  t.description =
      "Runs the jobs of one node, or with --emulate pretends to be many. It stays in the foreground; jobs go "
      "on when it ends.";
  t.options = {
      {.name = "node",
       .letter = 'N',
       .arg = ArgKind::required,
       .value_name = "NAME",
       .help = "The node's name in bai.conf, the host's by default; with --emulate, a list of names"},
      {.name = "conf",
       .letter = 'f',
       .arg = ArgKind::required,
       .value_name = "FILE",
       .help = "The configuration file instead of the default"},
      {.name = "cpus",
       .arg = ArgKind::required,
       .value_name = "N",
       .help = "Say that the node has N processors, without looking; with --memory"},
      {.name = "memory",
       .arg = ArgKind::required,
       .value_name = "SIZE",
       .help = "Say that the node has this much memory (MiB, or with K, M, G, T); with --cpus"},
      {.name = "emulate",
       .arg = ArgKind::required,
       .value_name = "N[:SPEC]",
       .help = "Be N virtual nodes whose jobs run nothing and take the time of --comment=emulate:SECONDS; "
               "SPEC says what "
               "each has: CPUs=64,RealMemory=256G"},
      {.name = "ctld",
       .arg = ArgKind::required,
       .value_name = "HOST:PORT",
       .help = "Where the controller is, instead of what the configuration says"},
      {.name = "print-node",
       .letter = 'C',
       .help = "Print this node's line for bai.conf, as it was found, and exit"},
      {.name = "foreground", .letter = 'D', .help = "Stay in the foreground; it always does"},
      {.name = "log-level",
       .arg = ArgKind::required,
       .value_name = "LEVEL",
       .help = "trace, debug, info, warning, error or off, instead of what the configuration says"},
      {.name = "help", .letter = 'h', .help = "Print this and exit"},
      {.name = "version", .letter = 'V', .help = "Print the version and exit"},
  };
  return t;
}

int fail(const Error& error, int code) {
  fprintf(stderr, "bai-agentd: %s\n", error.text().c_str());
  return code;
}

// One line for nodes that are alike.
int print_nodes(const std::vector<ConfigNode>& nodes) {
  for (std::size_t from = 0, to = 0; from < nodes.size(); from = to) {
    std::vector<std::string> names;
    while (to < nodes.size() && nodes[to].shape == nodes[from].shape) names.push_back(nodes[to++].name.str());
    ConfigNode like = nodes[from];
    like.name = Istr(compress_hostlist(names));
    if (printf("%s\n", node_line(like).c_str()) < 0) return 1;
  }
  return 0;
}

int print_node(const std::string& name, const std::optional<NodeShape>& invented,
               const ClusterConfig& config) {
  auto devices = agent::DeviceHosts::start(config, name);  // they look while this does
  if (!devices.ok()) return fail(devices.error(), 1);
  auto shape = invented ? Result<NodeShape>(*invented) : agent::discover_shape();
  if (!shape.ok()) return fail(shape.error(), 1);
  (*devices)->wait(-1);
  shape->devices = groups_of((*devices)->report({}));
  ConfigNode node;
  node.name = name;
  node.shape = *shape;
  return printf("%s\n", node_line(node).c_str()) < 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == device::kHostOption)
    return device::run_host(device::kHostSocket).ok() ? 0 : 1;
  const OptionTable options = table();
  auto given = parse_options(options, argc, argv);
  if (!given.ok()) return fail(given.error(), 2);
  if (given->has("help")) return fputs(render_help(options).c_str(), stdout) < 0;
  if (given->has("version")) return printf("bai-agentd %s\n", std::string(kVersion).c_str()) < 0;
  if (!given->rest.empty()) return fail({"bad_option", "takes no arguments", given->rest[0]}, 2);

  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  agent::AgentOptions run;
  const std::string full = host;
  run.node = given->value_or("node", full.substr(0, full.find('.')));
  run.conf = find_config(given->value_or("conf", ""), kConfFile);
  run.controller = given->value_or("ctld", "");
  run.log_level_fixed = given->has("log-level");
  if (given->has("cpus") != given->has("memory"))
    return fail({"bad_option", "--cpus and --memory go together"}, 2);
  if (given->has("cpus")) {
    auto cpus = parse_int(given->value_or("cpus", ""), 1, 65536);
    auto memory = parse_memory_mib(given->value_or("memory", ""));
    if (!cpus.ok()) return fail({"bad_option", cpus.error().message, "--cpus"}, 2);
    if (!memory.ok()) return fail({"bad_option", memory.error().message, "--memory"}, 2);
    run.invented = agent::invented_shape(static_cast<std::uint32_t>(*cpus), *memory);
  }
  const bool emulates = given->has("emulate");
  if (emulates && given->has("cpus"))
    return fail({"bad_option", "--cpus and --memory do not go with --emulate", "--cpus",
                 "write --emulate N:CPUs=64,RealMemory=256G"},
                2);
  if (given->has("print-node")) {
    auto config = load_config(run.conf, nullptr);  // which may not be written yet
    if (!emulates) return print_node(run.node, run.invented, config.ok() ? *config : ClusterConfig());
    auto nodes = agent::parse_emulation(given->value_or("emulate", ""), given->value_or("node", ""),
                                        config.ok() ? *config : ClusterConfig());
    return nodes.ok() ? print_nodes(*nodes) : fail(nodes.error(), 2);
  }

  if (auto armed = crash_points_init(); !armed.ok()) return fail(armed.error(), 2);
  std::vector<std::string> warnings;
  auto config = load_config(run.conf, &warnings);
  if (!config.ok()) return fail(config.error(), 2);
  agent::EmulatorOptions virtual_ones{{}, run.controller, run.log_level_fixed};
  if (emulates) {
    auto nodes = agent::parse_emulation(given->value_or("emulate", ""), given->value_or("node", ""), *config);
    if (!nodes.ok()) return fail(nodes.error(), 2);
    virtual_ones.nodes = std::move(*nodes);
    run.node = "emulator";  // in the names of files
  }
  auto level = log::parse_level(given->value_or("log-level", config->agentd_log_level));
  if (!level.ok()) return fail(level.error(), 2);
  auto logging =
      log::init({.format = config->log_format == LogFormat::kJson ? log::Format::json : log::Format::text,
                 .level = *level,
                 .file = for_node(config->agentd_log_file, run.node),
                 .program = "bai-agentd"});
  if (!logging.ok()) return fail(logging.error(), 1);
  for (const auto& warning : warnings) log::warning(warning);

  const Env env = Env::real();
  const auto serve = [](auto started) { return started.ok() ? (*started)->run() : Status(started.error()); };
  const Status done = emulates ? serve(agent::Emulator::start(env, std::move(virtual_ones), *config))
                               : serve(agent::Agent::start(env, run, *config));
  if (done.ok()) return 0;
  log::error("cannot go on", {{"why", done.error().text()}});
  log::flush();
  return config->agentd_log_file.empty() ? 1 : fail(done.error(), 1);
}
