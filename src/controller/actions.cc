// Cancel, hold, release, requeue: who may, on what, and what follows.
#include <algorithm>
#include <unordered_set>

#include "base/hostlist.h"
#include "base/text.h"
#include "controller/machine.h"
#include "controller/select.h"

namespace bai::controller {
namespace {

wire::JobResult done(const wire::JobRef& ref, std::string note = {}) {
  return {ref, std::nullopt, std::move(note)};
}
wire::JobResult failed(const wire::JobRef& ref, std::string code, std::string message,
                       std::string remedy = {}) {
  return {ref, wire::ErrorBody{{std::move(code), std::move(message), "", std::move(remedy)}}, ""};
}

}  // namespace

void Machine::on_action(const FromCommand& command, const wire::ActionRequest& request) {
  wire::ActionReply result;
  auto refs = select(request.filter, command.caller, result.results);
  JobId last_before = last_job_id_;
  for (const auto& ref : refs) result.results.push_back(act(command.caller, ref, request));
  // The end of one job may have brought forth tasks of another array that the filter finds, too.
  if (request.action == wire::JobAction::kCancel) {
    Selector selector(request.filter, command.caller);
    for (JobId id = last_before + 1; id <= last_job_id_; ++id)
      if (JobPtr job = find(id); job && !is_finished(job->state) && selector.matches(*job))
        result.results.push_back(act(command.caller, {id, kNoTask}, request));
  }
  answer(command, std::move(result));
}

// Named jobs one by one, so that each unknown one is told; without names, every unfinished job that the filter finds.
std::vector<wire::JobRef> Machine::select(const wire::JobFilter& filter, const Caller& caller,
                                          std::vector<wire::JobResult>& unknown) const {
  std::vector<wire::JobRef> refs;
  Selector selector(filter, caller);
  wire::JobFilter rest = filter;
  rest.jobs.clear();
  Selector others(rest, caller);
  if (filter.jobs.empty()) {
    for (const auto& [id, entry] : jobs_)
      if (!is_finished(entry.job->state) && selector.matches(*entry.job)) refs.push_back({id, kNoTask});
    return refs;
  }
  std::unordered_set<JobId> whole;  // arrays: named twice, their tasks are gone through once
  for (const auto& ref : filter.jobs) {
    JobPtr job = find(ref.job);
    bool array = arrays_.contains(ref.job);
    if (!job && !array) {
      unknown.push_back(failed(ref, "no_such_job", "Invalid job id specified", "see bai-queue"));
      continue;
    }
    if (array && ref.task == kNoTask) {  // all of it: the head and every task with a record
      if (!whole.insert(ref.job).second) continue;
      if (job && job->array && others.matches(*job)) refs.push_back({ref.job, kNoTask});
      bool any_left = false;
      for (auto [task, id] : arrays_.at(ref.job).tasks) {
        JobPtr one = find(id);
        if (!one || !others.matches(*one) || is_finished(one->state)) continue;
        any_left = true;
        refs.push_back({id, kNoTask});
      }
      if (!any_left && !(job && job->array)) refs.push_back({ref.job, kNoTask});  // finished: said so
      continue;
    }
    if (array || others.matches(*job)) refs.push_back(ref);
  }
  return refs;
}

wire::JobResult Machine::act(const Caller& caller, const wire::JobRef& ref,
                             const wire::ActionRequest& request) {
  JobPtr job = ref.task == kNoTask ? find(ref.job) : nullptr;
  const bool stands =
      request.action == wire::JobAction::kSuspend || request.action == wire::JobAction::kResume;
  if (ref.task != kNoTask && stands) {  // a task that waits cannot be suspended, and stays in its array
    job = task_record(ref.job, ref.task, false);
    if (!job) job = find(ref.job);
  } else if (ref.task != kNoTask) {
    JobPtr any = task_record(ref.job, ref.task, false);
    if (!any) any = find(ref.job);
    if (any && (caller.is_operator || any->spec->uid == caller.uid))
      job = task_record(ref.job, ref.task, true);
    if (!job && any && !(caller.is_operator || any->spec->uid == caller.uid)) job = any;
  }
  if (!job && ref.task == kNoTask && arrays_.contains(ref.job) && !arrays_[ref.job].tasks.empty())
    job = find(arrays_[ref.job].tasks.begin()->second);
  if (!job) return failed(ref, "no_such_job", "Invalid job id specified", "see bai-queue");
  if (!caller.is_operator && job->spec->uid != caller.uid)
    return failed(ref, "not_permitted", "Access/permission denied",
                  "only its owner " + job->spec->user.str() + " or an operator may do that");
  if (ref.step != kNoStep && request.action == wire::JobAction::kCancel)
    return ref.step == kBatchStep ? cancel_batch(caller, ref, job, request)
                                  : cancel_step(caller, ref, job, request);
  switch (request.action) {
    case wire::JobAction::kComplete:
      return complete(ref, job, request);
    case wire::JobAction::kCancel:
      return cancel(caller, ref, job, request);
    case wire::JobAction::kHold:
      return hold(caller, ref, job, request.user_hold || !caller.is_operator);
    case wire::JobAction::kRelease:
      return release(caller, ref, job);
    case wire::JobAction::kRequeue:
      return requeue(caller, ref, job, false);
    case wire::JobAction::kRequeueHold:
      return requeue(caller, ref, job, true);
    case wire::JobAction::kSuspend:
      return suspend(caller, ref, job);
    case wire::JobAction::kResume:
      return resume(caller, ref, job);
  }
  return failed(ref, "bad_message", "unknown action");
}

// The batch script alone; with its end the job's own follows.
wire::JobResult Machine::cancel_batch(const Caller& caller, const wire::JobRef& ref, const JobPtr& job,
                                      const wire::ActionRequest& request) {
  if (is_finished(job->state) || job->state == JobState::kPending || job->spec->extras().no_batch)
    return failed(ref, "no_such_step", "Invalid job id specified", "see bai-queue --steps");
  wire::ActionRequest batch = request;
  batch.batch_only = true;
  if (batch.signal == 0) batch.signal = 9;
  return cancel(caller, ref, job, batch);
}

wire::JobResult Machine::cancel(const Caller& caller, const wire::JobRef& ref, const JobPtr& job,
                                const wire::ActionRequest& request) {
  if (is_finished(job->state) || in_epilog(job->id))
    return failed(ref, "already_finished", "Job/step already completing or completed");
  bool plain = request.signal == 0 && !request.batch_only && !request.full;
  if (job->state == JobState::kPending) {
    if (!plain && request.signal != 9)
      return failed(ref, "not_running", "the job does not run yet and cannot get a signal",
                    "cancel it without --signal");
    Job copy = *job;
    copy.ended_by_uid = caller.uid;
    copy.detail = Istr();  // why it waited stays, as in Slurm
    finish(std::move(copy), JobState::kCancelled, "cancelled by " + caller.user, caller.uid);
    return done(ref);
  }
  if (!plain && !(request.signal == 9 && !request.batch_only)) {
    auto& running = running_[job->id];
    if (auto steps = steps_.find(job->id); steps != steps_.end() && !request.batch_only)
      for (auto& [id, step] : steps->second.live) signal_step(step, request.signal ? request.signal : 15);
    if (running.node.empty() || running.stage != Stage::kRuns) return done(ref);
    NodeEntry* entry = node(running.node);
    if (!entry || !entry->conn)
      return failed(ref, "node_silent",
                    "node " + running.node.str() + " does not respond: the signal was not sent",
                    "try again when it is back");
    wire::SignalOrder order;
    order.key = {job->id, job->attempt};
    order.generation = ++signal_generation_;
    order.signal = request.signal ? request.signal : 15;
    order.batch_only = request.batch_only;
    wire::AgentOrders orders;
    orders.lineage = lineage_;
    orders.signals.push_back(order);
    out_->effects.orders.push_back({entry->conn, std::move(orders)});
    return done(ref);
  }
  Job copy = *job;
  copy.cancel_requested = true;
  copy.requeue_requested = false;
  copy.ended_by_uid = caller.uid;
  JobId id = job->id;
  if (copy.state == JobState::kCompleting)
    put_job(std::move(copy));
  else
    move(std::move(copy), JobState::kCompleting, "cancelled by " + caller.user, caller.uid);
  terminate(find(id), request.signal == 9, wire::AttemptEnd::kCancelled);
  return done(ref);
}

wire::JobResult Machine::hold(const Caller&, const wire::JobRef& ref, const JobPtr& job, bool as_user) {
  if (job->state != JobState::kPending)
    return failed(ref, "not_pending", "Job is no longer pending execution");
  if (job->hold == Hold::kAdmin && as_user) return done(ref);
  Job copy = *job;
  copy.hold = as_user ? Hold::kUser : Hold::kAdmin;
  copy.reason = as_user ? Reason::kJobHeldUser : Reason::kJobHeldAdmin;
  copy.expected_start = Time{};
  put_job(std::move(copy));
  return done(ref);
}

wire::JobResult Machine::release(const Caller& caller, const wire::JobRef& ref, const JobPtr& job) {
  if (job->state != JobState::kPending)
    return failed(ref, "not_pending", "Job is no longer pending execution");
  if (job->hold == Hold::kAdmin && !caller.is_operator)
    return failed(ref, "not_permitted", "Access/permission denied",
                  "an operator holds it; ask for its release");
  if (job->hold == Hold::kNone) return done(ref);
  Job copy = *job;
  copy.hold = Hold::kNone;
  copy.reason = Reason::kNone;
  copy.detail = Istr();
  bool met = true;
  evaluate(copy, met);
  jobs_[copy.id].dependencies_met = met;
  put_job(std::move(copy));
  return done(ref);
}

wire::JobResult Machine::requeue(const Caller& caller, const wire::JobRef& ref, const JobPtr& job,
                                 bool held) {
  if (job->state == JobState::kPending) {
    return held
               ? hold(caller, ref, job, !caller.is_operator)
               : failed(ref, "not_running", "Job is pending execution", "only a started job can be requeued");
  }
  if (job->spec->extras().no_batch)
    return failed(ref, "not_batch", "Only batch jobs are accepted or processed",
                  "an allocation is its client's, and cannot begin anew");
  if (!may_requeue(*job))
    return failed(ref, "not_requeueable", "Requested operation is disabled for this job (--no-requeue)");
  if (is_finished(job->state)) {
    Job copy = *job;
    back_to_queue(std::move(copy), "requeued by " + caller.user, JobState::kRequeued, caller.uid,
                  held ? Hold::kUser : Hold::kNone);
    return done(ref);
  }
  const bool again = job->requeue_requested && is_leaving(*job);
  Job copy = *job;
  copy.requeue_requested = true;
  copy.ended_by_uid = caller.uid;
  held = held || job->state == JobState::kSuspended;  // as in Slurm
  copy.hold = held ? (caller.is_operator ? Hold::kAdmin : Hold::kUser) : Hold::kNone;
  if (again)
    put_job(std::move(copy));
  else
    take_off(std::move(copy), wire::AttemptEnd::kCancelled, "requeued by " + caller.user, caller.uid);
  return done(ref);
}

}  // namespace bai::controller
