#include "cluster/cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/env.h"
#include "base/paths.h"
#include "cluster/config_writer.h"
#include "cluster/controller.h"
#include "cluster/munged.h"
#include "cluster/postgres.h"
#include "cluster/process.h"
#include "cluster/remains.h"
#include "model/ids.h"

namespace bai::cluster {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kStartMs = 30'000;  // for each part; sanitized and emulated programs are slow
constexpr milliseconds kAnswer{2000};

// A cluster of root's serves other users too: they must get through to munged's socket and their scripts.
unsigned dir_mode() { return geteuid() == 0 ? 0755 : 0700; }

Result<Fd> lock(const Layout& layout) {
  auto fd = open_fd(layout.lock(), O_RDWR | O_CREAT, 0600);
  if (!fd.ok()) return fd;
  while (flock(fd->get(), LOCK_EX) != 0)
    if (errno != EINTR) return errno_error("cannot lock", layout.lock(), errno);
  return fd;
}

Error different(const Layout& layout, const std::string& what) {
  return Error{"different", "the cluster in " + layout.dir + " has " + what, "",
               "leave the option out, or begin anew: bai-cluster down --dir " + layout.dir};
}

Status check_same(const Layout& layout, const Settings& is, const Wanted& wanted) {
  if (wanted.nodes && *wanted.nodes != is.nodes)
    return different(layout, std::to_string(is.nodes) + " nodes");
  if (wanted.cpus && *wanted.cpus != is.cpus)
    return different(layout,
                     is.cpus ? std::to_string(is.cpus) + " CPUs a node" : "the machine's CPUs in each node");
  if (wanted.memory_mib && *wanted.memory_mib != is.memory_mib)
    return different(layout, is.memory_mib ? std::to_string(is.memory_mib) + " MiB a node"
                                           : "the machine's memory in each node");
  if (wanted.store && *wanted.store != is.store)
    return different(layout,
                     std::string("its store in ") + (is.store == Store::kSqlite ? "sqlite" : "postgresql"));
  return {};
}

// A new cluster's settings and files.
Result<Settings> create(const Layout& layout, const Wanted& wanted) {
  const Env env = Env::real();
  Settings s;
  s.nodes = wanted.nodes.value_or(s.nodes);
  s.cpus = wanted.cpus.value_or(0);
  s.memory_mib = wanted.memory_mib.value_or(0);
  // A size that is told is told whole: what was left out is the machine's.
  if (s.cpus && !s.memory_mib)
    s.memory_mib = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) >>
                   20;
  if (s.memory_mib && !s.cpus)
    s.cpus = static_cast<std::uint32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  s.store = wanted.store.value_or(Store::kSqlite);
  auto port = choose_port();
  if (!port.ok()) return port.error();
  s.port = *port;
  s.cluster_id = Uuid::random().hex();
  auto sockets = choose_socket_dir(layout);
  if (!sockets.ok()) return sockets.error();
  s.socket_dir = *sockets;
  if (auto made = env.make_dirs(layout.ctld_dir(), 0700); !made.ok()) return made.error();
  for (const auto& node : node_names(s))
    if (auto made = env.make_dirs(layout.agents_dir() + "/" + node, 0711); !made.ok()) return made.error();
  if (auto made = make_munge_key(layout); !made.ok()) return made.error();
  if (auto made = env.write_file_atomic(layout.conf(), make_config(layout, s, geteuid()), 0644); !made.ok())
    return made.error();
  // Last: with this file there is a cluster.
  if (auto saved = save_settings(layout, s); !saved.ok()) return saved.error();
  return s;
}

// Starts parts one after another, each when what it needs answers.
struct Starter {
  const Layout& layout;
  const Settings& settings;
  Interrupt& interrupt;
  Time began = Env::real().now();
  std::vector<Process> processes{};  // all that run, whoever started them
  std::vector<std::string> started{};

  // Whether it runs already.
  bool adopt(const std::string& name) {
    auto found = find_process(layout, name);
    if (!found) return false;
    processes.push_back(std::move(*found));
    return true;
  }

  Status start(const std::string& name, const std::vector<std::string>& argv, std::optional<RunAs> as = {}) {
    remove_pid_files(layout, name);
    auto process = start_process(layout, name, argv, as);
    if (!process.ok()) return process.error();
    processes.push_back(std::move(*process));
    started.push_back(name);
    return {};
  }

