// bai-stat: what running steps use now, as their nodes see it when asked. One thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "cli/dialect.h"
#include "cli/print_fields.h"
#include "cli/session.h"
#include "wire/messages.h"

namespace bai::cli {

// The whole command; its exit status.
int run_stat(const Dialect& dialect, int argc, const char* const* argv);
OptionTable stat_table(const Dialect& dialect);

// A figure over all nodes of a step.
struct StatFigure {
  std::uint64_t total = 0, most = 0, least = 0;
  std::string_view most_node, least_node;
  std::uint32_t most_task = 0, least_task = 0;
};

// One line: a step, put together from the nodes that answered. Points into the reply.
struct StatRow {
  const wire::StepUse* step = nullptr;
  bool convert = true;  // to larger units
  std::uint32_t tasks = 0, processes = 0;
  StatFigure cpu_us, rss_kib, vm_kib, pages, read_bytes, write_bytes;
};
StatRow stat_row(const wire::StepUse& step, bool convert);

// The answer to a question about steps, which its nodes may owe for seconds.
Result<wire::UseReply> ask_use(Session& session, wire::UseRequest request);

using StatField = PrintField<StatRow>;
std::span<const StatField> stat_fields();

// "7.0", "7_3.batch".
std::string stat_step_name(const wire::StepUse& step);

}  // namespace bai::cli
