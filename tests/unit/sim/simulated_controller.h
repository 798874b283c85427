// SimulatedController: bai-ctld without its threads: controller::Machine, the scheduler, and what server.cc, committer.cc and engine.cc
// do around them, with every delay and death that may lie between. The store outlives it, and may be taken over by another one while this
// one lives. One thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../controller/memory_store.h"
#include "controller/machine.h"
#include "network.h"
#include "world.h"

namespace bai::sim {

class SimulatedController {
 public:
  using Conn = controller::ConnId;
  // `index` tells the controllers of one store apart.
  SimulatedController(World& world, Network& network, int index, std::shared_ptr<const ClusterConfig> config,
                      std::shared_ptr<store::MemoryStore::State> state);

  // What a command's end of a connection hears; the connection dies with the controller's process.
  std::function<void(Conn, const wire::Reply&)> on_reply;
  std::function<void()> on_dead;

  bool alive() const { return store_ != nullptr; }
  // Another one has opened the store since; it may not know yet.
  bool superseded() const { return store_ && store_->lineage().epoch != state_->lineage.epoch; }
  void start();
  void kill();
  void stall(std::int64_t for_us);  // it does nothing at all, as after SIGSTOP; what is sent to it waits

  // A request arrives on a connection of `life`; those of an earlier process lead nowhere.
  std::uint64_t life() const { return life_; }
  void command(std::uint64_t life, Conn conn, const controller::Caller& caller, const wire::Request& request);
  void agent_message(Conn conn, wire::AgentBody body);
  void closed(Conn conn);

  const controller::Machine* machine() const { return machine_.get(); }
  bool idle() const { return machine_ && !lost_ && !committing_ && queue_.empty(); }
  // What a restart would find is what is in memory. Only when idle().
  void compare_with_reload();
  static std::string waits_for(const Job& job);  // for the trace

 private:
  void tick();
  void input(controller::InputBody body);
  void emit(controller::Output out);
  void plan_commit();
  void commit();
  void confirm();
  void give_up();
  void look_at(const store::Batch& batch);
  void refuse(const controller::Output& output);
  void recover();
  void release(controller::Effects effects);
  void load();
  void engine();
  void later(std::int64_t delay_us, std::function<void()> what);
  void run_tick();
  void run_confirm();

  World& world_;
  Network& network_;
  int index_;
  std::shared_ptr<const ClusterConfig> config_;
  std::shared_ptr<store::MemoryStore::State> state_;
  std::unique_ptr<store::MemoryStore> store_;
  std::unique_ptr<store::Reader> reader_;
  std::unique_ptr<controller::Machine> machine_;
  sokovan::Scheduler scheduler_;
  std::uint64_t life_ = 0;
  std::uint64_t generation_ = 0;  // the state thread's
  std::uint64_t committed_generation_ = 0;
  std::int64_t careful_until_ms_ = 0;
  std::int64_t stalled_until_us_ = 0;
  bool lost_ = false;
  bool over_ = false;        // it knows that it was replaced, and will end
  bool committing_ = false;  // the store thread is between a commit and what leaves after it
  Lsn compared_ = 0;
  std::deque<controller::Output> queue_;
  bool commit_planned_ = false, engine_planned_ = false;
  std::int64_t confirmed_us_ = 0;
  std::int64_t decided_us_ = 0;  // when the engine's newest decisions reach the state thread
  std::vector<sokovan::Change> feed_;
  std::map<JobId, bool> met_;  // what the scheduler was told last of each job's dependencies
};

}  // namespace bai::sim
