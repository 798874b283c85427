// The agent's view of its shepherds: starts them, notices that a step runs and that it ended, passes requests on, and ends what a
// dead shepherd left behind. A shepherd's end is seen by its pidfd, its status is durable by then. No thread, never blocks for long.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/machine.h"
#include "base/fd.h"
#include "step/client.h"
#include "step/nursery.h"

namespace bai::agent {

class Shepherds {
 public:
  using Dir = std::function<std::string(wire::AttemptKey)>;
  using News =
      std::function<void(InputBody)>;  // StepRunning, StepEnded, StepLost, SpawnFailed, StepUsed, StepStands

  // `epoll`: a descriptor to add to; event data is tag().
  Shepherds(int epoll, std::string stepd, Dir dir, News news)
      : epoll_(epoll),
        dir_(std::move(dir)),
        news_(std::move(news)),
        nursery_(std::move(stepd), dir_({UINT32_MAX, UINT32_MAX, UINT32_MAX}).size()) {}

  // Events that are ours: those at or above this.
  static constexpr std::uint64_t kFirstTag = std::uint64_t{1} << 32;

  void spawn(wire::AttemptKey key, const std::string& mark, std::int64_t mono_ms);
  // One that an earlier agent started.
  void adopt(wire::AttemptKey key, std::int64_t mono_ms);
  // One that is dead without a status.
  void bury(wire::AttemptKey key, std::int64_t mono_ms);
  // Passed on as soon as it listens. An attempt that is not ours any more is left alone.
  void request(wire::AttemptKey key, step::Request request, std::int64_t mono_ms);

  void on_event(std::uint64_t tag, std::int64_t mono_ms);
  void on_time(std::int64_t mono_ms);
  // When on_time() has something to do.
  std::optional<std::int64_t> next_ms() const;
  bool knows(wire::AttemptKey key) const { return all_.contains(key); }
  std::size_t size() const { return all_.size(); }

 private:
  struct Shepherd {
    std::uint64_t serial = 0;  // in event tags
    pid_t pid = 0;
    bool child = false;  // ours to reap
    Fd pidfd;
    std::optional<step::StepClient> client;
    std::deque<step::Request> waiting, unanswered;
    bool running = false;  // said so
    bool dead = false;     // being buried
    std::int64_t since_ms = 0;
    std::int64_t look_ms = -1;   // next look at `started`, the socket, or the remains; -1: none
    std::int64_t pause_ms = 10;  // a step that is over sooner is told once, as ended
  };
  using All = std::map<wire::AttemptKey, Shepherd>;

  static std::uint64_t tag(const Shepherd& s, bool client) { return s.serial << 1 | (client ? 1 : 0); }
  Shepherd& add(wire::AttemptKey key);
  void drop(wire::AttemptKey key);
  void answer(wire::AttemptKey key, const step::Request& request, const step::Reply* reply);
  bool watch(int fd, std::uint64_t tag) const;
  void look_again(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);
  void look(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);
  bool look_running(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);
  void look_dead(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);
  void deliver(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);
  void hang_up(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);
  void read_client(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);
  bool tell_end(wire::AttemptKey key);
  void shepherd_ended(wire::AttemptKey key, Shepherd& s, std::int64_t mono_ms);

  int epoll_;
  Dir dir_;
  News news_;
  step::Nursery nursery_;
  All all_;
  std::map<std::uint64_t, wire::AttemptKey> keys_;  // by serial
  std::uint64_t next_serial_ = kFirstTag;
  std::map<wire::AttemptKey, std::int64_t> looks_;  // when to look(); few at a time
};

}  // namespace bai::agent
