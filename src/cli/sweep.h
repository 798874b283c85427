// bai-submit --sweep: when and where a job would start for each of several values of one option. Nothing is queued.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "cli/report.h"
#include "wire/messages.h"

namespace bai::cli {

// "gpus=1..8", "time=30..240,30" (from, to, and the step).
struct Sweep {
  const Option* option = nullptr;  // of bai-submit's table
  std::vector<std::string> values;
};

inline constexpr std::size_t kMaxSweep = 100;  // values

// KEY is a long option that takes a number or a time: nodes, ntasks, cpus-per-task (cpus), gpus, time, mem, ... Without a step there
// are at most 16 values. Errors: bad_sweep.
Result<Sweep> parse_sweep(std::string_view text, const OptionTable& table);

// One line for each value. `ask` is given what was typed with the value put in. The exit status: 1 when it would start for no value.
using AskStart = std::function<Result<wire::SubmitReply>(const Parsed&)>;
int run_sweep(const Sweep& sweep, const Parsed& parsed, const AskStart& ask, const Reporter& reporter);

}  // namespace bai::cli
