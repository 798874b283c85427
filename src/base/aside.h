// Aside: one thread beside an event loop, for calls that may block for long (MUNGE, name services). Work goes in on the loop's thread, is
// done in order on the other one, and what it returns is run on the loop's thread again, by finish().
// Work must own what it uses: one that hangs when the Aside is destroyed is left to itself, and nothing comes of it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "base/result.h"

namespace bai {

class Aside {
 public:
  using Finish = std::function<void()>;
  using Work = std::function<Finish()>;

  static Result<std::unique_ptr<Aside>> start();
  ~Aside();
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;

  // All of these: the loop's thread.
  void run(Work work);
  int fd() const;               // readable (level triggered): call finish()
  void finish();                // runs what came back, in order
  std::size_t waiting() const;  // work that has not been finished

 private:
  struct Shared;
  explicit Aside(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::shared_ptr<Shared> shared_;
  std::size_t waiting_ = 0;
};

}  // namespace bai
