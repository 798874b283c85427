#include "cli/step_exits.h"

#include <string.h>
#include <sys/wait.h>

#include <algorithm>

namespace bai::cli {

namespace {

// "task 3", "tasks 0-1"
std::string tasks_text(const IdSet& tasks) {
  return (tasks.count() == 1 ? "task " : "tasks ") + tasks.format();
}

std::string how(int status) {
  if (WIFEXITED(status)) return "Exited with exit code " + std::to_string(WEXITSTATUS(status));
  return std::string(strsignal(WTERMSIG(status))) + (WCOREDUMP(status) ? " (core dumped)" : "");
}

}  // namespace

StepExits::StepExits(const StepLayout& layout) : layout_(layout) {
  node_of_.resize(layout.task_count());
  status_.resize(layout.task_count());
  for (std::size_t node = 0; node < layout.ranks.size(); ++node)
    for (std::uint32_t rank : layout.ranks[node]) {
      if (rank >= node_of_.size()) continue;
      node_of_[rank] = static_cast<std::uint32_t>(node);
      running_.insert(rank);
    }
}

void StepExits::started(std::uint32_t task) {
  if (task < node_of_.size()) begun_.insert(task);
}

void StepExits::ended(std::uint32_t task, int status) {
  if (task >= node_of_.size() || !running_.contains(task)) return;
  running_.erase(task);
  ended_.insert(task);
  begun_.insert(task);
  status_[task] = status;
  if (status == 0) return;
  const bool more = WIFSIGNALED(status) ? !WIFSIGNALED(worst_) || WTERMSIG(status) > WTERMSIG(worst_)
                                        : !WIFSIGNALED(worst_) && WEXITSTATUS(status) > WEXITSTATUS(worst_);
  if (more) worst_ = status;
  const std::size_t node = node_of_[task];
  auto same = std::find_if(news_.begin(), news_.end(),
                           [&](const News& n) { return n.node == node && n.status == status; });
  if (same == news_.end()) same = news_.insert(news_.end(), News{node, status, {}});
  same->tasks.insert(task);
}

void StepExits::lost(std::size_t node, int status) {
  if (node >= layout_.ranks.size()) return;
  for (std::uint32_t rank : layout_.ranks[node])
    if (running_.contains(rank)) {
      running_.erase(rank);
      ended_.insert(rank);
      status_[rank] = status;
      if (worst_ == 0) worst_ = status;
    }
}

bool StepExits::failed(std::uint32_t task) const {
  return task < status_.size() && ended_.contains(task) && status_[task] != 0;
}

bool StepExits::signalled() const { return WIFSIGNALED(worst_); }

int StepExits::exit_code() const {
  if (decided_ > 0) return decided_;
  return std::max(least_, WIFSIGNALED(worst_) ? 128 + WTERMSIG(worst_) : WEXITSTATUS(worst_));
}

std::vector<std::string> StepExits::news() {
  std::vector<std::string> lines;
  for (const News& n : news_) {
    const std::string host =
        n.node < layout_.nodes.size() ? layout_.nodes[n.node] : "node " + std::to_string(n.node);
    lines.push_back(host + ": " + tasks_text(n.tasks) + ": " + how(n.status));
  }
  news_.clear();
  return lines;
}

std::vector<std::string> StepExits::states() const {
  IdSet running, exited, abnormal, waiting;
  running_.for_each([&](std::uint32_t task) { (begun_.contains(task) ? running : waiting).insert(task); });
  ended_.for_each([&](std::uint32_t task) { (status_[task] == 0 ? exited : abnormal).insert(task); });
  std::vector<std::string> lines;
  auto add = [&](const IdSet& tasks, const char* state) {
    if (!tasks.empty()) lines.push_back(layout_.name() + " " + tasks_text(tasks) + ": " + state);
  };
  add(waiting, "unknown");
  add(running, "running");
  add(abnormal, "exited abnormally");
  add(exited, "exited");
  return lines;
}

}  // namespace bai::cli
