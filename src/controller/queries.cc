#include "controller/queries.h"

#include "base/hostlist.h"
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
      if (auto it = view.nodes.find(node.name.view()); it != view.nodes.end())
        reply.nodes.push_back(*it->second);
    for (const auto& [name, node] : view.nodes)
      if (!view.config->find_node(name)) reply.nodes.push_back(*node);
    for (const auto& partition : view.config->partitions)
      if (auto it = view.partitions.find(partition.name.view()); it != view.partitions.end()) {
        Partition copy = *it->second;
        copy.total_cpus = 0;
        for (const auto& name : copy.nodes)
          if (auto node = view.nodes.find(name.view()); node != view.nodes.end())
            copy.total_cpus += node->second->declared.cpus;
        reply.partitions.push_back(std::move(copy));
      }
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
  for (const auto& [name, node] : view.nodes)
    if (node->drain || node->condition == NodeCondition::kDown)
      reply.overrides.emplace_back("Node " + name, node_state_long(*node) + ": " + node->reason.str());
  return reply;
}

}  // namespace bai::controller
