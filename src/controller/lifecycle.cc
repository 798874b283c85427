// Starts and ends of jobs, and the tasks of arrays.
#include <algorithm>

#include "base/crash_point.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/cpu_choice.h"
#include "controller/machine.h"

namespace bai::controller {

void Machine::on_decided(const Decided& decided) {
  for (const auto& decision : decided.decisions.starts)
    if (start(decision) && decision.late) estimates_.add(*decision.late);
  for (auto& put : estimates_.take()) change(std::move(put));
  for (const auto& waiting : decided.decisions.waiting) {
    auto it = jobs_.find(waiting.job);
    if (it == jobs_.end() || it->second.job->state != JobState::kPending) continue;
    const Job& job = *it->second.job;
    Reason reason = waiting.reason;
    // The scheduler knows only that dependencies hold; which way is known here.
    if (reason == Reason::kDependency && job.reason == Reason::kDependencyNeverSatisfied) reason = job.reason;
    if (job.reason == reason && job.detail == waiting.detail && job.expected_start == waiting.expected_start)
      continue;
    Job copy = job;
    copy.reason = reason;
    copy.detail = waiting.detail;
    copy.expected_start = waiting.expected_start;
    put_volatile(std::move(copy));
  }
}

// The plan says how many; which processors of each node is decided now.
std::shared_ptr<const Allocation> Machine::with_cpus(Allocation allocation) {
  for (auto& share : allocation.nodes)
    if (const NodeEntry* entry = node(share.node)) {
      const Node& n = *entry->node;
      IdSet near;
      if (!share.devices.empty())
        near = device_sockets(with_findings(n.declared.devices, n.devices), share.devices);
      share.cpu_ids = Istr(choose_cpus(n.declared, entry->cpus_taken, share.cpus, near).format());
    }
  return std::make_shared<const Allocation>(std::move(allocation));
}

// Checks a decision against the truth of now; a void one is told to the scheduler, which planned with it.
bool Machine::start(const sokovan::Start& start) {
  auto it = jobs_.find(start.job);
  if (it == jobs_.end()) {
    tell(sokovan::JobGone{start.job});
    return false;
  }
  JobPtr job = it->second.job;
  bool good = trouble_.empty() && job->state == JobState::kPending && job->hold == Hold::kNone &&
              it->second.dependencies_met && start.allocation && !start.allocation->nodes.empty() &&
              (!job->array || job->array->waiting.contains(start.task));
  if (good) {
    for (const auto& share : start.allocation->nodes) {
      NodeEntry* entry = node(share.node);
      good = good && entry && entry->registered && entry->conn && !entry->node->drain &&
             entry->node->condition == NodeCondition::kUp && entry->node->responding &&
             entry->stale.empty() &&
             sokovan::fit(entry->room, share,
                          {job->spec->request.exclusive, job->spec->request.exclusive_user, job->spec->uid});
    }
  }
  if (!good) {
    feed_job(it->second);
    return false;
  }
  if (job->array) job = split_task(*job, start.task);
  Job copy = *job;
  copy.allocation = with_cpus(*start.allocation);
  copy.attempt++;
  copy.started = now_;
  copy.ended = Time{};
  copy.reason = Reason::kNone;
  copy.detail = Istr();
  copy.expected_start = Time{};
  copy.exit = {};
  copy.usage = nullptr;
  copy.interruptions = nullptr;
  JobId id = copy.id;
  deadlines_.erase({copy.spec->extras().deadline, id});
  unwatch_dependencies(copy);
  auto& running = running_[id];
  running = Running{};
  running.node = start.allocation->nodes[0].node;
  occupy(copy);
  if (!config_->prolog_ctld.empty()) copy.detail = kPrologRuns;
  move(std::move(copy), JobState::kConfiguring, "scheduler", 0);
  begin_start(id);
  return true;
}

JobPtr Machine::split_task(const Job& head, std::uint32_t task) {
  Job task_job = head;
  task_job.array = nullptr;
  task_job.array_task = task;
  task_job.expected_start = Time{};
  auto& array = arrays_[head.array_id];
  bool met = jobs_[head.id].dependencies_met;
  if (!met) evaluate(task_job, met);       // with aftercorr, a task waits for less than its head
  if (head.array->waiting.count() == 1) {  // the last one takes the head's record and id
    array.tasks[task] = head.id;
    jobs_[head.id].dependencies_met = met;
    put_job(std::move(task_job));
    return find(head.id);
  }
  Job rest = head;
  auto shrunk = std::make_shared<ArrayHead>(*head.array);
  shrunk->waiting.erase(task);
  rest.array = std::move(shrunk);
  put_job(std::move(rest));
  task_job.id = ++last_job_id_;
  JobId id = task_job.id;
  array.tasks[task] = id;
  jobs_[id].dependencies_met = met;
  if (!met) watch_dependencies(task_job);
  put_job(std::move(task_job));
  return find(id);
}

JobPtr Machine::task_record(JobId array_id, std::uint32_t task, bool split) {
  auto array = arrays_.find(array_id);
  if (array == arrays_.end()) return nullptr;
  if (auto it = array->second.tasks.find(task); it != array->second.tasks.end()) return find(it->second);
  JobPtr head = find(array_id);
  if (!split || !head || !head->array || !head->array->waiting.contains(task)) return nullptr;
  return split_task(*head, task);
}

void Machine::send_launch(const Job& job, Running& running) {
  running.sent_ms = mono_ms_;
  running.sends++;
  NodeEntry* entry = node(running.node);
  if (!entry || !entry->conn) return;
  out_->effects.launches.push_back({entry->conn,
                                    {job.id, job.attempt},
                                    find(job.id),
                                    job.array_id ? job.array_id : job.id,
                                    time_limit_in_force(job)});
}

void Machine::send_termination(const Job& job, Running& running) {
  running.sent_ms = mono_ms_;
  running.sends++;
  NodeEntry* entry = node(running.node);
  if (!entry || !entry->conn) return;
  wire::SignalOrder order;
  order.key = {job.id, job.attempt};
  order.generation = running.generation;
  order.now = running.kill_now;
  order.as = running.as;
  put_notice(job, true, order);
  wire::AgentOrders orders;
  orders.lineage = lineage_;
  orders.signals.push_back(order);
  out_->effects.orders.push_back({entry->conn, std::move(orders)});
}

void Machine::terminate(const JobPtr& job, bool kill_now, wire::AttemptEnd as) {
  auto it = running_.find(job->id);
  if (it == running_.end()) return;
  it->second.terminating = true;
  it->second.kill_now = kill_now;
  it->second.as = as;
  it->second.generation = ++signal_generation_;
  it->second.sends = 0;
  if (it->second.stage != Stage::kRuns) return;  // its prologs end first; its epilogs are its end
  if (it->second.node.empty()) {
    if (is_leaving(*job)) return terminate_steps(*job, kill_now, as);
    return end_allocation(job->id, kill_now, as, {});
  }
  send_termination(*job, it->second);
  terminate_steps(*job, kill_now, as);
}

void Machine::attempt_running(const JobPtr& job, const wire::AttemptReport& report) {
  auto& running = running_[job->id];
  if (report.phase ==
      wire::AttemptPhase::kPreparing) {  // the agent answers, so the session is well: asked again in time
    running.sends = 1;
    if (job->detail.view() == report.message) return;
    Job copy = *job;
    copy.detail = report.message;
    return put_volatile(std::move(copy));
  }
  running.acknowledged = true;
  running.sends = std::min(running.sends, 1);  // the agent answers
  running.standing.done = std::max(running.standing.done, report.suspend_generation);
  if (running.stage < Stage::kRuns) running.stage = Stage::kRuns;  // launched by an earlier controller
  if (report.phase == wire::AttemptPhase::kRunning && job->state == JobState::kConfiguring) {
    Job copy = *job;
    if (report.started.is_set()) copy.started = std::max(copy.started, std::min(report.started, now_));
    copy.detail = Istr();
    mail(copy, kMailBegin, "Began");
    move(std::move(copy), JobState::kRunning, "started on " + running.node.str(), 0);
    reconsider_dependents(job->id);
    if (job->array_id) reconsider_dependents(job->array_id);
    tell_holders(*job);
  }
}

bool Machine::may_requeue(const Job& job) const {
  if (job.spec->requeue == Requeue::kDefault) return config_->job_requeue;
  return job.spec->requeue == Requeue::kYes;
}

bool Machine::attempt_ended(const JobPtr& ending, const wire::AttemptReport& report) {
  using End = wire::AttemptEnd;
  crash_point("ctld.end_received");
  JobPtr job = ending;
  if (report.end == End::kPrologFailed) {  // the prolog's own report may have been lost
    if (NodeEntry* entry = node(running_[job->id].node)) {
      drain(*entry, "Prolog error");
      prolog_failed(entry, job, "");
    }
    job = find(job->id);
  }
  if (has_live_steps(job->id)) {  // its agent repeats the end, so that it need not be kept here
    auto& running = running_[job->id];
    if (running.ended) return false;
    running.ended = report;
    if (job->state == JobState::kRunning || job->state == JobState::kSuspended) {
      Job copy = *job;
      move(std::move(copy), JobState::kCompleting, "its steps are being ended", 0);
    }
    terminate_steps(*find(job->id), false, End::kCancelled);
    return false;
  }
  if (begin_epilogs(job, report)) return false;
  end_attempt(job, report);
  return true;
}

void Machine::end_attempt(const JobPtr& job, const wire::AttemptReport& report) {
  using End = wire::AttemptEnd;
  Job copy = *job;
  copy.exit = report.exit;
  copy.usage = std::make_shared<const Usage>(report.usage);
  copy.ended =
      report.ended.is_set() && report.ended <= now_ && report.ended >= copy.started ? report.ended : now_;
  copy.detail = report.message;
  if (copy.state == JobState::kConfiguring && report.started.is_set() && report.end != End::kLaunchFailed)
    copy.started = std::max(copy.started, std::min(report.started, now_));

  const std::uint32_t by = copy.ended_by_uid;
  if (copy.requeue_requested && !copy.cancel_requested) {
    const Hold hold = copy.hold;
    if (copy.reason == Reason::kPreempted)
      return back_to_queue(std::move(copy), "preempted", JobState::kPreempted, by, hold);
    const bool down = copy.reason == Reason::kNodeDown;
    if (hold == Hold::kAdmin && !job->detail.empty()) copy.detail = job->detail;  // why it is held
    return back_to_queue(std::move(copy), down ? "its node was set down" : "requeued",
                         down ? JobState::kNodeFail : JobState::kRequeued, by, hold);
  }
  if (copy.cancel_requested && copy.reason == Reason::kPreempted)
    return finish(std::move(copy), JobState::kPreempted, "preempted", by);
  if (copy.cancel_requested) {
    const bool down = copy.reason == Reason::kNodeDown;
    if (copy.reason == Reason::kJobLaunchFailure) {
      copy.detail = job->detail;
      if (copy.exit.text() == "0:0") copy.exit.code = 1;
      return finish(std::move(copy), JobState::kFailed, "launch failed", by);
    }
    if (!down) copy.reason = Reason::kNone;
    return finish(std::move(copy), down ? JobState::kNodeFail : JobState::kCancelled,
                  down ? "its node was set down" : "cancelled", by);
  }
  auto end = [&](JobState state, Reason reason, std::string_view cause) {
    copy.reason = reason;
    finish(std::move(copy), state, cause, 0);
  };
  switch (report.end) {
    case End::kExited:
      if (report.exit.code == 0) return end(JobState::kCompleted, Reason::kNone, "exit 0:0");
      return end(JobState::kFailed, Reason::kNonZeroExitCode, "exit " + report.exit.text());
    case End::kSignalled:
      return end(JobState::kFailed, Reason::kRaisedSignal, "exit " + report.exit.text());
    case End::kTimeout:
      return end(JobState::kTimeout, Reason::kTimeLimit, "time limit");
    case End::kDeadline:
      return end(JobState::kDeadline, Reason::kDeadline, "deadline");
    case End::kCancelled:
      return end(JobState::kCancelled, Reason::kNone, "cancelled");
    case End::kPreempted:
      return end(JobState::kPreempted, Reason::kPreempted, "preempted");
    case End::kLaunchFailed:
    case End::kPrologFailed:
      return end(JobState::kFailed, Reason::kJobLaunchFailure, "launch failed");
    case End::kShepherdLost:
      return end(JobState::kFailed, Reason::kSystemFailure, "bai-stepd was lost");
    case End::kOutOfMemory:
      return end(JobState::kOutOfMemory, Reason::kOutOfMemory, "out of memory");
    case End::kNodeRebooted:
      note_failed_node(copy, job->allocation->nodes[0].node);
      if (may_requeue(copy))
        return back_to_queue(std::move(copy), "its node was rebooted", JobState::kNodeFail, 0, Hold::kNone);
      return end(JobState::kNodeFail, Reason::kNodeDown, "its node was rebooted");
    case End::kNeverStarted:
      if (copy.state != JobState::kConfiguring && !may_requeue(copy)) {
        copy.detail = "its node has no trace of it";
        return end(JobState::kNodeFail, Reason::kNodeDown, "its node has no trace of it");
      }
      note_failed_node(copy, job->allocation->nodes[0].node);
      return back_to_queue(std::move(copy), "it never started", JobState::kNodeFail, 0, Hold::kNone);
  }
}

void Machine::occupy(const Job& job) {
  for (const auto& share : job.allocation->nodes) {
    NodeEntry* entry = node(share.node);
    if (!entry) continue;
    entry->jobs.insert(job.id);
    auto& n = *entry->node;
    n.cpus_used += share.cpus;
    n.mem_used_mib += share.mem_mib;
    add_cpus(entry->cpus_taken, share.cpu_ids.view());
    entry->devices_used.insert(entry->devices_used.end(), share.devices.begin(), share.devices.end());
    n.jobs++;
    n.exclusive_use = n.exclusive_use || job.spec->request.exclusive;
    entry->tenants.add(job.spec->uid, job.spec->request.exclusive_user);
    node_changed(*entry);
  }
}

void Machine::vacate(const Job& job) {
  for (const auto& share : job.allocation->nodes) {
    NodeEntry* entry = node(share.node);
    if (!entry || !entry->jobs.erase(job.id)) continue;
    auto& n = *entry->node;
    n.cpus_used -= share.cpus;
    n.mem_used_mib -= share.mem_mib;
    remove_cpus(entry->cpus_taken, share.cpu_ids.view());
    for (const auto& device : share.devices) {
      auto it = std::find(entry->devices_used.begin(), entry->devices_used.end(), device);
      if (it != entry->devices_used.end()) entry->devices_used.erase(it);
    }
    n.jobs--;
    if (n.jobs == 0) n.last_busy = now_;
    if (job.spec->request.exclusive) n.exclusive_use = false;
    entry->tenants.remove(job.spec->uid, job.spec->request.exclusive_user);
    node_changed(*entry);
  }
}

// The one way into an end state.
void Machine::finish(Job job, JobState state, std::string_view cause, std::uint32_t actor) {
  JobId id = job.id;
  bool was_active = is_active(job.state);
  if (job.state == JobState::kSuspended) end_standstill(job);
  if (!was_active) {
    deadlines_.erase({job.spec->extras().deadline, id});
    unwatch_dependencies(job);
    job.ended = now_;
    if (job.attempt) ++job.attempt;  // accounting keeps the row of the attempt that ran before
    if (!job.started.is_set()) job.started = Time{};
  }
  if (was_active) {
    forget_hooks(job);
    abandon_steps(job, cause);
    vacate(job);
    running_.erase(id);
  }
  leases_.erase(id);
  std::uint64_t ended_tasks = job.array ? job.array->waiting.count() : 1;
  if (!job.ended.is_set()) job.ended = now_;
  job.requeue_requested = false;
  if (job.hold != Hold::kNone) job.hold = Hold::kNone;
  Time ended = job.ended;
  JobId array_id = job.array_id;
  move(std::move(job), state, cause, actor);
  JobPtr record = find(id);
  change(store::JobEnded{record, record->allocation ? record->allocation->nodes[0].node.str() : ""});
  finished_.insert({ended, id});
  if (state == JobState::kCompleted)
    mail(*record, kMailEnd, "Ended, COMPLETED, ExitCode 0");
  else if (state == JobState::kTimeout)
    mail(*record, kMailTimeLimit | kMailFail, "Failed, TIMEOUT");
  else
    mail(*record, kMailFail,
         "Failed, " + std::string(name(state)) + ", ExitCode " + std::to_string(record->exit.code));
  if (array_id) {
    auto& array = arrays_[array_id];
    array.unfinished -= std::min(array.unfinished, ended_tasks);
    reconsider_dependents(array_id);
    release_waiters(array_id);
  }
  reconsider_dependents(id);
  release_waiters(id);
  tell_holders(*record);
  // The next of the same name and user may go.
  for (auto it = singletons_.begin(); it != singletons_.end();) {
    JobId waiting = *it++;
    JobPtr other = find(waiting);
    if (other && other->spec->uid == record->spec->uid && other->spec->name == record->spec->name) {
      Job copy = *other;
      bool met = false;
      bool changed = evaluate(copy, met);
      jobs_[waiting].dependencies_met = met;
      if (changed)
        put_job(std::move(copy));
      else
        feed_job(jobs_[waiting]);
    }
  }
}

// The scheduler gives the job other nodes while others can do; the last few count.
void Machine::note_failed_node(Job& job, const Istr& node) {
  std::vector<std::string> names;
  for (auto name : split_list(job.failed_nodes))
    if (name != node.view()) names.emplace_back(name);
  names.push_back(node.str());
  if (names.size() > 8) names.erase(names.begin());
  job.failed_nodes = join(names, ",");
}

void Machine::back_to_queue(Job job, std::string_view cause, JobState attempt_ends, std::uint32_t actor,
                            Hold hold) {
  if (is_active(job.state)) {
    forget_hooks(job);
    auto attempt = std::make_shared<Job>(job);  // accounting keeps a row for the attempt that ended
    if (job.state == JobState::kSuspended) end_standstill(*attempt);
    attempt->state = attempt_ends;
    abandon_steps(job, cause);
    vacate(job);
    running_.erase(job.id);
    if (!attempt->ended.is_set()) attempt->ended = now_;
    change(store::JobEnded{attempt, job.allocation->nodes[0].node.str()});
  } else if (is_finished(job.state)) {
    finished_.erase({job.ended, job.id});
    if (job.array_id) arrays_[job.array_id].unfinished++;
  }
  job.requeue_requested = false;
  job.cancel_requested = false;
  job.restarts = static_cast<std::uint8_t>(std::min<int>(job.restarts + 1, 255));
  job.hold = hold;
  job.reason = hold == Hold::kUser    ? Reason::kJobHeldUser
               : hold == Hold::kAdmin ? Reason::kJobHeldAdmin
                                      : Reason::kNone;
  if (attempt_ends == JobState::kNodeFail && job.restarts > config_->max_job_requeue) {
    job.hold = Hold::kAdmin;
    job.reason = Reason::kJobHoldMaxRequeue;
    job.detail = "requeued by the system more than MaxJobRequeue times";
  }
  job.allocation = nullptr;
  job.usage = nullptr;
  job.interruptions = nullptr;
  job.exit = {};
  job.started = Time{};
  job.ended = Time{};
  job.eligible = now_;
  JobId id = job.id;
  mail(job, kMailRequeue, "Requeued");
  // Those that held once are recorded so; a job that was cancelled before waits again.
  watch_dependencies(job);
  bool met = true;
  evaluate(job, met);
  note_delays(job);
  jobs_[id].dependencies_met = met;
  move(std::move(job), JobState::kPending, cause, actor);
  JobPtr record = find(id);
  if (record->spec->extras().deadline.is_set()) deadlines_.insert({record->spec->extras().deadline, id});
}

}  // namespace bai::controller
