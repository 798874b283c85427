#include "cluster/starter.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/crash_point.h"
#include "base/env.h"
#include "base/paths.h"
#include "cluster/controller.h"
#include "cluster/munged.h"
#include "cluster/postgres.h"
#include "cluster/remains.h"

namespace bai::cluster {
namespace {

using std::chrono::milliseconds;

constexpr int kStartMs = 30'000;  // for each part; sanitized and emulated programs are slow
constexpr int kEndMs = 10'000;
constexpr milliseconds kAnswer{2000};

// PostgreSQL's SIGINT: end connections, write everything, go.
int end_signal(std::string_view name) { return name == "postgres" ? SIGINT : SIGTERM; }

}  // namespace

Status end_processes(const Layout& layout, const Settings& settings) {
  Status result;
  auto names = process_names(settings);
  std::reverse(names.begin(), names.end());
  // The agents end together: each gets its signal before any is waited for.
  for (const auto& agent : agent_names(settings))
    if (auto process = find_process(layout, agent)) kill(process->pid, SIGTERM);
  for (const auto& name : names) {
    auto process = find_process(layout, name);
    if (!process) {
      remove_pid_files(layout, name);
      continue;
    }
    auto stopped = stop_process(layout, std::move(*process), end_signal(name), kEndMs);
    if (!stopped.ok()) result = stopped;
  }
  end_initdb(layout);
  if (auto ended = end_step_remains(layout); !ended.ok()) result = ended;
  return result;
}

Starter::Starter(const Layout& layout, const Settings& settings, Interrupt& interrupt)
    : layout_(layout),
      settings_(settings),
      interrupt_(interrupt),
      began_(Env::real().now()),
      attempts_(find_attempts(layout)) {}

bool Starter::adopt(const std::string& name) {
  auto found = find_process(layout_, name);
  if (!found) return false;
  processes_.push_back(std::move(*found));
  return true;
}

bool Starter::is_started(std::string_view name) const {
  return std::find(started_.begin(), started_.end(), name) != started_.end();
}

Status Starter::start(const std::string& name, const std::vector<std::string>& argv,
                      std::optional<RunAs> as) {
  if (interrupt_.came()) return interrupted();
  remove_pid_files(layout_, name);
  started_.push_back(name);
  auto process = start_process(layout_, name, argv, as);
  if (!process.ok()) return process.error();
  processes_.push_back(std::move(*process));
  return {};
}

Status Starter::await(const std::string& what, int pause_ms, const std::function<bool()>& done) {
  std::vector<const Process*> watched;
  for (const auto& process : processes_) watched.push_back(&process);
  return wait_until(layout_, watched, interrupt_, kStartMs, pause_ms, what, done);
}

Status Starter::munged() {
  if (!adopt("munged")) {
    auto command = munged_command(layout_, settings_);
    if (!command.ok()) return command.error();
    unlink(munge_socket(settings_).c_str());
    if (auto done = start("munged", *command); !done.ok()) return done;
    crash_point("cluster.munged_started");
  }
  return await("munged did not answer", 2, [this] { return munged_answers(settings_); });
}

Status Starter::postgres() {
  if (settings_.store != Store::kPostgresql) return {};
  if (!adopt("postgres")) {
    auto prepared = prepare_postgres(layout_, settings_, interrupt_);
    if (!prepared.ok()) return prepared.error();
    if (auto done = start("postgres", prepared->command, prepared->as); !done.ok()) return done;
    crash_point("cluster.postgres_started");
  }
  const pid_t pid = processes_.back().pid;
  return await("PostgreSQL did not get ready", 5, [this, pid] { return postgres_answers(layout_, pid); });
}

Status Starter::ctld() {
  if (!adopt("ctld")) {
    if (auto done = start("ctld", {program_path("bai-ctld"), "--conf", layout_.conf()}); !done.ok())
      return done;
    crash_point("cluster.ctld_started");
  }
  return await("bai-ctld did not answer", 5, [this] { return ping(settings_, milliseconds(50)).ok(); });
}

Status Starter::agents() {
  for (const auto& agent : agent_names(settings_)) {
    if (adopt(agent)) continue;
    std::vector<std::string> argv = {program_path("bai-agentd"), "--conf", layout_.conf()};
    if (settings_.emulated) {  // what each has is in bai.conf
      argv.insert(argv.end(), {"--emulate", std::to_string(settings_.nodes), "--node", node_list(settings_)});
    } else {
      argv.insert(argv.end(), {"-N", agent});
      if (settings_.cpus) argv.insert(argv.end(), {"--cpus", std::to_string(settings_.cpus)});
      if (settings_.memory_mib) argv.insert(argv.end(), {"--memory", std::to_string(settings_.memory_mib)});
    }
    if (auto done = start(agent, argv); !done.ok()) return done;
    crash_point("cluster.agent_started");
  }
  return await("not all nodes got ready", 5, [this] {
    const auto pong = ping(settings_, kAnswer);
    return pong.ok() && pong->nodes_ready >= settings_.nodes && fresh_agents_registered();
  });
}

// For a moment the controller may take a new agent for the one that it had there before.
bool Starter::fresh_agents_registered() const {
  const auto known = nodes(settings_, kAnswer);
  return known.ok() && std::all_of(known->begin(), known->end(), [this](const Node& node) {
           return !is_started(settings_.emulated ? "emulator" : node.name.view()) ||
                  node.agent_started >= began_;
         });
}

// A process that ran when we looked may have been about to end: then it is started, too.
Status Starter::start_all() {
  for (int tries = 0;; ++tries) {
    auto done = try_all();
    if (interrupt_.came()) return interrupted();
    const bool stale = std::any_of(processes_.begin(), processes_.end(), [this](const Process& process) {
      return !is_started(process.name) && wait_for_end(process, 0);
    });
    if (!stale || tries == 2) return done;
    processes_.clear();
  }
}

Status Starter::try_all() {
  if (auto done = munged(); !done.ok()) return done;
  if (auto done = postgres(); !done.ok()) return done;
  if (auto done = ctld(); !done.ok()) return done;
  return agents();
}

void Starter::undo() {
  std::reverse(started_.begin(), started_.end());
  for (const auto& name : started_)
    if (auto process = find_process(layout_, name))
      (void)stop_process(layout_, std::move(*process), end_signal(name), kEndMs);
  (void)end_step_remains(layout_, attempts_);
}

}  // namespace bai::cluster
