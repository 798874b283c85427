// The site's programs around jobs, as the state machine sees them. A start: PrologCtld; with PrologFlags=Alloc the prologs of all its nodes; the
// launch. An end: when no process is left the nodes' epilogs; EpilogCtld; then it is recorded. Agents know what they ran and answer a repeated
// order with that, so nothing of it is kept here. That PrologCtld is not over is kept as the job's detail. A node that is gone is not waited for.
#include <algorithm>

#include "base/log.h"
#include "controller/machine.h"

namespace bai::controller {

namespace {

bool went_well(const wire::AttemptReport& report) {
  return report.end == wire::AttemptEnd::kExited && report.exit.code == 0;
}

}  // namespace

// There, or may be again before it counts as lost. A node that has not registered since this controller started is given less.
bool Machine::may_come(const NodeEntry& entry) const {
  if (entry.conn) return true;
  if (entry.lost) return false;
  const Seconds patience = entry.registered ? config_->agentd_lost_timeout : config_->agentd_timeout;
  return mono_ms_ - entry.heard_ms < patience * 1000;
}

std::vector<Machine::HookRun> Machine::hook_runs(const Job& job, wire::NodeHooks which) {
  std::vector<HookRun> out;
  for (const auto& share : job.allocation->nodes) {
    const NodeEntry* entry = node(share.node);
    if (!entry || !may_come(*entry) || (entry->registered && !(entry->hooks & which))) continue;
    out.emplace_back().node = share.node;
  }
  return out;
}

// The job is CONFIGURING, and says kPrologRuns if there is a PrologCtld.
void Machine::begin_start(JobId id) {
  if (!(find(id)->detail == kPrologRuns)) return begin_prologs(id);
  running_[id].stage = Stage::kPrologCtld;
  run_beside(id, Hook::kPrologCtld);
}

void Machine::run_beside(JobId id, Hook hook) {
  const JobPtr job = find(id);
  HookOut out;
  out.hook = hook;
  out.job = id;
  out.attempt = job->attempt;
  out.patterns = hook == Hook::kPrologCtld ? config_->prolog_ctld : config_->epilog_ctld;
  out.environment = hook_variables(hook, *job, config_->cluster_name);
  out.timeout = config_->prolog_epilog_timeout;
  out_->effects.hooks.push_back(std::move(out));
}

void Machine::on_hook_done(const HookDone& done) {
  const JobPtr job = find(done.job);
  auto it = running_.find(done.job);
  const bool prolog = done.hook == Hook::kPrologCtld;
  if (!job || it == running_.end() || job->attempt != done.attempt ||
      it->second.stage != (prolog ? Stage::kPrologCtld : Stage::kEpilogCtld))
    return;
  if (!done.failure.empty())
    log::error(prolog ? "PrologCtld failed" : "EpilogCtld failed",
               {{"job", done.job}, {"why", done.failure}});
  if (prolog && !done.failure.empty()) prolog_failed(nullptr, job, done.failure);
  stage_over(done.job);
}

void Machine::begin_prologs(JobId id) {
  auto& running = running_[id];
  if (config_->prolog_alloc) running.hooks = hook_runs(*find(id), wire::kHasProlog);
  if (running.hooks.empty()) return launch(id);
  running.stage = Stage::kProlog;
  const JobPtr job = find(id);
  for (auto& run : running.hooks) send_hook(*job, run);
}

void Machine::launch(JobId id) {
  auto& running = running_[id];
  running.stage = Stage::kRuns;
  running.hooks.clear();
  if (find(id)->spec->extras().no_batch)
    allocation_started(id);
  else if (!running.acknowledged)
    send_launch(*find(id), running);
}

bool Machine::begin_epilogs(const JobPtr& job, const wire::AttemptReport& report) {
  auto& running = running_[job->id];
  if (in_epilog(job->id)) return true;
  auto runs = hook_runs(*job, wire::kHasEpilog);
  if (runs.empty() && config_->epilog_ctld.empty()) return false;
  running.ended = report;
  running.stage = Stage::kEpilog;
  running.hooks = std::move(runs);
  Job copy = *job;
  copy.exit = report.exit;  // the programs are told
  // What the end is judged by is kept, since the state that it had is over.
  if (copy.state == JobState::kConfiguring && report.started.is_set() &&
      report.end != wire::AttemptEnd::kLaunchFailed)
    copy.started = std::max(copy.started, std::min(report.started, now_));
  if (copy.state == JobState::kRunning && report.end == wire::AttemptEnd::kNeverStarted &&
      !may_requeue(copy) && !copy.requeue_requested && !copy.cancel_requested) {
    copy.cancel_requested = true;
    copy.reason = Reason::kNodeDown;
    copy.detail = "its node has no trace of it";
  }
  if (copy.state == JobState::kCompleting)
    put_job(std::move(copy));
  else
    move(std::move(copy), JobState::kCompleting, "its epilogs run", 0);
  const JobPtr ending = find(job->id);
  for (auto& run : running.hooks) send_hook(*ending, run);
  if (running.hooks.empty()) stage_over(job->id);
  return true;
}

bool Machine::in_epilog(JobId id) const {
  auto it = running_.find(id);
  return it != running_.end() && it->second.stage > Stage::kRuns;
}

void Machine::send_hook(const Job& job, HookRun& run) {
  run.sent_ms = mono_ms_;
  NodeEntry* entry = node(run.node);
  if (!entry || !entry->conn) return;
  const bool epilog = in_epilog(job.id);
  out_->effects.launches.push_back({entry->conn,
                                    {job.id, job.attempt, epilog ? kEpilogStep : kPrologStep},
                                    find(job.id),
                                    job.array_id ? job.array_id : job.id});
}

// Once a second: what was not answered is said again; nodes that are gone are given up.
void Machine::send_hooks() {
  std::vector<std::pair<JobId, Istr>> gone;
  for (auto& [id, running] : running_) {
    if (running.stage != Stage::kProlog && running.stage != Stage::kEpilog) continue;
    const auto which = running.stage == Stage::kProlog ? wire::kHasProlog : wire::kHasEpilog;
    for (auto& run : running.hooks) {
      if (run.ended) continue;
      const NodeEntry* entry = node(run.node);
      if (!entry || !may_come(*entry) || (entry->registered && !(entry->hooks & which)))
        gone.emplace_back(id, run.node);
      else if (mono_ms_ - run.sent_ms >= kResendMs)
        send_hook(*find(id), run);
    }
  }
  for (const auto& [id, name] : gone) hook_ended(id, name);
}

void Machine::hook_reported(NodeEntry& entry, const JobPtr& job, const wire::AttemptReport& report) {
  if (report.phase != wire::AttemptPhase::kEnded) return;
  const bool prolog = report.key.step == kPrologStep;
  // What could not be launched is the job's fault, or bai-stepd's.
  const bool failed = !went_well(report) && report.end != wire::AttemptEnd::kLaunchFailed &&
                      report.end != wire::AttemptEnd::kNeverStarted;
  if (failed) drain(entry, (prolog ? "Prolog error: " : "Epilog error: ") + report.message);
  if (prolog && !went_well(report)) prolog_failed(&entry, job, report.message);
  auto it = running_.find(job->id);
  if (it != running_.end() && it->second.stage == (prolog ? Stage::kProlog : Stage::kEpilog))
    hook_ended(job->id, entry.node->name);
}

// The job goes back to the queue and is held, as in Slurm: somebody should look. What may not be requeued ends.
void Machine::prolog_failed(NodeEntry* entry, const JobPtr& job, std::string_view why) {
  if (job->cancel_requested || job->requeue_requested) return;
  const std::string cause =
      entry ? "the prolog failed on " + entry->node->name.str() : "the controller's prolog failed";
  Job copy = *job;
  copy.detail = cause + (why.empty() ? "" : ": " + std::string(why));
  if (entry) note_failed_node(copy, entry->node->name);
  if (!copy.spec->extras().no_batch && may_requeue(copy)) {
    copy.requeue_requested = true;
    copy.hold = Hold::kAdmin;
  } else {
    copy.cancel_requested = true;
    copy.reason = Reason::kJobLaunchFailure;
  }
  const JobId id = job->id;
  if (copy.state == JobState::kCompleting)
    put_job(std::move(copy));
  else
    move(std::move(copy), JobState::kCompleting, cause, 0);
  terminate(find(id), false, wire::AttemptEnd::kCancelled);
}

// What is to become of it is kept in its record, as when a node is set down, until the others' epilogs have ended.
void Machine::end_with_epilogs(Job job, const Istr& lost) {
  const JobId id = job.id;
  if (!job.cancel_requested) {
    job.requeue_requested = job.requeue_requested || may_requeue(job);
    job.cancel_requested = !job.requeue_requested;
    job.reason = Reason::kNodeDown;
  }
  job.ended = Time{};
  abandon_steps(job, "node " + lost.str() + " was lost");
  if (job.state == JobState::kCompleting)
    put_job(std::move(job));
  else
    move(std::move(job), JobState::kCompleting, "node " + lost.str() + " was lost", 0);
  auto& running = running_[id];
  const bool batch_lost = running.stage == Stage::kRuns && running.node == lost;
  if (!batch_lost) return terminate(find(id), true, wire::AttemptEnd::kCancelled);
  wire::AttemptReport report;
  report.key = {id, find(id)->attempt};
  report.phase = wire::AttemptPhase::kEnded;
  report.end = wire::AttemptEnd::kCancelled;
  report.ended = now_;
  if (!begin_epilogs(find(id), report)) end_attempt(find(id), report);
}

// Starts that were among their prologs, and ends whose batch node is lost. Other ends are told again by their nodes.
void Machine::resume_hooks() {
  std::vector<JobId> starting, ending;
  for (const auto& [id, running] : running_) {
    const JobPtr job = find(id);
    if (job->state == JobState::kConfiguring &&
        (config_->prolog_alloc || job->detail == kPrologRuns || job->spec->extras().no_batch))
      starting.push_back(id);
    const NodeEntry* batch = node(running.node);
    if (job->state == JobState::kCompleting && batch && batch->lost) ending.push_back(id);
  }
  for (JobId id : starting) begin_start(id);
  for (JobId id : ending) end_with_epilogs(*find(id), running_[id].node);
}

void Machine::hook_ended(JobId id, const Istr& name) {
  auto it = running_.find(id);
  if (it == running_.end()) return;
  auto& runs = it->second.hooks;
  for (auto& run : runs)
    if (run.node == name) run.ended = true;
  if (std::all_of(runs.begin(), runs.end(), [](const auto& run) { return run.ended; })) stage_over(id);
}

void Machine::stage_over(JobId id) {
  auto& running = running_[id];
  if (running.stage == Stage::kEpilog && !config_->epilog_ctld.empty()) {
    running.stage = Stage::kEpilogCtld;
    running.hooks.clear();
    return run_beside(id, Hook::kEpilogCtld);
  }
  if (running.stage > Stage::kRuns) {
    const wire::AttemptReport report = *running.ended;
    return end_attempt(find(id), report);
  }
  if (!running.terminating && running.stage == Stage::kProlog) return launch(id);
  if (!running.terminating) {
    Job copy = *find(id);
    copy.detail = Istr();
    put_job(std::move(copy));
    return begin_prologs(id);
  }
  // Cancelled, or a prolog failed: nothing of it was begun but that.
  running.stage = Stage::kRuns;
  wire::AttemptReport report;
  report.key = {id, find(id)->attempt};
  report.phase = wire::AttemptPhase::kEnded;
  report.end = wire::AttemptEnd::kCancelled;
  report.ended = now_;
  running.ended = report;
  if (!begin_epilogs(find(id), report)) end_attempt(find(id), report);
}

// With the batch that ends the job.
void Machine::forget_hooks(const Job& job) {
  for (const auto& share : job.allocation->nodes) {
    const NodeEntry* entry = node(share.node);
    if (!entry || !entry->conn || entry->hooks == 0) continue;
    wire::AgentOrders orders;
    orders.lineage = lineage_;
    orders.forget = {{job.id, job.attempt, kPrologStep}, {job.id, job.attempt, kEpilogStep}};
    out_->effects.orders.push_back({entry->conn, std::move(orders)});
  }
}

void Machine::drain(NodeEntry& entry, std::string_view why) {
  auto& n = *entry.node;
  log::error("a node is drained", {{"node", n.name.view()}, {"why", why}});
  if (n.drain) return;  // the first reason stays
  n.drain = true;
  n.reason = why;
  n.reason_uid = 0;
  n.reason_at = now_;
  decide_node(entry);
}

}  // namespace bai::controller
