// Program: a program of the site's that a daemon runs beside itself, in a session of its own: the end of what it prints is kept, and it can be
// killed with everything in its process group. Not where SIGCHLD is ignored. One thread, the one that started it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace bai {

class Program {
 public:
  static constexpr std::size_t kMostOutput = 1024;  // bytes that are kept

  // `env`: "K=V" each, all of it. `with_us`: the kernel kills it when the calling thread ends. Errors: those of execve(2).
  static Result<std::unique_ptr<Program>> start(const std::string& path, const std::vector<std::string>& env,
                                                bool with_us = false);
  ~Program();  // kills it
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  int ended_fd() const { return ended_.get(); }    // readable: wait_status() has something to say
  int output_fd() const { return output_.get(); }  // readable: so has read(); -1: no longer
  // Drained, so that one which says much does not wait for a reader.
  void read();
  // How it ended, as of waitpid(2), once it has.
  std::optional<int> wait_status();
  void kill();
  // Without blanks at the ends.
  std::string said() const;

 private:
  Program() = default;
  pid_t pid_ = 0;  // 0 once it was reaped
  Fd output_, ended_;
  std::string said_;
};

// "exit status 3", "signal 9".
std::string ending_text(int wait_status);

}  // namespace bai
