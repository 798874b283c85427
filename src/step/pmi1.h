// The PMI-1 wire protocol, as MPICH's simple PMI client speaks it over PMI_FD: lines of key=value words. Pure logic for the ranks of one node.
// Source: MPICH, src/pmi/simple/simple_pmi.c and src/pm/hydra/lib/pmiserv.
// One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "step/pmi_space.h"
#include "step/task_launch.h"

namespace bai::step {

constexpr size_t kMaxPmiLine = 8192;

// "(vector,(0,2,4))": how the ranks lie on the nodes (hydra's PMI_process_mapping). Empty when it would not fit into a value.
std::string pmi_process_mapping(const std::vector<uint32_t>& rank_nodes);

class Pmi1 {
 public:
  // What is to be done after a line.
  struct Outcome {
    std::string reply;          // to the task that spoke
    bool all_at_fence = false;  // every task of this node is at the barrier
    std::optional<int> abort;   // a task wants the step to end, with this exit code
    bool broken = false;        // it does not speak PMI-1
  };
  // `local`: the number of tasks on this node.
  Pmi1(const StreamPlan& plan, std::string name, size_t local);

  // From task number `task` of this node, without the newline.
  Outcome take(size_t task, std::string_view line);
  // Tasks at the barrier, which is over: each is to be sent barrier_reply().
  std::vector<size_t> leave_barrier();
  static std::string barrier_reply() { return "cmd=barrier_out\n"; }
  // It has begun to speak and not taken its leave.
  bool in_mpi(size_t task) const { return in_mpi_[task]; }
  PmiSpace& space() { return space_; }

 private:
  std::string get(std::string_view line) const;
  std::string get_by_index(std::string_view line) const;

  uint32_t size_;
  std::string name_;
  PmiSpace space_;
  std::vector<bool> in_barrier_;
  std::vector<bool> in_mpi_;
  std::vector<bool> in_mcmd_;  // a command of several lines
  size_t waiting_ = 0;
};

}  // namespace bai::step
