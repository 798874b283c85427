// A private PostgreSQL server for tests: initdb into a temporary directory, a unix socket there, no TCP, an unprivileged
// user also when root calls. It ends with the process.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "sample.h"

namespace bai::store {

class PgServer {
 public:
  // The one of this process, started at its first use; the error says why there is none.
  static Result<PgServer*> shared();
  // One of its own, to be stopped and started.
  static Result<std::unique_ptr<PgServer>> make();
  ~PgServer() { stop(); }

  Status start();
  // Ends at once, as after a crash.
  void stop();
  pid_t pid() const { return pid_; }
  // A new, empty database's connection string.
  Result<std::string> new_database();
  // For an existing one, through another directory's socket if given.
  std::string conninfo(const std::string& database, const std::string& socket_dir = {}) const;
  const std::string& socket_dir() const { return dir_.path(); }

 private:
  TempDir dir_;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  pid_t pid_ = -1;
  int databases_ = 0;
};

}  // namespace bai::store
