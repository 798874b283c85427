// Engine: the thread that holds Sokovan. It is fed with changes and hands decisions back as inputs of the state thread.
#pragma once

#include <functional>
#include <thread>
#include <variant>
#include <vector>

#include "controller/channel.h"
#include "controller/io.h"
#include "controller/recording_file.h"
#include "controller/stats.h"

namespace bai::controller {

// A what-if question, put to the scheduler between two passes, on the engine's thread.
using Question = std::function<void(const sokovan::Scheduler&, Time now)>;

// How long the engine sleeps until `wakeup`, a moment of the wall clock; in microseconds. Never long: the wall clock may be set, or go on
// while the machine sleeps, and the clock that measures the wait does not follow.
std::int64_t engine_wait_us(Time wakeup, Time now);

class Engine {
 public:
  // `decided` is called on the engine's thread. `now` is the wall clock. `recording`: of all that is told and decided; may be null.
  Engine(std::function<Time()> now, std::function<void(Decided)> decided, Stats& stats,
         std::unique_ptr<RecordingFile> recording = nullptr, sokovan::PlacementSource plugins = {});
  ~Engine();

  // Any thread. A new generation begins from nothing.
  void reset(std::uint64_t generation);
  void feed(std::vector<sokovan::Change> changes);
  void ask(Question question);
  void stop();
  std::size_t backlog() const { return channel_.size(); }

 private:
  struct Reset {
    std::uint64_t generation;
  };
  using Item = std::variant<Reset, std::vector<sokovan::Change>, Question>;
  void run();

  std::function<Time()> now_;
  std::function<void(Decided)> decided_;
  Stats& stats_;
  std::unique_ptr<RecordingFile> recording_;
  sokovan::PlacementSource plugins_;
  Channel<Item> channel_;
  std::thread thread_;
};

}  // namespace bai::controller
