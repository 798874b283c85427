// Admission: how much of what commands have asked for may wait in memory, from the worker that decoded it until its commit,
// of all callers together. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace bai::controller {

// Gives its bytes back when it goes. Copies count once.
using Admitted = std::shared_ptr<const void>;

class Admission {
 public:
  explicit Admission(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  // Null when there is no room: the caller is to try again. What is small (a cancel, a hold) has as much room again, so that
  // a flood of scripts does not keep it out; when nothing waits, anything is let in.
  Admitted enter(std::size_t bytes);
  std::size_t waiting_bytes() const { return *waiting_; }

 private:
  const std::size_t max_bytes_;
  const std::shared_ptr<std::atomic<std::size_t>> waiting_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace bai::controller
