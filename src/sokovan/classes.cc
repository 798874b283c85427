// Classes of equal requests.
#include <algorithm>

#include "base/archive.h"
#include "base/text.h"
#include "sokovan/impl.h"

namespace bai::sokovan {

// Whether jobs of different users that ask the same are different to one of these partitions.
bool Scheduler::Impl::users_matter(std::string_view partitions) const {
  auto matters = [](const Queue& q) {
    return q.partition && (q.rules.predict || q.rules.planned_by_user || q.partition->exclusive_user);
  };
  const auto names = split_list(partitions);
  if (names.empty()) return std::any_of(queues.begin(), queues.end(), matters);
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    auto it = queue_index.find(std::string(name));
    return it != queue_index.end() && matters(queues[it->second]);
  });
}

std::string Scheduler::Impl::class_key(const Job& job, bool any_switches) const {
  const auto& spec = *job.spec;
  const auto& r = spec.request;
  std::string key;
  for (auto text : {spec.partition.view(), r.nodes_wanted.view(), r.nodes_excluded.view(),
                    r.constraint.view(), r.licenses.view(), job.failed_nodes.view()}) {
    key += text;
    key += '\0';
  }
  const std::uint64_t numbers[] = {
      r.min_nodes,
      r.max_nodes,
      r.tasks,
      r.cpus_per_task,
      r.tasks_per_node,
      r.mem_per_node_mib,
      r.mem_per_cpu_mib,
      std::uint64_t{r.exclusive} + 2 * std::uint64_t{any_switches} + 4 * std::uint64_t{r.exclusive_user},
      static_cast<std::uint64_t>(spec.time_limit),
      r.exclusive_user || users_matter(spec.partition) ? spec.uid + std::uint64_t{1} : 0};
  key.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  if (r.extras_or_null) {
    OutArchive archive(key);
    archive(*r.extras_or_null);
  }
  return key;
}

JobClass Scheduler::Impl::make_class(const Job& job, bool any_switches) const {
  JobClass c;
  c.spec = job.spec;
  c.failed_nodes = job.failed_nodes;
  c.any_switches = any_switches;
  for (auto name : split_list(job.spec->partition)) c.partitions.emplace_back(name);
  if (auto parsed = parse_licenses(job.spec->request.licenses))
    c.licenses = *std::move(parsed);
  else
    c.bad_licenses = true;
  return c;
}

// Counts one more job in.
std::uint32_t Scheduler::Impl::class_of(const Job& job, bool any_switches) {
  auto key = class_key(job, any_switches);
  auto [it, is_new] = class_index.try_emplace(key, 0);
  if (is_new) {
    if (free_classes.empty()) {
      it->second = static_cast<std::uint32_t>(classes.size());
      classes.emplace_back();
    } else {
      it->second = free_classes.back();
      free_classes.pop_back();
    }
    classes[it->second] = std::make_unique<JobClass>(make_class(job, any_switches));
    classes[it->second]->key = std::move(key);
  }
  ++classes[it->second]->jobs;
  return it->second;
}

void Scheduler::Impl::leave_class(std::uint32_t job_class) {
  auto& slot = classes[job_class];
  if (--slot->jobs != 0) return;
  class_index.erase(slot->key);
  slot.reset();
  free_classes.push_back(job_class);
}

void Scheduler::Impl::reclass() {
  ++class_epoch;
  std::vector<JobId> ids;
  for (const auto& c : classes)
    if (c)
      for (const auto& key : c->queue) ids.push_back(key.id);
  // Those that wait for something else find their class when it has come: only queues are told apart here.
  for (auto id : ids) {
    auto& entry = jobs.at(id);
    const auto& job = *entry.job;
    const auto joined = class_of(job, entry.any_switches);
    classes[entry.job_class]->queue.erase(key_of(entry));
    leave_class(entry.job_class);
    entry.job_class = joined;
    entry.class_epoch = class_epoch;
    set_due(entry);
    classes[joined]->queue.insert(key_of(entry));
  }
  plan_anew();
}

std::vector<std::uint32_t> Scheduler::Impl::queues_of(const JobClass& c) const {
  std::vector<std::uint32_t> out;
  for (const auto& name : c.partitions)
    if (auto it = queue_index.find(name); it != queue_index.end() && queues[it->second].partition)
      out.push_back(it->second);
  if (c.partitions.empty())
    for (std::uint32_t i = 0; i < queues.size(); ++i)
      if (queues[i].partition && queues[i].partition->is_default) out.push_back(i);
  return out;
}

std::uint32_t Scheduler::Impl::arena_of(Queue& q) {
  if (q.arena_as_of != nodes.arena_generation()) {
    q.arena = nodes.arena(q.partition->nodes);
    q.arena_as_of = nodes.arena_generation();
  }
  return q.arena;
}

void Scheduler::Impl::refresh(JobClass& c) {
  if (c.generation == generation) return;
  c.generation = generation;
  c.tier = 0;
  c.options.clear();
  for (auto queue : queues_of(c)) {
    add_options(c, queue, true, c.options);
    c.tier = std::max(c.tier, queues[queue].partition->priority_tier);
  }
  c.has_fallbacks =
      std::any_of(c.options.begin(), c.options.end(), [](const Option& o) { return o.fallback; });
}

}  // namespace bai::sokovan