  Status await(const std::string& what, int pause_ms, const std::function<bool()>& done) {
    std::vector<const Process*> watched;
    for (const auto& process : processes) watched.push_back(&process);
    return wait_until(layout, watched, interrupt, kStartMs, pause_ms, what, done);
  }

  Status munged() {
    if (adopt("munged")) return {};
    auto command = munged_command(layout, settings);
    if (!command.ok()) return command.error();
    unlink(munge_socket(settings).c_str());
    if (auto done = start("munged", *command); !done.ok()) return done;
    return await("munged did not answer", 2, [this] { return munged_answers(settings); });
  }

  Status postgres() {
    if (settings.store != Store::kPostgresql || adopt("postgres")) return {};
    auto prepared = prepare_postgres(layout, settings, interrupt);
    if (!prepared.ok()) return prepared.error();
    if (auto done = start("postgres", prepared->command, prepared->as); !done.ok()) return done;
    const pid_t pid = processes.back().pid;
    return await("PostgreSQL did not get ready", 5, [this, pid] { return postgres_answers(layout, pid); });
  }

  Status ctld() {
    if (adopt("ctld")) return {};
    if (auto done = start("ctld", {program_path("bai-ctld"), "--conf", layout.conf()}); !done.ok())
      return done;
    return await("bai-ctld did not answer", 5, [this] { return ping(settings, milliseconds(50)).ok(); });
  }

  Status agents() {
    for (const auto& node : node_names(settings)) {
      if (adopt(node)) continue;
      std::vector<std::string> argv = {program_path("bai-agentd"), "-N", node, "--conf", layout.conf()};
      if (settings.cpus) argv.insert(argv.end(), {"--cpus", std::to_string(settings.cpus)});
      if (settings.memory_mib) argv.insert(argv.end(), {"--memory", std::to_string(settings.memory_mib)});
      if (auto done = start(node, argv); !done.ok()) return done;
    }
    return await("not all nodes got ready", 5, [this] {
      const auto pong = ping(settings, kAnswer);
      return pong.ok() && pong->nodes_ready >= settings.nodes && fresh_agents_registered();
    });
  }

  // For a moment the controller may take a new agent for the one that it had there before.
  bool fresh_agents_registered() const {
    const auto known = nodes(settings, kAnswer);
    return known.ok() && std::all_of(known->begin(), known->end(), [this](const Node& node) {
             const bool ours = std::find(started.begin(), started.end(), node.name.view()) != started.end();
             return !ours || node.agent_started >= began;
           });
  }

  // A process that ran when we looked may have been about to end: then it is started, too.
  Status all() {
    for (int tries = 0;; ++tries) {
      auto done = once();
      const bool stale = std::any_of(processes.begin(), processes.end(), [this](const Process& process) {
        return std::find(started.begin(), started.end(), process.name) == started.end() &&
               wait_for_end(process, 0);
      });
      if (!stale || tries == 2) return done;
      processes.clear();
    }
  }

  Status once() {
    if (auto done = munged(); !done.ok()) return done;
    if (auto done = postgres(); !done.ok()) return done;
    if (auto done = ctld(); !done.ok()) return done;
    return agents();
  }
};

