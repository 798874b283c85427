// View: what readers see: the cluster as of one durable LSN. Immutable once published; a new root shares all that did not
// change with the one before. Readers on any thread hold it as long as they like; one thread (the committer) builds the next.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "controller/io.h"
#include "controller/node_table.h"

namespace bai::controller {

struct JobCell {
  JobPtr job;
  Seconds time_limit = 0;  // in force
};

// Jobs whose ids share all but their lowest eight bits, by id.
struct JobChunk {
  static constexpr JobId kSpan = 256;
  JobId base = 0;
  std::vector<JobCell> cells;
};

struct View {
  Lineage lineage;
  std::vector<std::shared_ptr<const JobChunk>> chunks;  // by base
  NodeTable nodes;
  std::map<std::string, PartitionPtr, std::less<>> partitions;
  std::shared_ptr<const ClusterConfig> config;
  std::string trouble;
  bool stale = false;  // the store does not answer: nothing newer is durable

  const JobCell* find(JobId id) const;
  // f(cell) for every job by id; false stops.
  template <class F>
  void for_each(F f) const {
    for (const auto& chunk : chunks)
      for (const auto& cell : chunk->cells)
        if (!f(cell)) return;
  }
  std::size_t job_count() const;
};
using ViewPtr = std::shared_ptr<const View>;

// Where the newest view hangs.
class Board {
 public:
  ViewPtr get() const {
    std::lock_guard lock(mutex_);
    return view_;
  }
  void publish(ViewPtr view) {
    std::lock_guard lock(mutex_);
    view_ = std::move(view);
  }

 private:
  mutable std::mutex mutex_;
  ViewPtr view_ = std::make_shared<View>();
};

// The next view: `before` with the effects applied.
ViewPtr advance(const View& before, const Effects& effects, const Lineage& lineage);

}  // namespace bai::controller
