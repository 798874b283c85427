// HookRunner: runs PrologCtld and EpilogCtld beside the controller, as its user, on a thread of its own, several jobs' at once. Programs of one
// job run one after the other until one fails. They end with the controller; which of them are to be run again is the machine's to know.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/program.h"
#include "controller/channel.h"
#include "controller/io.h"

namespace bai::controller {

class HookRunner {
 public:
  static constexpr std::size_t kAtOnce = 64;  // others wait for their turn

  // `done` is called on the thread.
  static Result<std::unique_ptr<HookRunner>> start(std::function<void(HookDone)> done);
  ~HookRunner();
  HookRunner(const HookRunner&) = delete;
  HookRunner& operator=(const HookRunner&) = delete;

  // One that runs or waits already is not begun again. Any thread.
  void run(HookOut what);
  // Waits for the end of a child that nobody else waits for. Any thread.
  void adopt(pid_t child);
  // Kills what runs, but not those.
  void stop();

 private:
  struct Task {
    HookOut what;
    std::size_t next = 0;
    std::unique_ptr<Program> program;  // null: not begun
    std::int64_t until_ms = 0;         // 0: any time
    bool killed = false;
  };

  HookRunner(std::function<void(HookDone)> done, Wakeup wakeup)
      : done_(std::move(done)), wakeup_(std::move(wakeup)) {}
  struct Child {
    pid_t pid;
    Fd ended;
  };
  void loop();
  void take();
  bool look(Task& task, std::int64_t now_ms);  // false once it is over
  void finish(const Task& task, std::string failure);

  std::function<void(HookDone)> done_;
  Wakeup wakeup_;
  Channel<HookOut> incoming_;
  Channel<pid_t> adopted_;
  std::list<Task> tasks_;
  std::list<Child> children_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace bai::controller
