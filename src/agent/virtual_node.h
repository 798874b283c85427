// A node that is not there: the agent's own rules (machine.h) over steps that are counted down instead of run. No process, no disk: what
// a real agent would find in its spool after it was killed, a virtual node has lost, as a node that lost its disk.
// A function from inputs to outputs, as the machine is: no I/O, no clock. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/machine.h"

namespace bai::agent {

// How long an emulated step runs: what its comment says, else its job's ("emulate:2.5", seconds, as one word of it); nothing: until its time
// limit.
// Errors: bad_comment.
Result<std::optional<std::int64_t>> emulated_run_ms(std::string_view comment);

struct VirtualOutput {
  std::vector<wire::AgentBody> sends;
  std::optional<std::string> config_text;
  bool reconnect = false;
  bool stop = false;  // the controller wants the agent to end
};

class VirtualNode {
 public:
  VirtualNode(MachineStart start, Time now, std::int64_t mono_ms);

  VirtualOutput handle(Time now, std::int64_t mono_ms, InputBody input);
  // Ends the steps whose time has come.
  VirtualOutput on_time(Time now, std::int64_t mono_ms);
  // When that is; nothing: no step has an end.
  std::optional<std::int64_t> next_ms() const;

  bool welcomed() const { return machine_.welcomed(); }
  std::size_t running() const { return steps_.size(); }

 private:
  struct Plan {
    std::optional<std::int64_t> run_ms;
    Seconds limit = 0;  // 0 or less: none
    Time deadline;
  };
  struct Step {
    Plan plan;
    Time started;
    std::int64_t started_ms = 0;
    std::int64_t deadline_ms = 0;             // on the monotonic clock; 0: none
    std::optional<std::int64_t> stands_ms{};  // since when, while it is suspended
  };
  struct End {
    std::int64_t at_ms;
    step::EndReason reason;
  };

  static std::optional<End> end_of(const Step& step);
  VirtualOutput turn();
  void prepare(const wire::LaunchOrder& order);
  void spawn(wire::AttemptKey key);
  void request(const ToStep& to);
  void end(wire::AttemptKey key, step::EndReason reason, std::uint32_t signal);
  void end_due();

  std::uint64_t mem_mib_;
  Output first_;
  Machine machine_;
  std::map<wire::AttemptKey, Plan> plans_;  // prepared, not spawned
  std::map<wire::AttemptKey, Step> steps_;
  std::deque<InputBody> inputs_;
  Time now_;
  std::int64_t mono_ms_ = 0;
};

}  // namespace bai::agent
