// What jobs wait for: other jobs' starts and ends (sbatch(1), --dependency).
#include "controller/machine.h"

namespace bai::controller {

// A job that is not there was done well, as far as Slurm's users are concerned (`lost_hold`); bai's are told.
Status Machine::check_dependencies(Dependencies& dependencies, bool lost_hold) const {
  for (auto& dependency : dependencies.list) {
    if (dependency.kind == DependencyKind::kSingleton) continue;
    const bool live = jobs_.contains(dependency.job) || arrays_.contains(dependency.job);
    if (lost_hold && !live) {
      dependency.state = DependencyState::kSatisfied;
      continue;
    }
    const std::string id = std::to_string(dependency.job);
    if (dependency.job == 0 || dependency.job > last_job_id_)
      return Error{"bad_dependency", "Job dependency problem: there is no job " + id, "--dependency",
                   "see bai-queue for the jobs there are"};
    bool needs_outcome =
        dependency.kind != DependencyKind::kAfter && dependency.kind != DependencyKind::kAfterAny;
    if (!live && needs_outcome)
      return Error{"bad_dependency", "Job dependency problem: job " + id + " ended and left the queue",
                   "--dependency",
                   "look at its outcome with bai-acct -j " + id + ", then submit without the dependency"};
  }
  return {};
}

void Machine::watch_dependencies(const Job& job) {
  for (const auto& dependency : job.spec->extras().dependencies.list) {
    if (dependency.kind == DependencyKind::kSingleton)
      singletons_.insert(job.id);
    else if (dependency.state == DependencyState::kWaiting)
      dependents_[dependency.job].insert(job.id);
  }
}

void Machine::note_delays(const Job& job) {
  for (const auto& dependency : job.spec->extras().dependencies.list) {
    if (dependency.kind != DependencyKind::kAfter || !dependency.delay_min ||
        dependency.state != DependencyState::kWaiting)
      continue;
    JobPtr target = find(dependency.job);
    if (arrays_.contains(dependency.job) || (target && target->started.is_set()))
      delayed_.insert(dependency.job);
  }
}

void Machine::unwatch_dependencies(const Job& job) {
  singletons_.erase(job.id);
  if (!job.spec->extras_or_null) return;
  for (const auto& dependency : job.spec->extras().dependencies.list) {
    auto it = dependents_.find(dependency.job);
    if (it == dependents_.end()) continue;
    it->second.erase(job.id);
    if (it->second.empty()) dependents_.erase(it);
  }
}

DependencyState Machine::evaluate_one(const Job& job, const Dependency& dependency) const {
  using K = DependencyKind;
  if (dependency.kind == K::kSingleton) {
    for (const auto& [id, entry] : jobs_) {
      const Job& other = *entry.job;
      if (other.spec->uid != job.spec->uid || !(other.spec->name == job.spec->name) ||
          is_finished(other.state))
        continue;
      bool same_array = job.array_id && other.array_id == job.array_id;
      if (id != job.id && !same_array && (is_active(other.state) || id < job.id))
        return DependencyState::kWaiting;
    }
    return DependencyState::kSatisfied;
  }
  if (dependency.state != DependencyState::kWaiting) return dependency.state;

  // The jobs behind the id: one job, one task, or all tasks of an array. With aftercorr, the task of the same number.
  std::vector<const Job*> targets;
  bool unstarted = false, unfinished = false;
  auto array = arrays_.find(dependency.job);
  std::uint32_t task =
      dependency.kind == K::kAfterCorr && array != arrays_.end() ? job.array_task : dependency.task;
  if (array != arrays_.end()) {
    JobPtr head = find(dependency.job);
    bool head_waits = head && head->array;
    // The common case first: a task of ten thousand ended, and others have not.
    if (task == kNoTask && array->second.unfinished > 0 && dependency.kind != K::kAfter)
      return DependencyState::kWaiting;
    if (task != kNoTask) {
      auto it = array->second.tasks.find(task);
      if (it != array->second.tasks.end())
        targets.push_back(find(it->second).get());
      else if (head_waits && head->array->waiting.contains(task) && is_finished(head->state))
        targets.push_back(head.get());  // cancelled before it started
      else
        unstarted = unfinished = head_waits && head->array->waiting.contains(task);
    } else {
      unstarted = unfinished = head_waits && !is_finished(head->state);
      for (auto [number, id] : array->second.tasks)
        if (JobPtr record = find(id)) targets.push_back(record.get());
      if (head && head->array && is_finished(head->state)) targets.push_back(head.get());
    }
  } else if (JobPtr one = find(dependency.job)) {
    targets.push_back(one.get());
  }
  bool all_ok = true, all_bad = true;
  for (const Job* target : targets) {
    if (!target) continue;
    unstarted = unstarted || target->state == JobState::kPending || target->state == JobState::kConfiguring;
    unfinished = unfinished || !is_finished(target->state);
    bool ok = target->state == JobState::kCompleted;
    all_ok = all_ok && ok;
    all_bad = all_bad && !ok;
    if (dependency.kind == K::kAfter && dependency.delay_min && !unstarted &&
        target->started + dependency.delay_min * 60 > now_ && target->started.is_set())
      return DependencyState::kWaiting;
  }
  switch (dependency.kind) {
    case K::kAfter:
      return unstarted ? DependencyState::kWaiting : DependencyState::kSatisfied;
    case K::kAfterAny:
      return unfinished ? DependencyState::kWaiting : DependencyState::kSatisfied;
    case K::kAfterOk:
    case K::kAfterCorr:
      if (unfinished) return DependencyState::kWaiting;
      return all_ok ? DependencyState::kSatisfied : DependencyState::kFailed;
    case K::kAfterNotOk:
      if (unfinished) return DependencyState::kWaiting;
      return all_bad ? DependencyState::kSatisfied : DependencyState::kFailed;
    default:
      return DependencyState::kSatisfied;
  }
}

bool Machine::evaluate(Job& job, bool& met) const {
  const auto& wanted = job.spec->extras().dependencies;
  met = true;
  if (wanted.list.empty()) return false;
  // aftercorr of an array's head is settled task by task, when the head's tasks are; the head itself is settled when all are.
  Dependencies current = wanted;
  int satisfied = 0, failed = 0;
  for (auto& dependency : current.list) {
    dependency.state = evaluate_one(job, dependency);
    satisfied += dependency.state == DependencyState::kSatisfied;
    failed += dependency.state == DependencyState::kFailed;
  }
  int all = static_cast<int>(current.list.size());
  met = current.any ? satisfied > 0 : satisfied == all;
  bool never = current.any ? failed == all : failed > 0;
  Reason reason = met     ? (job.reason == Reason::kDependency ? Reason::kNone : job.reason)
                  : never ? Reason::kDependencyNeverSatisfied
                          : Reason::kDependency;
  if (job.hold != Hold::kNone) reason = job.reason;
  bool changed = !(current == wanted) || reason != job.reason;
  if (!changed) return false;
  job.reason = reason;
  auto spec = std::make_shared<JobSpec>(*job.spec);
  JobExtras extras = spec->extras();
  extras.dependencies = std::move(current);
  spec->set_extras(std::move(extras));
  job.spec = std::move(spec);
  return true;
}

void Machine::reconsider_dependents(JobId id) {
  auto it = dependents_.find(id);
  if (it == dependents_.end()) return;
  std::vector<JobId> waiting(it->second.begin(), it->second.end());
  for (JobId dependent : waiting) {
    JobPtr job = find(dependent);
    if (!job || job->state != JobState::kPending) continue;
    // Tasks of an array that wait for the corresponding task leave the head one by one.
    if (job->array) {
      for (const auto& dependency : job->spec->extras().dependencies.list) {
        if (dependency.kind != DependencyKind::kAfterCorr || dependency.job != id || !arrays_.contains(id))
          continue;
        std::vector<std::uint32_t> ready;
        job->array->waiting.for_each([&](std::uint32_t task) {
          JobPtr target = task_record(id, task, false);
          if (target && is_finished(target->state)) ready.push_back(task);
        });
        for (std::uint32_t task : ready) {
          JobPtr head = find(dependent);
          if (!head->array || !head->array->waiting.contains(task)) break;
          JobPtr one = split_task(*head, task);
          watch_dependencies(*one);
          Job copy = *one;
          bool met = false;
          bool changed = evaluate(copy, met);
          jobs_[one->id].dependencies_met = met;
          if (changed)
            put_job(std::move(copy));
          else
            feed_job(jobs_[one->id]);
        }
      }
      job = find(dependent);
      if (!job || job->state != JobState::kPending || !job->array) continue;
    }
    Job copy = *job;
    bool met = false;
    bool changed = evaluate(copy, met);
    jobs_[dependent].dependencies_met = met;
    note_delays(copy);
    if (met) {
      copy.eligible = now_;
      unwatch_dependencies(*job);
      changed = true;
    } else if (copy.reason == Reason::kDependencyNeverSatisfied && job->reason != copy.reason) {
      mail(copy, kMailInvalidDepend, "Dependency never satisfied");
      if (config_->kill_invalid_depend) {
        finish(std::move(copy), JobState::kCancelled, kNeverSatisfied, 0);
        continue;
      }
    }
    if (changed) put_job(std::move(copy));
  }
}

}  // namespace bai::controller
