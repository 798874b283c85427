// Where everything of a private cluster lies, and what it was made of: one directory, named by its user.
//   bai.conf  settings  lock  run/NAME.pid  log/NAME.log  ctld/  agents/NODE/  munge/  postgres/
// Plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace bai::cluster {

enum class Store : std::uint8_t { kSqlite, kPostgresql };

// What is decided once, when the cluster is made, and kept in DIR/settings.
struct Settings {
  std::uint32_t nodes = 3;
  bool emulated = false;         // they are all one process's, and run nothing
  std::uint32_t cpus = 0;        // of each node; 0: what the machine has
  std::uint64_t memory_mib = 0;  // of each node; 0: what the machine has
  Store store = Store::kSqlite;
  bool keep = false;       // `down` leaves the files
  std::uint16_t port = 0;  // bai-ctld's
  std::string cluster_id;  // of a new cluster; afterwards bai.conf knows it
  std::string socket_dir;  // sockets: their paths have at most 107 bytes
  std::string made;        // the topmost directory that was made for it; goes with it
};

struct Layout {
  std::string dir;  // absolute

  std::string conf() const { return dir + "/bai.conf"; }
  std::string settings() const { return dir + "/settings"; }
  std::string lock() const { return dir + "/lock"; }
  std::string run_dir() const { return dir + "/run"; }
  std::string log_dir() const { return dir + "/log"; }
  std::string log(const std::string& name) const { return log_dir() + "/" + name + ".log"; }
  std::string ctld_dir() const { return dir + "/ctld"; }
  std::string agents_dir() const { return dir + "/agents"; }
  std::string munge_dir() const { return dir + "/munge"; }
  std::string postgres_dir() const { return dir + "/postgres"; }
  std::string postgres_data() const { return postgres_dir() + "/data"; }
};

// Where its nodes keep the files of running steps: in memory, if this is root's (other users' files there go when they log out).
// Below it one directory for each. Empty: on disk.
std::string runtime_dir(const Layout& layout);
// Sockets of a cluster.
std::string munge_socket(const Settings& settings);
std::string postgres_socket_dir(const Settings& settings);

// "n1", "n2"...; emulated ones have as many digits as the last: "n0001".
std::string node_list(const Settings& settings);
std::vector<std::string> node_names(const Settings& settings);
// Its bai-agentds: one for each node, named like it, or "emulator".
std::vector<std::string> agent_names(const Settings& settings);
// The names of all its processes, in the order in which they start.
std::vector<std::string> process_names(const Settings& settings);

// $XDG_STATE_HOME/bai/cluster, or ~/.local/state/bai/cluster. Errors: no_home.
Result<std::string> default_dir();
// Absolute, without a trailing slash; relative to the working directory. Errors: bad_option.
Result<std::string> absolute_dir(const std::string& path);

// Errors: no_cluster when there is none in the directory, bad_settings.
Result<Settings> load_settings(const Layout& layout);
Status save_settings(const Layout& layout, const Settings& settings);
bool has_cluster(const Layout& layout);

// Finds a free TCP port on loopback, outside the range from which the kernel takes ports for outgoing
// connections, so that it stays free while the cluster is down. Errors: no_port.
Result<std::uint16_t> choose_port();
// DIR/run, or where that path is too long for sockets a fresh directory below $XDG_RUNTIME_DIR or /tmp.
Result<std::string> choose_socket_dir(const Layout& layout);

}  // namespace bai::cluster
