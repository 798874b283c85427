// A relay between libpq and a server's unix socket that cuts the connection around COMMIT. Its thread ends with it.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "base/fd.h"
#include "sample.h"

namespace bai::store {

class PgProxy {
 public:
  enum class Cut {
    none,
    before_commit,  // the server gets everything but the COMMIT
    at_commit,      // the server gets the COMMIT, nobody waits for what it does
    after_commit,   // the server committed and answered; the answer is dropped
  };

  explicit PgProxy(const std::string& server_socket_dir);
  ~PgProxy();

  // For the next COMMIT only.
  void arm(Cut cut) { cut_ = cut; }
  const std::string& socket_dir() const { return dir_.path(); }

 private:
  void serve();

  TempDir dir_;
  std::string server_path_;
  Fd listener_;
  Wakeup stop_;
  std::atomic<Cut> cut_ = Cut::none;
  std::thread thread_;
};

}  // namespace bai::store
