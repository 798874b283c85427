// What a node does for the ranks of an MPI program so that they find each other: PMI-1 or PMIx for those that run here, links to the other nodes of the step, and
// the step's end when a rank asks for it or goes without a farewell.
// The shepherd's only thread; times are monotonic milliseconds.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "step/launch.h"
#include "step/peers.h"
#include "step/pmi_sockets.h"
#include "step/pmi_space.h"
#include "step/pmix_child.h"

namespace bai::step {

class Mpi {
 public:
  // The step is to end, with that exit code (0: that of its tasks). `here`: a rank or something on this node is why; the other nodes know already, but not the client.
  using End = std::function<void(uint8_t exit_code, const std::string& why, bool here)>;
  // The launch must outlive it.
  Mpi(const StepLaunch& launch, End end);

  // Before the first task. `dir`: the step's spool directory; `cgroups`: what a server joins. Errors: io_error.
  Status begin(const std::string& dir, const std::vector<std::string>& cgroups, int64_t now_ms);
  // A descriptor that one more task (in the order of the launch's) inherits, if any, and its environment. Errors: io_error.
  Result<Fd> add_task(uint32_t rank, std::vector<std::string>* env);
  // It was reaped.
  void task_ended(uint32_t rank);
  // So was another process: was it a server of ours?
  bool reaped(pid_t pid);
  // The step is being ended: what its ranks do from now on has no consequence.
  void step_ends() { ending_ = true; }
  // The last task has ended: servers go, and are given so long.
  int64_t all_ended();

  // After the last task: what the other nodes should know is on its way. True when it has arrived.
  bool over(int64_t now_ms);

  void add_pollfds(std::vector<pollfd>* fds);
  void serve(const std::vector<pollfd>& fds, int64_t now_ms);
  void flush(int64_t now_ms);
  void on_time(int64_t now_ms);
  // Until on_time() has something to do; -1: nothing.
  int64_t pause_ms(int64_t now_ms) const;

 private:
  void end(uint8_t exit_code, const std::string& why);
  bool any_in_mpi() const;
  void abort(int exit_code, uint32_t rank, const std::string& words);
  void on_message(uint32_t from, std::string_view message);
  void tell_pmi(const std::string& payload);
  void meet(uint32_t node, std::string_view payload);

  const StepLaunch& launch_;
  const StreamPlan& plan_;
  End end_;
  bool ending_ = false;
  std::optional<Peers> peers_;
  std::optional<PmiSockets> pmi_;
  std::unique_ptr<PmixChild> pmix_;
  std::optional<PmiHub> hub_;  // on the first node
};

}  // namespace bai::step
