// Ctrl-C and its like, as something to poll: from creation on SIGINT, SIGTERM, SIGHUP and SIGQUIT are blocked
// and come out of a descriptor, so that a cluster that is half up can be taken down. Those that were ignored (nohup, a
// script's background) stay ignored. One per process; the main thread's.
#pragma once

#include <signal.h>

#include "base/fd.h"
#include "base/result.h"

namespace bai::cluster {

class Interrupt {
 public:
  static Result<Interrupt> create();

  // Readable when a signal has come.
  int fd() const { return fd_.get(); }
  // Takes the next signal; 0 when none has come.
  int take();
  // The first that was taken; 0: none.
  int first() const { return first_; }
  // Whether one has come, now or ever.
  bool came() { return take() != 0 || first_ != 0; }
  // Gives a child its signals back: to be called between fork and exec.
  static void restore_in_child();
  // Whether the last one taken was sent by kill(2) rather than typed at the terminal.
  bool by_process() const { return by_process_; }

 private:
  explicit Interrupt(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  int first_ = 0;
  bool by_process_ = false;
};

// What a wait says that was ended by it.
inline Error interrupted() { return Error{"interrupted", "interrupted", "", ""}; }

}  // namespace bai::cluster
