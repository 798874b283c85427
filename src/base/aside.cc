#include "base/aside.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace bai {

struct Aside::Shared {
  explicit Shared(Wakeup w) : wakeup(std::move(w)) {}
  Wakeup wakeup;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Work> todo;
  std::vector<Finish> done;
  bool over = false;

  void loop() {
    for (;;) {
      Work work;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return over || !todo.empty(); });
        if (over) return;
        work = std::move(todo.front());
        todo.pop_front();
      }
      Finish finish = work();
      work = nullptr;
      const std::lock_guard lock(mutex);
      if (over) return;
      done.push_back(std::move(finish));
      wakeup.notify();
    }
  }
};

Result<std::unique_ptr<Aside>> Aside::start() {
  auto wakeup = Wakeup::create();
  if (!wakeup) return wakeup.error();
  auto shared = std::make_shared<Shared>(std::move(*wakeup));
  try {
    std::thread([shared] { shared->loop(); }).detach();
  } catch (const std::system_error& e) {
    return errno_error("cannot start a thread", "", e.code().value());
  }
  return std::unique_ptr<Aside>(new Aside(std::move(shared)));
}

Aside::~Aside() {
  const std::lock_guard lock(shared_->mutex);
  shared_->over = true;
  shared_->todo.clear();
  shared_->done.clear();
  shared_->changed.notify_one();
}

void Aside::run(Work work) {
  ++waiting_;
  const std::lock_guard lock(shared_->mutex);
  shared_->todo.push_back(std::move(work));
  shared_->changed.notify_one();
}

int Aside::fd() const { return shared_->wakeup.fd(); }

std::size_t Aside::waiting() const { return waiting_; }

void Aside::finish() {
  std::vector<Finish> done;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->wakeup.consume();
    done.swap(shared_->done);
  }
  waiting_ -= done.size();
  for (auto& one : done)
    if (one) one();
}

}  // namespace bai
