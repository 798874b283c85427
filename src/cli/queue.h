// bai-queue. One thread.
#pragma once

#include <vector>

#include "base/options.h"
#include "cli/dialect.h"
#include "cli/job_list.h"
#include "cli/report.h"
#include "cli/session.h"

namespace bai::cli {

// The whole command; its exit status.
int run_queue(const Dialect& dialect, int argc, const char* const* argv);
OptionTable queue_table(const Dialect& dialect);

// How a list is shown.
struct QueueView {
  std::vector<Column<JobView>> columns;
  std::string sort;
  bool header = true;
  bool long_view = false;            // a line with the date goes first
  bool expand = false;               // -r
  bool finished = false;             // finished jobs, too: states were given
  std::vector<std::string> unknown;  // fields of the format that do not exist (Slurm's names: no error)
  // What the controller does not filter by.
  std::vector<wire::JobRef> refs;  // -j: single tasks of arrays
  std::string licenses, qos;
  bool none = false;          // --reservation: there are none
  bool by_partition = false;  // -P: a line for each partition that a waiting job asked for
};

// Leaves what was asked for: what the view filters by, arrays narrowed or expanded.
void arrange(std::vector<JobView>& jobs, const QueueView& view);

// Sorts and renders. `jobs` is changed.
void put_queue(std::string& out, std::vector<JobView>& jobs, const QueueView& view);

// --watch (watch.cc): on a terminal redraws, into a pipe prints a line for each change, until interrupted. The exit status.
int watch_queue(Session& session, const wire::JobFilter& filter, const QueueView& view,
                const Reporter& reporter);

}  // namespace bai::cli