// Jobs are asked to end while there is still somebody to ask, so that those that catch SIGTERM can tidy up
// and a kept store says how they ended.
void end_jobs(const Layout& layout, const Settings& settings) {
  if (!find_process(layout, "ctld") || !find_process(layout, "munged")) return;
  if (!cancel_all(settings, kAnswer).ok()) return;
  const auto until = Clock::now() + std::chrono::seconds(8);  // KillWait is 5 s here
  while (Clock::now() < until) {
    const auto left = unfinished_jobs(settings, kAnswer);
    if (!left.ok() || *left == 0) return;
    // A node that is away keeps its jobs unfinished; so does one without its agent.
    for (const auto& node : node_names(settings))
      if (!find_process(layout, node)) return;
    usleep(10'000);
  }
}

Status end_processes(const Layout& layout, const Settings& settings) {
  Status result;
  auto names = process_names(settings);
  std::reverse(names.begin(), names.end());
  // The agents end together: each gets its signal before any is waited for.
  for (const auto& node : node_names(settings))
    if (auto process = find_process(layout, node)) kill(process->pid, SIGTERM);
  for (const auto& name : names) {
    auto process = find_process(layout, name);
    if (!process) {
      remove_pid_files(layout, name);
      continue;
    }
    // PostgreSQL's SIGINT: end connections, write everything, go.
    auto stopped = stop_process(layout, std::move(*process), name == "postgres" ? SIGINT : SIGTERM, 10'000);
    if (!stopped.ok()) result = stopped;
  }
  if (auto ended = end_step_remains(layout); !ended.ok()) result = ended;
  return result;
}

Status remove_files(const Layout& layout, const Settings& settings) {
  const Env env = Env::real();
  Status result;
  // The settings go last, so that a `down` that was cut off can be repeated. Other people's files in the
  // directory stay.
  std::vector<std::string> paths = {layout.agents_dir(), layout.ctld_dir(), layout.munge_dir(),
                                    layout.postgres_dir(), layout.log_dir()};
  if (!settings.socket_dir.empty()) paths.push_back(settings.socket_dir);
  for (const auto& path : {layout.run_dir(), layout.conf(), layout.settings(), layout.lock()})
    paths.push_back(path);
  for (const auto& path : paths)
    if (auto removed = env.remove_tree(path); !removed.ok()) result = removed;
  // With the default directory, ~/.local/state/bai was made for it alone.
  if (rmdir(layout.dir.c_str()) == 0 && layout.dir.ends_with("/bai/cluster"))
    rmdir(parent_dir(layout.dir).c_str());
  return result;
}

Status down_locked(const Layout& layout, const Settings& settings, bool keep) {
  end_jobs(layout, settings);
  if (auto ended = end_processes(layout, settings); !ended.ok()) return ended;
  if (keep || settings.keep) {
    if (settings.socket_dir != layout.run_dir()) return {};
    unlink(munge_socket(settings).c_str());
    return {};
  }
  return remove_files(layout, settings);
}

}  // namespace

Result<Up> bring_up(const Layout& layout, const Wanted& wanted, Interrupt& interrupt) {
  const auto began = Clock::now();
  const Env env = Env::real();
  const bool existed = access(layout.dir.c_str(), F_OK) == 0;
  for (const auto& dir : {layout.dir, layout.run_dir(), layout.log_dir()})
    if (auto made = env.make_dirs(dir, dir_mode()); !made.ok()) return made.error();
  if (!existed) chmod(layout.dir.c_str(), dir_mode());
  auto locked = lock(layout);
  if (!locked.ok()) return locked.error();

  const bool fresh = !has_cluster(layout);
  auto settings = fresh ? create(layout, wanted) : load_settings(layout);
  if (!settings.ok()) {
    if (fresh) (void)remove_files(layout, Settings{});
    return settings.error();
  }
  if (!fresh)
    if (auto same = check_same(layout, *settings, wanted); !same.ok()) return same.error();
  if (wanted.keep && !settings->keep) {
    settings->keep = true;
    if (auto saved = save_settings(layout, *settings); !saved.ok()) return saved.error();
  }
  // A runtime directory does not outlive a reboot.
  if (auto made = env.make_dirs(settings->socket_dir, dir_mode()); !made.ok()) return made.error();

  Starter starter{layout, *settings, interrupt};
  if (auto done = starter.all(); !done.ok()) {
    if (fresh) (void)down_locked(layout, *settings, false);
    return done.error();
  }
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began).count();
  return Up{*settings, std::move(starter.started), took};
}

bool ClusterState::whole() const {
  return answers && nodes_ready >= settings.nodes &&
         std::all_of(processes.begin(), processes.end(), [](const ProcessState& p) { return p.pid != 0; });
}

Result<ClusterState> look(const Layout& layout) {
  auto settings = load_settings(layout);
  if (!settings.ok()) return settings.error();
  ClusterState out{*settings, {}, false, 0};
  for (const auto& name : process_names(*settings)) {
    const auto process = find_process(layout, name);
    out.processes.push_back({name, process ? process->pid : 0});
  }
  if (find_process(layout, "ctld")) {
    const auto pong = ping(*settings, milliseconds(900));
    out.answers = pong.ok();
    if (pong.ok()) out.nodes_ready = pong->nodes_ready;
  }
  return out;
}

Status take_down(const Layout& layout, bool keep) {
  auto settings = load_settings(layout);
  if (!settings.ok()) return settings.error();
  auto locked = lock(layout);
  if (!locked.ok()) return locked.error();
  // Another `down` may have been faster.
  settings = load_settings(layout);
  if (!settings.ok()) return settings.error();
  return down_locked(layout, *settings, keep);
}

}  // namespace bai::cluster
