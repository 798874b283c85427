// Jobs that are interrupted: suspended and resumed, or taken off their nodes after a notice.
#include <algorithm>

#include "base/log.h"
#include "controller/machine.h"

namespace bai::controller {
namespace {

wire::JobResult failed(const wire::JobRef& ref, std::string code, std::string message,
                       std::string remedy = {}) {
  return {ref, wire::ErrorBody{{std::move(code), std::move(message), "", std::move(remedy)}}, ""};
}

Interruptions interruptions_of(const Job& job) {
  return job.interruptions ? *job.interruptions : Interruptions{};
}

// Why neither a suspend nor a resume can be; nothing when it may.
std::optional<wire::JobResult> refused(const Caller& caller, const wire::JobRef& ref, const Job& job) {
  if (!caller.is_operator)
    return failed(ref, "not_permitted", "Access/permission denied",
                  "only an operator suspends and resumes jobs; to keep a waiting one from starting, hold it");
  if (job.state == JobState::kPending)
    return failed(ref, "not_running", "Job is pending execution", "hold it instead");
  if (is_finished(job.state) || job.state == JobState::kCompleting || is_leaving(job))
    return failed(ref, "already_finished", "Job/step already completing or completed");
  return std::nullopt;
}

}  // namespace

bool is_leaving(const Job& job) {
  return (job.state == JobState::kRunning || job.state == JobState::kConfiguring) && job.interruptions &&
         job.interruptions->grace_until.is_set();
}

// Its nodes keep all that the job holds: its memory is there anyway, and nobody else may have its processors when it goes on.
wire::JobResult Machine::suspend(const Caller& caller, const wire::JobRef& ref, const JobPtr& job) {
  if (auto no = refused(caller, ref, *job)) return *no;
  if (job->state == JobState::kConfiguring)
    return failed(ref, "in_transition", "Job can not be altered now, try again later", "wait until it runs");
  if (job->state == JobState::kSuspended) return failed(ref, "not_running", "Job is not running");
  Job copy = *job;
  auto interruptions = interruptions_of(copy);
  interruptions.generation = ++signal_generation_;
  interruptions.changed = now_;
  copy.interruptions = std::make_shared<const Interruptions>(interruptions);
  move(std::move(copy), JobState::kSuspended, "suspended by " + caller.user, caller.uid);
  send_standing(job->id, true);
  return {ref, std::nullopt, ""};
}

wire::JobResult Machine::resume(const Caller& caller, const wire::JobRef& ref, const JobPtr& job) {
  if (auto no = refused(caller, ref, *job)) return *no;
  if (job->state != JobState::kSuspended) return failed(ref, "not_suspended", "Job is not suspended");
  Job copy = *job;
  end_standstill(copy);
  auto interruptions = interruptions_of(copy);
  interruptions.changed = now_;
  interruptions.generation = ++signal_generation_;
  copy.interruptions = std::make_shared<const Interruptions>(interruptions);
  move(std::move(copy), JobState::kRunning, "resumed by " + caller.user, caller.uid);
  send_standing(job->id, true);
  try_waiting_steps(job->id);
  return {ref, std::nullopt, ""};
}

// The time that it stood still is counted, for the job and for its steps, before it leaves that state for whatever reason. Once is enough.
void Machine::end_standstill(Job& job) {
  auto interruptions = interruptions_of(job);
  const std::int64_t stood_us = std::max<std::int64_t>(0, now_.us - interruptions.changed.us);
  if (stood_us == 0) return;
  interruptions.suspended_us += stood_us;
  interruptions.changed = now_;
  job.interruptions = std::make_shared<const Interruptions>(interruptions);
  auto steps = steps_.find(job.id);
  if (steps == steps_.end()) return;
  for (auto& [id, entry] : steps->second.live) {
    Step step = *entry.step;
    step.suspended_us += stood_us;
    entry.step = std::make_shared<const Step>(std::move(step));
    change(store::StepPut{entry.step});
  }
}

// What the job's record wants goes to those nodes that have not said that it is so; again when they were long silent, or with `now`.
void Machine::send_standing(JobId id, bool now) {
  JobPtr job = find(id);
  auto running = running_.find(id);
  const std::uint64_t wanted = job && job->interruptions ? job->interruptions->generation : 0;
  if (running == running_.end() || wanted == 0 ||
      (job->state != JobState::kRunning && job->state != JobState::kSuspended)) {
    unsettled_.erase(id);
    return;
  }
  bool settled = true;
  auto send = [&](const Istr& name, const wire::AttemptKey& key, Standing& standing) {
    if (standing.done >= wanted) return;
    settled = false;
    if (!now && mono_ms_ - standing.sent_ms < kResendMs) return;
    NodeEntry* at = node(name);
    if (!at || !at->conn) return;
    standing.sent_ms = mono_ms_;
    wire::AgentOrders orders;
    orders.lineage = lineage_;
    orders.suspends.push_back({key, wanted, job->state == JobState::kSuspended});
    out_->effects.orders.push_back({at->conn, std::move(orders)});
  };
  if (!running->second.node.empty() && !running->second.ended)
    send(running->second.node, {id, job->attempt}, running->second.standing);
  if (auto steps = steps_.find(id); steps != steps_.end())
    for (auto& [number, entry] : steps->second.live)
      for (auto& run : entry.nodes)
        if (!run.ended) send(run.node, {id, entry.step->attempt, number}, run.standing);
  if (settled)
    unsettled_.erase(id);
  else
    unsettled_.insert(id);
}

void Machine::resend_standing() {
  for (auto it = unsettled_.begin(); it != unsettled_.end();) send_standing(*it++, false);
}

// A running job, or one whose nodes may have begun to run it, is to leave them: somebody requeued it, or it is preempted (`as` kPreempted; its reason, too). `copy` says what becomes of
// it then: requeue_requested or cancel_requested. With GraceTime of its partition it gets its warning at once, and stays so long.
void Machine::take_off(Job copy, wire::AttemptEnd as, std::string_view cause, std::uint32_t actor) {
  const JobId id = copy.id;
  const Partition* partition = partition_of(copy);
  const Seconds grace = partition ? partition->grace_time : 0;
  const auto run = running_.find(id);
  const bool in_hooks = run != running_.end() && run->second.stage != Stage::kRuns;
  if ((copy.state != JobState::kRunning && copy.state != JobState::kConfiguring) || grace <= 0 || in_hooks) {
    if (copy.state == JobState::kCompleting)
      put_job(std::move(copy));
    else
      move(std::move(copy), JobState::kCompleting, cause, actor);
    return terminate(find(id), false, as);
  }
  auto interruptions = interruptions_of(copy);
  interruptions.grace_until = now_ + grace;
  copy.interruptions = std::make_shared<const Interruptions>(interruptions);
  const Job before = copy;
  event(before, copy, std::string(cause) + "; it has " + std::to_string(grace) + " s", actor);
  put_job(std::move(copy));
  in_grace_.insert(id);
  terminate(find(id), false, as);
}

// What its nodes are told with the word to end.
void Machine::put_notice(const Job& job, bool batch, wire::SignalOrder& order) const {
  if (order.now) return;
  const auto& signal = job.spec->extras().signal;
  const bool own_only = !batch && signal.number != 0 && signal.batch_only;
  if (is_leaving(job)) {
    const std::int64_t left_us = job.interruptions->grace_until.us - now_.us;
    if (left_us <= 0) return;
    order.grace_s = static_cast<std::uint32_t>((left_us + 999'999) / 1'000'000);
    order.notice = own_only ? wire::Notice::kOwnSignal : wire::Notice::kOwnSignalOrTerm;
  } else if (config_->preempt_send_user_signal &&
             (job.reason == Reason::kPreempted || (job.requeue_requested && !job.cancel_requested))) {
    order.notice = wire::Notice::kOwnSignal;
  }
}

// Whose grace is over: their shepherds know; steps that began meanwhile, and allocations, are ended from here.
void Machine::end_graces() {
  for (auto it = in_grace_.begin(); it != in_grace_.end();) {
    JobPtr job = find(*it);
    if (job && is_leaving(*job) && job->interruptions->grace_until > now_) {
      ++it;
      continue;
    }
    it = in_grace_.erase(it);
    if (!job || !is_leaving(*job)) continue;
    const auto running = running_.find(job->id);
    const wire::AttemptEnd as = running == running_.end() ? wire::AttemptEnd::kCancelled : running->second.as;
    const JobId id = job->id;
    const std::uint32_t actor = job->ended_by_uid;
    move(*job, JobState::kCompleting, "its grace is over", actor);
    terminate(find(id), false, as);
  }
}

}  // namespace bai::controller
