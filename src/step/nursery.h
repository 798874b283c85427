// The nursery: one bai-stepd that the agent starts and that forks a shepherd for each step. To start a program anew for each would
// cost several times what a fork of this small process does. A shepherd is the agent's child (clone(2), CLONE_PARENT), not the
// nursery's; it lives on when either dies. The nursery ends when the agent's end of its socket is closed.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace bai::step {

struct SpawnedShepherd {
  pid_t pid = 0;
  Fd pidfd;  // readable when it has ended
};

// The agent's end. One thread.
class Nursery {
 public:
  // `stepd`: the program. `longest_dir`: bytes of the longest DIR that will be asked for.
  Nursery(std::string stepd, std::size_t longest_dir) : stepd_(std::move(stepd)), longest_dir_(longest_dir) {}
  ~Nursery() { close(); }
  Nursery(const Nursery&) = delete;
  Nursery& operator=(const Nursery&) = delete;

  // Starts a shepherd for DIR (absolute; it holds `launch`): in a process group of its own, with default signals, its three streams on
  // /dev/null, and with no environment but BAI_STEP_MARK (by which find_step_remains finds it, and its child before the exec) and
  // BAI_CRASH_POINT. In process lists it is `bai-stepd DIR`. `mark`: 32 hex digits. It is the caller's child: reap it with
  // waitpid(pid) when pidfd becomes readable. Starts the nursery when it does not run. Errors: spawn_failed; then a shepherd may
  // have begun all the same: forbid_start() tells.
  Result<SpawnedShepherd> spawn(const std::string& dir, const std::string& mark);

 private:
  Status start();
  void close();
  Result<pid_t> ask(const std::string& dir, const std::string& mark) const;

  std::string stepd_;
  std::size_t longest_dir_;
  pid_t pid_ = 0;
  Fd socket_;
};

// The other end: the program's main(). `socket`: as the agent handed it over. `title`: the program's arguments after the first, `room` bytes, which are
// overwritten. Returns in the nursery, when the agent is gone; a shepherd exits by itself. Errors: io_error.
Status run_nursery(int socket, char* title, std::size_t room);

// What the agent starts the program with: the option, then blanks that make room for a shepherd's title. The socket is descriptor 3.
inline constexpr const char* kNurseryOption = "--nursery";
inline constexpr int kNurserySocket = 3;

}  // namespace bai::step
