#include "pg_server.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "store/pg_session.h"

namespace bai::store {

namespace {

const std::string kBin = "/usr/lib/postgresql/15/bin/";

// Starts a program with its output in LOG, as that user if root calls; it dies with the caller.
pid_t spawn(std::vector<std::string> words, const std::string& log, uid_t uid, gid_t gid) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) return pid;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  const int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(in, 0), dup2(out, 1), dup2(out, 2);
  if (getuid() == 0 &&
      (setgroups(0, nullptr) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0))
    _exit(126);
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (getppid() != parent || chdir("/") != 0) _exit(126);
  execv(argv[0], argv.data());
  _exit(127);
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Result<PgServer*> PgServer::shared() {
  static auto server = make();
  if (!server) return server.error();
  return server.value().get();
}

Result<std::unique_ptr<PgServer>> PgServer::make() {
  if (access((kBin + "postgres").c_str(), X_OK) != 0)
    return Error{"no_postgresql", "there is no PostgreSQL in " + kBin};
  auto server = std::make_unique<PgServer>();
  server->uid_ = getuid();
  server->gid_ = getgid();
  if (getuid() == 0) {
    const passwd* user = getpwnam("postgres");
    if (user == nullptr) return Error{"no_postgresql", "there is no user postgres"};
    server->uid_ = user->pw_uid;
    server->gid_ = user->pw_gid;
    if (chown(server->dir_.path().c_str(), server->uid_, server->gid_) != 0)
      return Error{"no_postgresql", "the temporary directory cannot be given away"};
  }
  const std::string data = server->dir_.path() + "/data", log = server->dir_.path() + "/log";
  const pid_t pid = spawn(
      {kBin + "initdb", "-D", data, "-U", "bai", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"}, log,
      server->uid_, server->gid_);
  if (wait_for(pid) != 0)
    return Error{"no_postgresql", "initdb failed (is the temporary directory reachable?)"};
  if (auto started = server->start(); !started) return started.error();
  return server;
}

Status PgServer::start() {
  const std::string& dir = dir_.path();
  pid_ = spawn({kBin + "postgres", "-D", dir + "/data", "-k", dir, "-c", "listen_addresses=", "-c",
                "max_connections=30", "-c", "shared_buffers=32MB"},
               dir + "/log", uid_, gid_);
  for (int i = 0; i < 300; ++i) {  // ready when it answers
    if (Session::connect(conninfo("postgres"), "test")) return {};
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) break;
    poll(nullptr, 0, 50);
  }
  return Error{"no_postgresql", "the server did not start"};
}

void PgServer::stop() {
  if (pid_ <= 0) return;
  kill(pid_, SIGQUIT);
  wait_for(pid_);
  pid_ = -1;
}

Result<std::string> PgServer::new_database() {
  const std::string name = "test" + std::to_string(++databases_);
  auto session = Session::connect(conninfo("postgres"), "test");
  if (!session) return session.error();
  if (auto made = session->exec("CREATE DATABASE " + name); !made) return made.error();
  return conninfo(name);
}

std::string PgServer::conninfo(const std::string& database, const std::string& socket_dir) const {
  return "host=" + (socket_dir.empty() ? dir_.path() : socket_dir) + " user=bai dbname=" + database;
}

}  // namespace bai::store
