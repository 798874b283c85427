#include "controller/engine.h"

#include <algorithm>

#include "base/thread_name.h"

namespace bai::controller {

std::int64_t engine_wait_us(Time wakeup, Time now) {
  return std::clamp<std::int64_t>(wakeup.us - now.us, 0, 10'000'000);
}

Engine::Engine(std::function<Time()> now, std::function<void(Decided)> decided, Stats& stats,
               std::unique_ptr<RecordingFile> recording, sokovan::PlacementSource plugins)
    : now_(std::move(now)),
      decided_(std::move(decided)),
      stats_(stats),
      recording_(std::move(recording)),
      plugins_(std::move(plugins)),
      thread_([this] { run(); }) {}

Engine::~Engine() { stop(); }

void Engine::reset(std::uint64_t generation) { channel_.put(Reset{generation}); }
void Engine::feed(std::vector<sokovan::Change> changes) { channel_.put(std::move(changes)); }
void Engine::ask(Question question) { channel_.put(std::move(question)); }

void Engine::stop() {
  channel_.close();
  if (thread_.joinable()) thread_.join();
}

void Engine::run() {
  name_thread("engine");
  sokovan::Scheduler scheduler(plugins_);
  std::uint64_t generation = 0;
  Time wakeup;
  for (;;) {
    std::optional<std::chrono::steady_clock::time_point> deadline;
    if (wakeup.is_set()) {
      deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(engine_wait_us(wakeup, now_()));
    }
    auto items = channel_.take(deadline);
    if (items.empty() && channel_.closed()) return;
    for (auto& item : items) {
      if (auto* reset = std::get_if<Reset>(&item)) {
        if (recording_) recording_->fresh();
        scheduler = sokovan::Scheduler(plugins_);
        generation = reset->generation;
      } else if (auto* changes = std::get_if<std::vector<sokovan::Change>>(&item)) {
        for (const auto& change : *changes) {
          if (recording_) recording_->applied(change);
          scheduler.apply(change);
        }
      } else {
        std::get<Question>(item)(scheduler, now_());
      }
    }
    bool complete = false;
    while (!complete) {
      auto begun = std::chrono::steady_clock::now();
      const auto now = now_();
      const sokovan::Budget budget;
      auto decisions = scheduler.decide(now, budget);
      auto took =
          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begun);
      stats_.pass(decisions.jobs_tried, decisions.starts.size(), took.count());
      if (recording_) recording_->decided(now, budget, decisions);
      complete = decisions.complete;
      wakeup = decisions.next_wakeup;
      if (!decisions.starts.empty() || !decisions.waiting.empty())
        decided_(Decided{generation, std::move(decisions)});
    }
  }
}

}  // namespace bai::controller
