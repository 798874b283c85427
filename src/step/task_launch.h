// What a launch says of the tasks of a step and of where their streams go. A batch step has neither. Nested records in the launch
// file; the format is frozen (record.h).
// Any thread; plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai::step {

// The bounds that decoding enforces.
constexpr size_t kMaxTasks = 4096;       // of one step on one node
constexpr size_t kMaxTaskWords = 65536;  // arguments, and apart environment entries, of all tasks of a node
constexpr size_t kMaxRanks = 1u << 20;   // of one step on all nodes
constexpr size_t kMaxStepNodes = 1u << 16;
constexpr size_t kMaxCpuMask = 1024;  // bytes: 8,192 CPUs
constexpr size_t kMaxNotice = 8192;
constexpr size_t kMaxEndpoints = 8;
constexpr size_t kMaxEndpoint = 64;
constexpr size_t kStreamKeyBytes = 32;
constexpr uint32_t kMaxTerminalSide = 0xffff;

// One process of a step on this node. Streams without a path go to the client; so does nothing where the path is "/dev/null".
struct TaskLaunch {
  uint32_t rank = 0;              // over the whole step: SLURM_PROCID
  uint32_t local_id = 0;          // on this node: SLURM_LOCALID
  std::vector<std::string> env;   // "K=V", beside the launch's; replaces its entries of the same name
  std::vector<std::string> argv;  // empty: the launch's
  // Bit i of byte i / 8 is CPU i, for sched_setaffinity(2); empty: as inherited.
  std::string cpu_mask;
  // Files on the node, patterns already expanded; relative to workdir. The same path for both outputs is opened once.
  std::string stdin_path;
  std::string stdout_path;
  std::string stderr_path;
  std::string notice;  // lines that are written to its standard error before it runs

  bool operator==(const TaskLaunch&) const = default;
};

// How the ranks of the step find each other.
enum class MpiKind : uint8_t { kNone = 0, kPmi1 = 1, kPmix = 2 };

// Where the streams of the tasks go, and what the tasks are together.
struct StreamPlan {
  // "host:port" of the listening client in order of preference: numeric addresses, "[::1]:port" for IPv6. Empty: nobody
  // listens; outputs without a path are thrown away until somebody attaches.
  std::vector<std::string> clients;
  std::string key;  // kStreamKeyBytes, fresh for each step; both ends prove that they have it

  uint32_t node_index = 0;  // of this node among the step's
  uint32_t node_count = 1;
  uint32_t task_count = 1;  // of the whole step
  // For MPI only, may be empty otherwise: the index of the node of each rank, and the names of the nodes.
  std::vector<uint32_t> rank_nodes;
  std::vector<std::string> node_names;
  // With several nodes: numeric addresses of the one that this one dials (peer_tree.h).
  std::vector<std::string> parent_addresses;

  bool pty =
      false;  // the task with rank 0 gets a terminal; of the others stdin and the outputs are /dev/null
  uint32_t pty_rows = 0;  // 0: unknown
  uint32_t pty_columns = 0;
  bool unbuffered = false;  // stdout of each task is a raw terminal, so that it writes at once (srun -u)
  MpiKind mpi = MpiKind::kNone;

  // srun's -K and -W. The client sees to them for all nodes; the shepherd for its own when there is none.
  bool kill_on_bad_exit = false;
  uint64_t wait_s = 0;  // after the first task ended; 0: for ever
  bool detach = false;  // the step goes on without its client

  // Who speaks in what tasks see of us: "slurmstepd: error: execve(): nosuch: No such file or directory".
  std::string speaker = "bai-stepd";

  bool operator==(const StreamPlan&) const = default;
};

// The value of one field of a launch, and back. Errors: bad_record; every length is checked before anything is copied.
std::string encode_task(const TaskLaunch& task);
Result<TaskLaunch> decode_task(std::string_view value);
std::string encode_plan(const StreamPlan& plan);
Result<StreamPlan> decode_plan(std::string_view value);

}  // namespace bai::step
