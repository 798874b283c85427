#include "controller/hook_runner.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "base/text.h"
#include "base/thread_name.h"

namespace bai::controller {

namespace {

std::int64_t clock_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

bool same(const HookOut& a, const HookOut& b) {
  return a.hook == b.hook && a.job == b.job && a.attempt == b.attempt;
}

}  // namespace

Result<std::unique_ptr<HookRunner>> HookRunner::start(std::function<void(HookDone)> done) {
  auto wakeup = Wakeup::create();
  if (!wakeup.ok()) return wakeup.error();
  std::unique_ptr<HookRunner> runner(new HookRunner(std::move(done), std::move(*wakeup)));
  runner->thread_ = std::thread([self = runner.get()] { self->loop(); });
  return runner;
}

HookRunner::~HookRunner() { stop(); }

void HookRunner::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  wakeup_.notify();
  thread_.join();
}

void HookRunner::run(HookOut what) {
  incoming_.put(std::move(what));
  wakeup_.notify();
}

void HookRunner::adopt(pid_t child) {
  adopted_.put(child);
  wakeup_.notify();
}

void HookRunner::take() {
  for (const pid_t pid : adopted_.take(std::chrono::steady_clock::now()))
    children_.push_back({pid, Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)))});
  std::erase_if(children_, [](const Child& child) { return waitpid(child.pid, nullptr, WNOHANG) != 0; });
  for (auto& what : incoming_.take(std::chrono::steady_clock::now())) {
    const auto known =
        std::find_if(tasks_.begin(), tasks_.end(), [&](const Task& task) { return same(task.what, what); });
    if (known == tasks_.end()) tasks_.emplace_back().what = std::move(what);
  }
}

void HookRunner::loop() {
  name_thread("hooks");
  while (!stopping_) {
    wakeup_.consume();
    take();
    std::vector<pollfd> fds = {{wakeup_.fd(), POLLIN, 0}};
    for (const auto& child : children_) fds.push_back({child.ended.get(), POLLIN, 0});
    std::int64_t until_ms = -1;
    std::size_t active = 0;
    const std::int64_t now = clock_ms();
    for (auto task = tasks_.begin(); task != tasks_.end();) {
      if (active >= kAtOnce) break;
      if (!look(*task, now)) {
        task = tasks_.erase(task);
        continue;
      }
      ++active;
      fds.push_back({task->program->ended_fd(), POLLIN, 0});
      fds.push_back({task->program->output_fd(), POLLIN, 0});
      if (task->until_ms > 0 && !task->killed)
        until_ms = until_ms < 0 ? task->until_ms : std::min(until_ms, task->until_ms);
      ++task;
    }
    const std::int64_t wait = until_ms < 0 ? -1 : std::clamp<std::int64_t>(until_ms - clock_ms(), 0, 60'000);
    poll(fds.data(), fds.size(), static_cast<int>(wait));
  }
  tasks_.clear();
}

// Begins the next program once the one before has ended well.
bool HookRunner::look(Task& task, std::int64_t now_ms) {
  for (;;) {
    if (task.program) {
      const auto status = task.program->wait_status();
      if (!status) {
        if (task.until_ms > 0 && now_ms >= task.until_ms && !task.killed) {
          task.killed = true;
          task.program->kill();
        }
        return true;
      }
      const std::string said = task.program->said();
      task.program.reset();
      if (*status != 0 || task.killed) {
        const auto line = trim(std::string_view(said).substr(said.rfind('\n') + 1));
        finish(task, (task.killed ? "it took too long and was killed" : ending_text(*status)) +
                         (line.empty() ? "" : ": " + escape_control(line.substr(0, 200))));
        return false;
      }
    }
    if (task.next == task.what.programs.size()) {
      finish(task, "");
      return false;
    }
    const std::string& path = task.what.programs[task.next++];
    auto program = Program::start(path, task.what.environment, true);
    if (!program.ok()) {
      finish(task, program.error().text());
      return false;
    }
    task.program = std::move(*program);
    task.until_ms = task.what.timeout > 0 ? now_ms + task.what.timeout * 1000 : 0;
  }
}

void HookRunner::finish(const Task& task, std::string failure) {
  done_({task.what.hook, task.what.job, task.what.attempt, std::move(failure)});
}

}  // namespace bai::controller
