// A whole cluster in one process on virtual time (DESIGN 11): a controller, its store, agents, shepherds, steps, commands, and a network
// between them, all of which fail as real ones do. One seed is one history: first with faults, then without; then everything must have come
// to its end. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "network.h"
#include "simulated_agent.h"
#include "simulated_controller.h"
#include "world.h"

namespace bai::sim {

class ClusterSimulation {
 public:
  explicit ClusterSimulation(std::uint64_t seed, bool trace = false);
  // Plays the history. Empty when every promise was kept, else which was not.
  std::string run();

  std::size_t starts() const { return world_.started.size(); }
  std::size_t jobs() const { return acknowledged_.size(); }

 private:
  struct Call {  // one changing request of a command that repeats until it is answered
    controller::Caller caller;
    wire::Request request;
    std::vector<std::string> names;  // of the jobs that it submits
    int sent = 0;
    bool answered = false;
    std::string answer;  // the first final one
    std::function<void(const wire::ReplyBody&)> then;
  };

  SimulatedController& controller() const { return *controllers_[static_cast<std::size_t>(current_)]; }
  void start_again();
  void start_controller();
  void take_over();
  void replace_idle();
  void plan_faults();
  void plan_work();
  void submit();
  void act(wire::JobAction action);
  void update_node();
  std::size_t call(controller::Caller caller, wire::RequestBody body,
                   std::function<void(const wire::ReplyBody&)> then = {});
  void send(std::size_t call);
  void on_reply(std::size_t call, const wire::Reply& reply);
  void settle();  // the faults are over
  void check_stuck();
  void check_standing();
  bool quiet();
  void check_end();
  JobId some_job();
  controller::Caller user(std::uint32_t n) const;
  controller::Caller root() const;

  World world_;
  Network network_;
  std::shared_ptr<store::MemoryStore::State> state_ = std::make_shared<store::MemoryStore::State>();
  std::vector<std::unique_ptr<SimulatedController>> controllers_;  // two hosts that may run one
  int current_ = 0;                                                // which of them opened the store last
  std::int64_t encore_ends_us_ = 0;
  std::vector<std::unique_ptr<SimulatedAgent>> agents_;
  std::vector<Call> calls_;
  std::map<controller::ConnId, std::size_t> connections_;  // of commands
  std::map<JobId, std::string> acknowledged_;              // job -> its name
  std::uint32_t names_ = 0;
  JobId highest_ = 0;
};

// The text by which a failure can be played again.
std::string replay_hint(std::uint64_t seed);

}  // namespace bai::sim
