// SimulatedAgent: a node: its agent (agent::Machine and, in a few lines, what agent.cc does around it), its disk, its shepherds and
// their steps. Any of them may die at any moment. One thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent/machine.h"
#include "network.h"
#include "world.h"

namespace bai::sim {

class SimulatedAgent {
 public:
  SimulatedAgent(World& world, Network& network, int index, std::uint32_t cpus);

  const std::string& name() const { return name_; }
  bool alive() const { return machine_ != nullptr; }
  std::size_t attempts() const { return machine_ ? machine_->attempt_count() : 0; }

  void start_agent();
  void kill_agent();     // its steps go on
  void kill_shepherd();  // one of them; what it held goes on for a while
  void reboot();         // everything ends, what was not synced is lost

  void session_up(Network::Conn conn);
  void session_down(Network::Conn conn);
  void order(Network::Conn conn, wire::OrderBody order);

 private:
  struct Directory {
    JobPtr job;
    Seconds limit = 0;
    std::string mark;
    bool started = false, forbidden = false;
    std::optional<step::StepStatus> status;
  };
  struct Shepherd {
    std::uint64_t agent = 0;  // the life of its parent
    bool alive = true;
    bool script = false;     // its step runs
    std::uint64_t turn = 0;  // of the newest plan for its end
    std::int64_t began_us = 0;
    std::int64_t ends_us = -1;
    std::uint64_t stand_generation = 0;
    bool stands = false;                         // it was told to stand still
    std::optional<step::EndReason> held_back{};  // an end by itself that came meanwhile
  };

  void input(agent::InputBody body);
  void turn();
  void handle(agent::InputBody body, agent::Output& out);
  void carry_out(agent::Output out);
  void dial_later();
  void spawn(Key key, const std::string& mark);
  void request(Key key, const step::Request& request);
  void plan_end(Key key, std::int64_t at_us, step::EndReason reason);
  void end_step(Key key, step::EndReason reason);
  void stand(Key key, const step::SuspendRequest& request);
  void shepherd_gone(Key key);
  void bury(Key key);
  std::vector<agent::FoundAttempt> scan(const agent::JournalContents& journal);
  agent::FoundAttempt look(Key key);
  void prepare(const wire::LaunchOrder& order);
  void prepared(const wire::LaunchOrder& order);
  // Runs `what` later, if this very agent (not a later one) still lives then.
  void later(std::int64_t delay_us, std::function<void()> what);
  std::string boot_id() const { return name_ + "-boot-" + std::to_string(boot_); }

  World& world_;
  Network& network_;
  int index_;
  std::string name_;
  std::uint32_t cpus_;
  std::unique_ptr<agent::Machine> machine_;
  std::uint64_t life_ = 0;
  std::uint64_t boot_ = 1;
  std::int64_t prepared_us_ = 0;     // when the last launch in preparation will be
  std::uint64_t highest_epoch_ = 0;  // that this agent has served
  Network::Conn conn_ = 0;
  bool dialling_ = false;
  std::deque<agent::InputBody> inputs_;
  bool turning_ = false;
  // The disk.
  std::string synced_, unsynced_;         // the journal
  std::map<Key, step::StepStatus> ends_;  // written by shepherds without an agent
  // In memory.
  std::map<Key, Directory> directories_;
  agent::Output held_;
  // This boot's processes.
  std::map<Key, Shepherd> shepherds_;
  std::uint64_t marks_ = 0;
  std::map<std::pair<Key, std::uint64_t>, int> signals_;
};

}  // namespace bai::sim
