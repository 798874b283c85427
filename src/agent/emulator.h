// The runtime of `bai-agentd --emulate`: one thread, one epoll loop, around many virtual nodes (virtual_node.h), each with a session of its
// own to the controller, which cannot tell them from real ones but by what they say of their system. Nothing is kept on disk.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "agent/virtual_node.h"
#include "base/env.h"
#include "base/fd.h"
#include "base/log.h"
#include "model/config.h"
#include "wire/fleet.h"

namespace bai::agent {

struct EmulatorOptions {
  std::vector<ConfigNode> nodes;  // parse_emulation()'s
  std::string controller;         // HOST:PORT; empty: the configuration's
  bool log_level_fixed = false;   // by --log-level: configurations do not change it
};

class Emulator {
 public:
  // Blocks SIGTERM, SIGINT and SIGHUP in the calling thread. Errors: Fleet's, io_error.
  static Result<std::unique_ptr<Emulator>> start(const Env& env, EmulatorOptions options,
                                                 const ClusterConfig& config);

  // Until SIGTERM, SIGINT or the controller's word: then the nodes and what ran on them are gone. Errors: io_error.
  Status run();

 private:
  struct Due {
    std::int64_t ms;
    std::size_t node;
    bool operator>(const Due& other) const { return ms > other.ms; }
  };

  explicit Emulator(const Env& env) : env_(env) {}
  Status set_up(EmulatorOptions options, const ClusterConfig& config);
  void on_signals();
  void on_event(std::size_t node, wire::DealerEvent event);
  void on_lost(const Error& why);
  void give(std::size_t node, InputBody input);
  void carry_out(std::size_t node, VirtualOutput out);
  void use_config(const std::string& text);
  void end_steps();
  void tick();
  void say_how_many(std::int64_t now);
  int timeout_ms() const;

  const Env& env_;
  Fd epoll_, signals_;
  std::vector<VirtualNode> nodes_;
  std::vector<std::int64_t> planned_;  // of each, when it was last put into due_
  std::unique_ptr<wire::Fleet> fleet_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>>
      due_;  // ends of steps; of a node the one in planned_ counts
  std::int64_t began_ms_ = 0;
  std::uint64_t ticked_ = 0;  // node-ticks since then: each node has one a second, evenly spread
  std::string config_text_;   // the last that was understood
  bool log_level_fixed_ = false;
  std::size_t said_ = 0;  // how many nodes were registered when it was said last, and when that was
  std::int64_t said_ms_ = 0;
  std::string lost_why_;
  log::Once garbled_{16};
  bool stop_ = false;
};

}  // namespace bai::agent
