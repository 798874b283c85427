// World: virtual time, chance, and what really happened: the processes that ran, whatever the daemons believe. One thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "base/rand.h"
#include "base/time.h"
#include "wire/agent_messages.h"

namespace bai::sim {

using Key = wire::AttemptKey;

class World {
 public:
  explicit World(std::uint64_t seed, bool trace) : rng(seed), trace_(trace) {}

  Rng rng;
  bool faults = true;   // something may go wrong
  std::string failure;  // the first broken promise
  std::int64_t wall_offset_us = 1'800'000'000'000'000;

  std::int64_t us() const { return now_us_; }
  std::int64_t ms() const { return now_us_ / 1000; }
  Time now() const { return Time{wall_offset_us + now_us_}; }
  void set_wall(std::int64_t by_us) {
    wall_offset_us += by_us;
    note("the wall clock is set by " + std::to_string(by_us / 1'000'000) + " s");
  }
  bool fault(std::uint64_t one_in) { return faults && rng.chance(1, one_in); }
  std::int64_t between(std::int64_t low_us, std::int64_t high_us) { return rng.range(low_us, high_us); }

  void after(std::int64_t delay_us, std::function<void()> what) {
    events_.push({now_us_ + delay_us, ++sequence_, std::move(what)});
  }
  bool step() {
    if (events_.empty()) return false;
    Event event = std::move(const_cast<Event&>(events_.top()));
    events_.pop();
    now_us_ = event.at;
    event.what();
    return true;
  }

  void fail(const std::string& what) {
    if (failure.empty()) failure = "after " + std::to_string(now_us_ / 1000) + " ms: " + what;
  }
  void note(const std::string& what) const {
    if (trace_) std::fprintf(stderr, "%9.3f %s\n", static_cast<double>(now_us_) / 1e6, what.c_str());
  }
  bool tracing() const { return trace_; }
  static std::string text(Key key) { return std::to_string(key.job) + "." + std::to_string(key.attempt); }

  // ---- the truth about processes
  struct Process {
    JobPtr job;  // as it was launched
    std::string node;
    std::int64_t began_us = 0;
    bool stands = false;
  };
  std::map<Key, Process> running;
  std::map<Key, int> exit_codes;  // of those that ended by themselves
  std::set<Key> started;
  std::map<std::string, std::int64_t> lost_us;  // when a node was last declared lost
  std::set<Key> intended;                       // starts that are durable in the store
  std::map<std::string, std::uint32_t> cpus;

  void process_began(Key key, const JobPtr& job, const std::string& node) {
    note("  " + node + ": " + text(key) + " begins");
    if (!started.insert(key).second) fail("attempt " + text(key) + " was started twice");
    if (!intended.contains(key)) fail("attempt " + text(key) + " began before its start was durable");
    std::uint32_t used = share(job, node);
    for (const auto& [other, process] : running) {
      if (process.node == node) used += share(process.job, node);
      if (other.job != key.job) continue;
      bool lost = false;
      for (const auto& part : process.job->allocation->nodes)
        if (auto it = lost_us.find(part.node.str()); it != lost_us.end())
          lost = lost || it->second >= process.began_us;
      if (!lost)
        fail("attempt " + text(key) + " began while " + text(other) + " runs on " + process.node +
             ", which was never declared lost");
    }
    if (used > cpus[node]) fail("node " + node + " is over-committed by " + text(key));
    running[key] = {job, node, now_us_};
  }
  void stands(Key key, bool still) {
    note("  " + text(key) + (still ? " stands still" : " goes on"));
    if (auto it = running.find(key); it != running.end()) it->second.stands = still;
  }
  void process_ended(Key key, int exit_code) {
    if (auto it = running.find(key); it != running.end() && it->second.stands && exit_code >= 0)
      fail("attempt " + text(key) + " exited while it stood still");
    if (running.erase(key) && exit_code >= 0) exit_codes[key] = exit_code;
    note("  " + text(key) + " ended");
  }

 private:
  struct Event {
    std::int64_t at;
    std::uint64_t sequence;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : sequence > other.sequence;
    }
  };
  static std::uint32_t share(const JobPtr& job, const std::string& node) {
    for (const auto& part : job->allocation->nodes)
      if (part.node == node) return part.cpus;
    return 0;
  }
  std::int64_t now_us_ = 0;
  std::uint64_t sequence_ = 0;
  std::priority_queue<Event> events_;
  bool trace_;
};

}  // namespace bai::sim
