#include "controller/queries.h"

#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "controller/select.h"

namespace bai::controller {

std::string_view batch_host(const Job& job) {
  return job.allocation && !job.allocation->nodes.empty() ? job.allocation->nodes[0].node.view()
                                                          : std::string_view();
}

void answer_queue(const View& view, const Caller& caller, const wire::QueueRequest& request, Time now,
                  std::vector<std::string> unknown_users, const SendReply& send) {
  Selector selector(request.filter, caller);
  bool unfinished_only = request.filter.states.empty() && !request.finished_too;
  wire::JobTableBuilder rows;
  wire::JobsReply reply;
  reply.lsn = view.lineage.lsn;
  reply.now = now;
  reply.stale = view.stale;
  bool gone = false;
  auto add = [&](const JobCell& cell) {
    if (unfinished_only && is_finished(cell.job->state)) return true;
    if (!selector.matches(*cell.job)) return true;
    rows.add(*cell.job, cell.time_limit, batch_host(*cell.job));
    if (rows.size() < kRowsPerFrame) return true;
    reply.more = true;
    reply.table = rows.take();
    gone = !send(reply);
    return !gone;
  };
  // A few plain ids are looked up; anything else is a walk.
  bool plain = !request.filter.jobs.empty() && request.filter.jobs.size() <= 64;
  for (const auto& ref : request.filter.jobs) {
    const JobCell* cell = plain ? view.find(ref.job) : nullptr;
    plain = plain && ref.task == kNoTask && cell && cell->job->array_id == 0;
  }
  if (plain) {
    for (const auto& ref : request.filter.jobs)
      if (!add(*view.find(ref.job))) return;
  } else {
    view.for_each(add);
  }
  if (gone) return;
  reply.more = false;
  reply.unknown_users = std::move(unknown_users);
  reply.table = rows.take();
  send(std::move(reply));
}

wire::ClusterReply answer_cluster(const View& view, Time now) {
  wire::ClusterReply reply;
  reply.now = now;
  reply.stale = view.stale;
  if (view.config) {
    for (const auto& node : view.config->nodes)
      if (auto known = view.nodes.find(node.name.view())) reply.nodes.push_back(*known);
    view.nodes.for_each([&](const Node& node) {
      if (!view.config->find_node(node.name.view())) reply.nodes.push_back(node);
    });
    const auto add = [&](const Partition& partition) {
      Partition copy = partition;
      copy.total_cpus = 0;
      for (const auto& name : copy.nodes)
        if (auto node = view.nodes.find(name.view())) copy.total_cpus += node->declared.cpus;
      reply.partitions.push_back(std::move(copy));
    };
    for (const auto& partition : view.config->partitions)
      if (auto it = view.partitions.find(partition.name.view()); it != view.partitions.end())
        add(*it->second);
    for (const auto& [name, partition] : view.partitions)  // made at run time
      if (!view.config->find_partition(name)) add(*partition);
  }
  return reply;
}

wire::ConfigReply answer_config(const View& view, Time now) {
  wire::ConfigReply reply;
  reply.now = now;
  if (view.config) reply.values = describe(*view.config);
  for (const auto& [name, partition] : view.partitions)
    if (partition->overridden)
      reply.overrides.emplace_back("Partition " + name,
                                   "changed by update; see bai-control show partition " + name);
  view.nodes.for_each([&](const Node& node) {
    if (node.drain || node.condition == NodeCondition::kDown)
      reply.overrides.emplace_back("Node " + node.name.str(),
                                   node_state_long(node) + ": " + node.reason.str());
  });
  return reply;
}

Result<WhyAnswer> begin_why(const View& view, wire::JobRef ref, Time now) {
  const JobCell* cell = view.find(ref.job);
  // A task that has no record of its own yet waits with its head.
  if (ref.task != kNoTask)
    view.for_each([&](const JobCell& other) {
      if (other.job->array_id != ref.job || other.job->array_task != ref.task) return true;
      cell = &other;
      return false;
    });
  if (!cell) return Error{"no_such_job", "Invalid job id specified", "", "see bai-queue"};
  WhyAnswer answer;
  wire::JobTableBuilder rows;
  rows.add(*cell->job, cell->time_limit, batch_host(*cell->job));
  answer.reply.now = now;
  answer.reply.table = rows.take();
  if (!is_finished(cell->job->state) && !is_active(cell->job->state)) answer.job = cell->job->id;
  return answer;
}

Result<DrainPlanAnswer> begin_drain_plan(const View& view, const wire::DrainPlanRequest& request, Time now) {
  DrainPlanAnswer answer;
  answer.reply.now = now;
  for (const auto& list : request.nodes) {
    auto names = expand_hostlist(list);
    if (!names) return names.error();
    for (const auto& name : *names) {
      if (!view.nodes.find(name))
        return Error{"no_such_node", "there is no node " + quote(name), "", "see bai-info --Node"};
      answer.nodes.emplace_back(name);
    }
  }
  view.for_each([&](const JobCell& cell) {
    const auto& job = *cell.job;
    if (!is_active(job.state) || !job.allocation) return true;
    const auto& held = job.allocation->nodes;
    if (std::any_of(held.begin(), held.end(), [&](const auto& share) {
          return std::find(answer.nodes.begin(), answer.nodes.end(), share.node) != answer.nodes.end();
        }))
      answer.reply.running.push_back(job.id);
    return true;
  });
  return answer;
}

}  // namespace bai::controller
