// A descriptor that is written without ever waiting for it: what it does not take at once is kept, and its owner stops producing until it
// was taken. One thread.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"

namespace bai::cli {

class Sink {
 public:
  // A file that was opened for us.
  explicit Sink(Fd fd);
  // A descriptor that belongs to others as well (standard output): it is not made non-blocking for them.
  static Sink shared(int fd);

  void write(std::string_view bytes);
  // Still has bytes that were not taken.
  bool blocked() const { return !kept_.empty(); }
  // Nobody reads it any more, or the disk is full: bytes are dropped from now on. errno's value.
  int broken() const { return broken_; }
  int fd() const { return fd_.get(); }
  // It may take more.
  void go_on();
  // Writes what is kept, however long it takes.
  void finish();

 private:
  std::size_t put(std::string_view bytes);
  Fd fd_;
  bool socket_ = false;
  int broken_ = 0;
  std::string kept_;
  std::size_t kept_at_ = 0;
};

}  // namespace bai::cli
