// bai-ctld: the controller. Options and configuration in, a Server out, signals waited for.
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "base/crash_point.h"
#include "base/env.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/options.h"
#include "base/paths.h"
#include "controller/server.h"
#include "model/config.h"
#include "sokovan/plugins.h"

namespace {

using namespace bai;

const OptionTable& table() {
  static const OptionTable kTable{
      "bai-ctld",
      "[OPTION...]",
      "The controller of a bai cluster. It stays in the foreground; see bai-ctld(8).",
      {
          {"conf", 'f', ArgKind::required, "FILE", "Configuration, instead of BAI_CONF or the installed one"},
          {"bind", 0, ArgKind::required, "ADDRESS:PORT", "Listen there, whatever the configuration says"},
          {"accept-loss", 0, ArgKind::none, "",
           "Start on a database that is older than what agents have seen"},
          {"check", 0, ArgKind::none, "", "Judge the configuration and the plugins that it names, and end"},
          {"log-level", 0, ArgKind::required, "LEVEL", "error, warning, info, debug or trace"},
          {"foreground", 'D', ArgKind::none, "", "Stay in the foreground, which it always does"},
          {"crash-points", 0, ArgKind::none, "", "Print the names that BAI_CRASH_POINT takes, for tests"},
          {"version", 'V', ArgKind::none, "", "Print the version"},
          {"help", 'h', ArgKind::none, "", "Print this help"},
      }};
  return kTable;
}

int fail(const Error& error, int code) {
  std::fprintf(stderr, "bai-ctld: %s\n", error.text().c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  auto parsed = parse_options(table(), argc, argv);
  if (!parsed) return fail(parsed.error(), 2);
  if (parsed->has("help")) return std::fputs(render_help(table()).c_str(), stdout), 0;
  if (parsed->has("version")) return std::printf("bai-ctld %s\n", std::string(kVersion).c_str()), 0;
  if (parsed->has("crash-points")) {
    for (auto name : crash_point_names()) std::printf("%s\n", std::string(name).c_str());
    return 0;
  }
  if (auto armed = crash_points_init(); !armed) return fail(armed.error(), 2);

  controller::ServerOptions options;
  options.config_path = find_config(parsed->value_or("conf", ""), kConfFile);
  options.bind = parsed->value_or("bind", "");
  options.accept_loss = parsed->has("accept-loss");
  std::vector<std::string> warnings;
  auto config = load_config(options.config_path, &warnings);
  if (!config) return fail(config.error(), 2);
  if (auto good = sokovan::check_placements(*config); !good) return fail(good.error(), 2);
  if (parsed->has("check")) return 0;
  options.config = std::make_shared<const ClusterConfig>(std::move(*config));

  log::Options logging;
  logging.format = options.config->log_format == LogFormat::kJson ? log::Format::json : log::Format::text;
  logging.file = options.config->ctld_log_file;
  logging.program = "bai-ctld";
  auto level = log::parse_level(parsed->value_or("log-level", options.config->ctld_log_level));
  if (!level) return fail(level.error(), 2);
  logging.level = *level;
  if (auto opened = log::init(logging); !opened) return fail(opened.error(), 1);
  for (const auto& warning : warnings) log::warning("configuration", {{"note", warning}});

  // Blocked before any thread starts, so that signals come to the descriptor alone.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  Fd signal_fd(signalfd(-1, &signals, SFD_CLOEXEC));

  auto server = controller::Server::start(options);
  if (!server) {
    log::error("cannot start", {{"why", server.error().text()}});
    if (!logging.file.empty()) fail(server.error(), 1);
    return 1;
  }
  std::atomic<int> code{0};
  (*server)->on_end([&code](int exit_code) {
    code = exit_code;
    kill(getpid(), SIGTERM);
  });
  Env env = Env::real();
  const std::string& pid_file = options.config->ctld_pid_file;
  if (auto made = env.make_dirs(parent_dir(pid_file)); made)
    if (auto wrote = env.write_file_atomic(pid_file, std::to_string(getpid()) + "\n", 0644); !wrote)
      log::warning("no pid file", {{"why", wrote.error().text()}});
  log::info("ready",
            {{"version", kVersion}, {"cluster", options.config->cluster_name}, {"port", (*server)->port()}});

  for (bool running = true; running;) {
    signalfd_siginfo info{};
    if (read(signal_fd.get(), &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGHUP) {
      if (auto reopened = log::reopen(); !reopened)
        log::warning("the log was not opened anew", {{"why", reopened.error().text()}});
      (*server)->reconfigure();
    } else {
      running = false;
    }
  }
  log::info("ending");
  (*server)->stop();
  unlink(pid_file.c_str());
  return code;
}
