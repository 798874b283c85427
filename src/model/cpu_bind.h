// How the tasks of a step are bound to processors: srun(1)'s --cpu-bind. A plain value; any thread.
#pragma once

#include <string_view>
#include <vector>

#include "base/idset.h"
#include "base/result.h"

namespace bai {

struct CpuBind {
  enum class Kind { kAuto, kNone, kThreads, kCores, kSockets, kLdoms, kRank, kMap, kMask };
  Kind kind = Kind::kAuto;
  bool verbose = false;
  std::vector<IdSet> list;  // of kMap and kMask, in the operating system's numbers; taken by tasks in turn
};
// "verbose,cores", "map_cpu:0,2", "mask_cpu:0x3,0xc". Errors: bad_value.
Result<CpuBind> parse_cpu_bind(std::string_view text);

}  // namespace bai
