#include "cluster/postgres.h"

#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/env.h"
#include "base/text.h"
#include "base/units.h"
#include "step/process.h"

namespace bai::cluster {
namespace {

// The directory that holds initdb and postgres: Debian keeps them out of PATH, one directory for each
// version.
std::optional<std::string> find_server() {
  const Env env = Env::real();
  const std::string base = "/usr/lib/postgresql";
  std::string best;
  std::int64_t best_version = 0;
  if (auto names = env.list_dir(base); names.ok()) {
    for (const auto& name : *names) {
      const auto version = parse_int(name, 1, 10000);
      if (!version.ok() || *version <= best_version) continue;
      if (access((base + "/" + name + "/bin/initdb").c_str(), X_OK) != 0) continue;
      best_version = *version;
      best = base + "/" + name + "/bin";
    }
  }
  if (!best.empty()) return best;
  const auto initdb = find_program("initdb");
  if (!initdb || !find_program("postgres")) return {};
  return parent_dir(*initdb);
}

// Static programs have no name service: the file is read.
std::optional<RunAs> ordinary_user() {
  const auto passwd = read_all("/etc/passwd", 16u << 20);
  if (!passwd.ok()) return {};
  for (std::string_view wanted : {"postgres", "nobody"}) {
    for (auto line : split(*passwd, '\n')) {
      const auto fields = split(line, ':');
      if (fields.size() < 4 || fields[0] != wanted) continue;
      const auto uid = parse_int(fields[2], 1, UINT32_MAX - 1);
      const auto gid = parse_int(fields[3], 1, UINT32_MAX - 1);
      if (uid.ok() && gid.ok()) return RunAs{static_cast<uid_t>(*uid), static_cast<gid_t>(*gid)};
    }
  }
  return {};
}

// Everybody must be able to pass through what is above the data.
Status check_passage(const std::string& dir) {
  for (std::string at = dir; at != "/"; at = parent_dir(at)) {
    struct stat info;
    if (stat(at.c_str(), &info) != 0) return errno_error("cannot look at", at, errno);
    if ((info.st_mode & S_IXOTH) == 0)
      return Error{"postgres_directory",
                   "PostgreSQL does not run as root, and its user cannot pass through this directory", at,
                   "choose another place with --dir, such as one below /var/tmp"};
  }
  return {};
}

Status make_own_dir(const std::string& path, const std::optional<RunAs>& as) {
  if (auto made = Env::real().make_dirs(path, 0700); !made.ok()) return made;
  if (as && chown(path.c_str(), as->uid, as->gid) != 0) return errno_error("cannot give away", path, errno);
  return {};
}

// What a server that was killed has left: its backends end by themselves when they notice. Its lock files go
// when they are gone, because the server cannot tell a zombie (a container's init may leave it one for ever)
// from a living process.
Status clear_remains(const std::string& data, const std::string& sockets) {
  for (pid_t pid : step::all_processes()) {
    char cwd[PATH_MAX];
    const ssize_t n = readlink(("/proc/" + std::to_string(pid) + "/cwd").c_str(), cwd, sizeof cwd);
    if (n <= 0 || std::string_view(cwd, static_cast<std::size_t>(n)) != data) continue;
    const Process left{"postgres", pid, Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)))};
    if (!left.pidfd || wait_for_end(left, 5'000)) continue;
    return Error{"postgres_remains",
                 "process " + std::to_string(pid) + " of an earlier PostgreSQL does not end", data,
                 "kill " + std::to_string(pid)};
  }
  for (const auto& file : {data + "/postmaster.pid", sockets + "/.s.PGSQL.5432.lock"}) unlink(file.c_str());
  return {};
}

}  // namespace

Result<Postgres> prepare_postgres(const Layout& layout, const Settings& settings, Interrupt& interrupt) {
  const auto bin = find_server();
  if (!bin)
    return Error{"postgres_missing", "PostgreSQL's server is not installed", "",
                 "apt-get install postgresql (no service needs to be started), or --store sqlite"};
  Postgres out;
  if (geteuid() == 0) {
    out.as = ordinary_user();
    if (!out.as)
      return Error{
          "postgres_missing",
          "PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it as", "",
          "--store sqlite does without"};
    if (auto passage = check_passage(layout.dir); !passage.ok()) return passage.error();
  }
  for (const auto& dir : {layout.postgres_dir(), postgres_socket_dir(settings)})
    if (auto made = make_own_dir(dir, out.as); !made.ok()) return made.error();
  end_initdb(layout);
  if (access((layout.postgres_data() + "/PG_VERSION").c_str(), F_OK) != 0) {
    // Half of one, from a start that was cut off, is of no use.
    if (auto removed = Env::real().remove_tree(layout.postgres_data()); !removed.ok()) return removed.error();
    auto made =
        run_process(layout, "initdb",
                    {*bin + "/initdb", "--pgdata=" + layout.postgres_data(), "--username=bai", "--auth=trust",
                     "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"},
                    out.as, interrupt);
    if (!made.ok()) return made.error();
  }
  if (auto cleared = clear_remains(layout.postgres_data(), postgres_socket_dir(settings)); !cleared.ok())
    return cleared.error();
  // The directory of the socket lets nobody else in, so trust is what its permissions say.
  out.command = {
      *bin + "/postgres", "-D", layout.postgres_data(), "-k", postgres_socket_dir(settings), "-h", ""};
  for (const char* setting : {"unix_socket_permissions=0700", "max_connections=20", "shared_buffers=32MB",
                              "wal_level=minimal", "max_wal_senders=0", "jit=off", "logging_collector=off"}) {
    out.command.emplace_back("-c");
    out.command.emplace_back(setting);
  }
  return out;
}

void end_initdb(const Layout& layout) {
  auto initdb = find_process(layout, "initdb");
  if (!initdb) return;
  const pid_t pid = initdb->pid;
  (void)stop_process(layout, std::move(*initdb), SIGTERM, 5'000);
  end_session(pid);
}

bool postgres_answers(const Layout& layout, pid_t pid) {
  const auto text = read_all(layout.postgres_data() + "/postmaster.pid", 4096);
  if (!text.ok()) return false;
  // pid, directory, start, port, socket's directory, address, shared memory, state
  const auto lines = split(*text, '\n');
  return lines.size() >= 8 && trim(lines[0]) == std::to_string(pid) && trim(lines[7]) == "ready";
}

}  // namespace bai::cluster
