#include "cluster/layout.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/env.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"

namespace bai::cluster {
namespace {

constexpr std::size_t kLongestSocketDir = 80;  // leaves room for "/postgres/.s.PGSQL.5432"

std::string from_environment(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

bool port_is_free(std::uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         listen(fd.get(), 1) == 0;
}

}  // namespace

std::string runtime_dir(const Layout& layout) {
  if (geteuid() != 0) return "";
  return "/dev/shm/bai-" + hash256(layout.dir).hex().substr(0, 12);
}

std::string munge_socket(const Settings& settings) { return settings.socket_dir + "/munge.socket"; }
std::string postgres_socket_dir(const Settings& settings) { return settings.socket_dir + "/postgres"; }

std::string node_list(const Settings& settings) {
  if (settings.emulated) return numbered_hosts("n", settings.nodes);
  return settings.nodes == 1 ? "n1" : "n[1-" + std::to_string(settings.nodes) + "]";
}

std::vector<std::string> node_names(const Settings& settings) {
  auto names = expand_hostlist(node_list(settings));
  return names.ok() ? *names : std::vector<std::string>();
}

std::vector<std::string> agent_names(const Settings& settings) {
  return settings.emulated ? std::vector<std::string>{"emulator"} : node_names(settings);
}

std::vector<std::string> process_names(const Settings& settings) {
  std::vector<std::string> names = {"munged"};
  if (settings.store == Store::kPostgresql) names.push_back("postgres");
  names.push_back("ctld");
  for (auto& agent : agent_names(settings)) names.push_back(std::move(agent));
  return names;
}

Result<std::string> default_dir() {
  if (const auto state = from_environment("XDG_STATE_HOME"); state.starts_with("/"))
    return state + "/bai/cluster";
  if (const auto home = from_environment("HOME"); home.starts_with("/"))
    return home + "/.local/state/bai/cluster";
  return Error{"no_home", "HOME is not set, so there is no default directory", "", "name one with --dir"};
}

Result<std::string> absolute_dir(const std::string& path) {
  std::string out = path;
  if (out.empty() || has_control(out))
    return Error{"bad_option", quote(path) + " is no directory's name", "--dir", ""};
  if (out[0] != '/') {
    char cwd[4096];
    if (!getcwd(cwd, sizeof cwd)) return errno_error("cannot tell the working directory", ".", errno);
    out = std::string(cwd) + "/" + out;
  }
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  // bai.conf's grammar ends a value at a blank and a comment at '#'.
  if (out.size() > 512 || out.find_first_of(" \t\"'#%,\\") != out.npos)
    return Error{"bad_option", quote(out) + " holds blanks, quotes, '#', '%' or ',', or is too long", "--dir",
                 "use a plain path"};
  return out;
}

bool has_cluster(const Layout& layout) { return access(layout.settings().c_str(), F_OK) == 0; }

Result<Settings> load_settings(const Layout& layout) {
  auto text = read_all(layout.settings(), 65536);
  if (!text.ok()) {
    if (text.error().code == "not_found")
      return Error{"no_cluster", "there is no cluster in " + layout.dir, "",
                   "bai-cluster up makes one; --dir names another directory"};
    return text.error();
  }
  Settings out;
  auto number = [&](std::string_view value, std::int64_t max) -> std::int64_t {
    auto parsed = parse_int(value, 0, max);
    return parsed.ok() ? *parsed : 0;
  };
  for (auto line : split_list(*text, '\n')) {
    const auto pair = parse_key_value(line);
    if (!pair) continue;
    const auto [key, value] = *pair;
    if (key == "nodes") out.nodes = static_cast<std::uint32_t>(number(value, 65536));
    if (key == "emulated") out.emulated = value == "yes";
    if (key == "cpus") out.cpus = static_cast<std::uint32_t>(number(value, 65533));
    if (key == "memory_mib") out.memory_mib = static_cast<std::uint64_t>(number(value, INT64_MAX));
    if (key == "store") out.store = value == "postgresql" ? Store::kPostgresql : Store::kSqlite;
    if (key == "keep") out.keep = value == "yes";
    if (key == "port") out.port = static_cast<std::uint16_t>(number(value, 65535));
    if (key == "socket_dir") out.socket_dir = value;
    if (key == "made") out.made = value;
  }
  if (out.nodes == 0 || out.port == 0 || out.socket_dir.empty())
    return Error{"bad_settings", "this file is damaged", layout.settings(),
                 "remove " + layout.dir + " and begin anew"};
  return out;
}

Status save_settings(const Layout& layout, const Settings& s) {
  std::string text = "# written by bai-cluster\n";
  text += "nodes=" + std::to_string(s.nodes) + (s.emulated ? "\nemulated=yes" : "") +
          "\ncpus=" + std::to_string(s.cpus) + "\nmemory_mib=" + std::to_string(s.memory_mib);
  text += std::string("\nstore=") + (s.store == Store::kPostgresql ? "postgresql" : "sqlite");
  text += std::string("\nkeep=") + (s.keep ? "yes" : "no");
  text += "\nport=" + std::to_string(s.port) + "\nsocket_dir=" + s.socket_dir + "\nmade=" + s.made + "\n";
  return Env::real().write_file_atomic(layout.settings(), text, 0644);
}

Result<std::uint16_t> choose_port() {
  const Env env = Env::real();
  for (int i = 0; i < 200; ++i) {
    const auto port = static_cast<std::uint16_t>(20000 + env.random_u64() % 12000);
    if (port_is_free(port)) return port;
  }
  return Error{"no_port", "no TCP port from 20000 to 31999 is free on loopback", "",
               "is the loopback interface up?"};
}

Result<std::string> choose_socket_dir(const Layout& layout) {
  if (layout.run_dir().size() <= kLongestSocketDir) return layout.run_dir();
  std::string base = from_environment("XDG_RUNTIME_DIR");
  if (base.empty() || base.size() > 50 || access(base.c_str(), W_OK) != 0) base = "/tmp";
  base += "/bai-XXXXXX";
  if (!mkdtemp(base.data())) return errno_error("cannot make a directory for sockets", base, errno);
  // Other users' commands reach munged through it when root owns the cluster.
  if (geteuid() == 0) chmod(base.c_str(), 0755);
  return base;
}

}  // namespace bai::cluster
