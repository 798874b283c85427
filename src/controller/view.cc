#include "controller/view.h"

#include <algorithm>

namespace bai::controller {
namespace {

auto chunk_at(const std::vector<std::shared_ptr<const JobChunk>>& chunks, JobId base) {
  return std::lower_bound(chunks.begin(), chunks.end(), base,
                          [](const auto& chunk, JobId b) { return chunk->base < b; });
}

auto cell_at(const std::vector<JobCell>& cells, JobId id) {
  return std::lower_bound(cells.begin(), cells.end(), id,
                          [](const JobCell& cell, JobId i) { return cell.job->id < i; });
}

}  // namespace

const JobCell* View::find(JobId id) const {
  auto chunk = chunk_at(chunks, id - id % JobChunk::kSpan);
  if (chunk == chunks.end() || (*chunk)->base != id - id % JobChunk::kSpan) return nullptr;
  auto cell = cell_at((*chunk)->cells, id);
  return cell == (*chunk)->cells.end() || cell->job->id != id ? nullptr : &*cell;
}

std::size_t View::job_count() const {
  std::size_t count = 0;
  for (const auto& chunk : chunks) count += chunk->cells.size();
  return count;
}

ViewPtr advance(const View& before, const Effects& effects, const Lineage& lineage) {
  auto next = std::make_shared<View>(before);
  next->lineage = lineage;
  std::map<JobId, std::shared_ptr<JobChunk>> opened;  // chunks of this round, still ours to write
  for (const auto& change : effects.jobs) {
    JobId base = change.id - change.id % JobChunk::kSpan;
    auto& chunk = opened[base];
    if (!chunk) {
      auto old = chunk_at(next->chunks, base);
      bool there = old != next->chunks.end() && (*old)->base == base;
      chunk = there ? std::make_shared<JobChunk>(**old) : std::make_shared<JobChunk>();
      chunk->base = base;
    }
    auto& cells = chunk->cells;
    auto cell = cells.begin() + (cell_at(cells, change.id) - cells.cbegin());
    bool there = cell != cells.end() && cell->job->id == change.id;
    if (!change.job) {
      if (there) cells.erase(cell);
    } else if (there) {
      *cell = {change.job, change.time_limit};
    } else {
      cells.insert(cell, {change.job, change.time_limit});
    }
  }
  for (auto& [base, chunk] : opened) {
    auto slot = next->chunks.begin() + (chunk_at(next->chunks, base) - next->chunks.cbegin());
    bool there = slot != next->chunks.end() && (*slot)->base == base;
    if (chunk->cells.empty()) {
      if (there) next->chunks.erase(slot);
    } else if (there) {
      *slot = std::move(chunk);
    } else {
      next->chunks.insert(slot, std::move(chunk));
    }
  }
  next->nodes = before.nodes.with(effects.nodes, effects.nodes_gone);
  for (const auto& partition : effects.partitions) next->partitions[partition->name.str()] = partition;
  for (const auto& name : effects.partitions_gone) next->partitions.erase(name.str());
  if (effects.config) next->config = effects.config;
  if (effects.trouble) next->trouble = *effects.trouble;
  return next;
}

}  // namespace bai::controller
