// Which GPUs of a step each of its tasks sees: srun(1)'s --gpu-bind. Plain values and a pure function; any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/idset.h"
#include "base/result.h"

namespace bai {

struct GpuBind {
  enum class Kind { kAuto, kNone, kClosest, kSingle, kPerTask, kMap, kMask };
  Kind kind = Kind::kAuto;
  bool verbose = false;
  std::uint32_t count = 1;  // tasks of a GPU for kSingle, GPUs of a task for kPerTask
  std::vector<IdSet> list;  // of kMap and kMask: GPUs by number, taken by tasks in turn
};
// "verbose,closest", "single:2", "per_task:1", "map_gpu:0,1*2", "mask_gpu:0x3,0xc". Errors: bad_value.
Result<GpuBind> parse_gpu_bind(std::string_view text);

// A GPU of the step: its number as map_gpu and mask_gpu mean it, and the socket that it is near to, kNoSocket (device_state.h) when that is not known.
struct GpuPlace {
  std::uint32_t number = 0;
  std::uint16_t socket = 0xffff;
};

// For each task the GPUs that it sees, as positions in `gpus`, rising; nothing for a task: all of them. `sockets`: those whose processors each task of this node
// has, in the order of the tasks. kAuto binds nothing. Of numbers that the step has not nothing comes; a task for which none is left sees all.
std::vector<std::vector<std::uint32_t>> bind_gpus(const GpuBind& bind, const std::vector<GpuPlace>& gpus,
                                                  const std::vector<IdSet>& sockets);

}  // namespace bai
