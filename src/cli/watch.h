// What bai-queue --watch shows: the jobs as the last word about each left them, as lines or as a picture. One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/queue.h"
#include "cli/screen.h"

namespace bai::cli {

class WatchedJobs {
 public:
  // `line`: what is to be printed of a job that is new or has changed; it may be empty or several lines. `keep_finished`: jobs
  // that have ended stay for a while.
  WatchedJobs(std::function<std::string(const JobView&)> line, bool keep_finished)
      : line_(std::move(line)), keep_finished_(keep_finished) {}

  // Rows of a snapshot or of changes. Returns the lines of what is news.
  std::string take(wire::JobTable table, Time now);
  void forget(JobId id);
  // A snapshot follows: it tells what is, and only what differs from what was known is news.
  void begin_anew();
  void end_anew() { before_.clear(); }

  std::vector<JobView> jobs(Time now);

 private:
  // A row lives in the table that it came with.
  struct Known {
    std::shared_ptr<const wire::JobTable> table;
    const wire::JobRow* row = nullptr;
    JobView view(Time now) const { return {table.get(), row, now, kNoTask}; }
  };

  std::function<std::string(const JobView&)> line_;
  bool keep_finished_;
  std::map<JobId, Known> jobs_, before_;
};

// The list as far as it fits, and on the last line what there is in all. Escape sequences included.
std::string draw_queue(std::vector<JobView> jobs, const QueueView& view, Screen::Size size, Time now);

}  // namespace bai::cli
