// Channel: a queue between threads: many put, one takes everything there is. Any thread may put; one takes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace bai::controller {

template <class T>
class Channel {
 public:
  void put(T item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
  }

  // All that is there, in order; waits at most until `deadline` (for ever without one) for the first. Empty on timeout, and
  // when closed and drained.
  std::vector<T> take(std::optional<std::chrono::steady_clock::time_point> deadline) {
    std::unique_lock lock(mutex_);
    auto there = [this] { return !items_.empty() || closed_; };
    if (deadline)
      ready_.wait_until(lock, *deadline, there);
    else
      ready_.wait(lock, there);
    return std::exchange(items_, {});
  }

  // Nothing more comes in; what is there can still be taken.
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<T> items_;
  bool closed_ = false;
};

}  // namespace bai::controller
