#include "cluster/cluster.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/crash_point.h"
#include "base/env.h"
#include "cluster/config_writer.h"
#include "cluster/controller.h"
#include "cluster/directory.h"
#include "cluster/munged.h"
#include "cluster/process.h"
#include "cluster/starter.h"
#include "model/ids.h"

namespace bai::cluster {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kAnswer{2000};

Error different(const Layout& layout, const std::string& what) {
  return Error{"different", "the cluster in " + layout.dir + " has " + what, "",
               "leave the option out, or begin anew: bai-cluster down --dir " + layout.dir};
}

Status check_same(const Layout& layout, const Settings& is, const Wanted& wanted) {
  if (wanted.nodes && (*wanted.nodes != is.nodes || wanted.emulate != is.emulated))
    return different(layout, std::to_string(is.nodes) + (is.emulated ? " emulated nodes" : " nodes"));
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

// A new cluster's settings and files. What is made is in `s` also when it fails.
Status create(const Layout& layout, const Wanted& wanted, Settings& s) {
  const Env env = Env::real();
  s.nodes = wanted.nodes.value_or(s.nodes);
  s.emulated = wanted.emulate;
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
  s.keep = wanted.keep;
  auto port = choose_port();
  if (!port.ok()) return port.error();
  s.port = *port;
  s.cluster_id = Uuid::random().hex();
  auto sockets = choose_socket_dir(layout);
  if (!sockets.ok()) return sockets.error();
  s.socket_dir = *sockets;
  for (const auto& dir : {layout.run_dir(), layout.log_dir(), s.socket_dir})
    if (auto made = env.make_dirs(dir, dir_mode()); !made.ok()) return made;
  if (auto made = env.make_dirs(layout.ctld_dir(), 0700); !made.ok()) return made;
  if (!s.emulated)
    for (const auto& node : node_names(s))
      if (auto made = env.make_dirs(layout.agents_dir() + "/" + node, 0711); !made.ok()) return made;
  if (auto made = make_munge_key(layout); !made.ok()) return made;
  if (auto made = env.write_file_atomic(layout.conf(), make_config(layout, s, geteuid()), 0644); !made.ok())
    return made;
  // Last: with this file there is a cluster.
  return save_settings(layout, s);
}

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
    for (const auto& agent : agent_names(settings))
      if (!find_process(layout, agent)) return;
    usleep(10'000);
  }
}

Status down_locked(const Layout& layout, const Settings& settings, bool keep) {
  crash_point("cluster.going_down");
  end_jobs(layout, settings);
  if (auto ended = end_processes(layout, settings); !ended.ok()) return ended;
  crash_point("cluster.processes_ended");
  if (!keep) return remove_files(layout, settings);
  if (settings.socket_dir == layout.run_dir()) unlink(munge_socket(settings).c_str());
  return {};
}

// The settings of the cluster that is there, once it was found to be what is wanted.
Result<Settings> load_same(const Layout& layout, const Wanted& wanted) {
  auto settings = load_settings(layout);
  if (!settings.ok()) return settings;
  if (auto same = check_same(layout, *settings, wanted); !same.ok()) return same.error();
  if (wanted.keep && !settings->keep) {
    settings->keep = true;
    if (auto saved = save_settings(layout, *settings); !saved.ok()) return saved.error();
  }
  return settings;
}

}  // namespace

Result<Up> bring_up(const Layout& layout, const Wanted& wanted, Interrupt& interrupt) {
  const auto began = Clock::now();
  auto claim = claim_directory(layout, interrupt);
  if (!claim.ok()) return claim.error();
  crash_point("cluster.directory_made");

  const bool fresh = !has_cluster(layout);
  Settings settings;
  settings.made = claim->made;
  if (fresh) {
    if (auto made = create(layout, wanted, settings); !made.ok()) {
      (void)remove_files(layout, settings);
      return made.error();
    }
  } else {
    auto is = load_same(layout, wanted);
    if (!is.ok()) return is.error();
    settings = *is;
  }
  crash_point("cluster.settings_written");

  // A runtime directory does not outlive a reboot.
  if (auto made = Env::real().make_dirs(settings.socket_dir, dir_mode()); !made.ok()) return made.error();
  Starter starter(layout, settings, interrupt);
  auto done = starter.start_all();
  crash_point("cluster.ready");
  if (done.ok() && interrupt.came()) done = interrupted();
  if (!done.ok()) {
    if (fresh)
      (void)down_locked(layout, settings, false);
    else
      starter.undo();
    return done.error();
  }
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began).count();
  return Up{settings, starter.started(), took};
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

Status take_down(const Layout& layout, bool keep, Interrupt* interrupt) {
  auto lock = lock_directory(layout, interrupt);
  if (!lock.ok()) return lock.error();
  auto settings = load_settings(layout);
  // Its maker was killed before there was one: nothing was started yet.
  if (!settings.ok() && settings.error().code == "no_cluster" && is_claimed(layout))
    return remove_files(layout, Settings{});
  if (!settings.ok()) return settings.error();
  return down_locked(layout, *settings, keep || settings->keep);
}

}  // namespace bai::cluster
