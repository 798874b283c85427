// Steps of running jobs: asked for, laid out on what the job has, launched on its nodes, ended; and allocations, jobs that have nothing but
// steps and live as long as their client wants them.
#include <signal.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "controller/machine.h"
#include "step/peer_tree.h"
#include "step/task_launch.h"

namespace bai::controller {
namespace {

constexpr std::size_t kMaxWaitingSteps = 10'000;  // of one job

Error ending() {
  return {"already_finished", "Job/step already completing or completed", "", "see bai-queue"};
}

JobState state_of(wire::AttemptEnd end, ExitStatus exit) {
  using End = wire::AttemptEnd;
  switch (end) {
    case End::kExited:
      return exit.code == 0 ? JobState::kCompleted : JobState::kFailed;
    case End::kTimeout:
      return JobState::kTimeout;
    case End::kDeadline:
      return JobState::kDeadline;
    case End::kCancelled:
      return JobState::kCancelled;
    case End::kNodeRebooted:
      return JobState::kNodeFail;
    case End::kOutOfMemory:
      return JobState::kOutOfMemory;
    default:
      return JobState::kFailed;
  }
}

// A batch script may ask before its agent has told that it runs.
bool takes_steps(const Job& job) {
  return job.state == JobState::kRunning ||
         (job.state == JobState::kConfiguring && !job.spec->extras().no_batch);
}

// What shepherds will be told: no more than they take.
Status check_client(const StepClientAddress& client) {
  const auto fits = [](const std::string& endpoint) {
    return !endpoint.empty() && endpoint.size() <= step::kMaxEndpoint;
  };
  if (client.endpoints.empty() || client.endpoints.size() > step::kMaxEndpoints ||
      !std::all_of(client.endpoints.begin(), client.endpoints.end(), fits) ||
      client.key.size() != step::kStreamKeyBytes)
    return Error{"bad_request", "these are no addresses of a step's client", "", "upgrade this command"};
  return {};
}

// Arguments as a person reads them: escaped, and cut when they are very long.
Istr shown(const std::vector<std::string>& args) {
  constexpr std::size_t kMost = 1024;
  const std::string out = escape_control(join(args, " "));
  return Istr(out.size() <= kMost ? out : out.substr(0, kMost) + "...");
}

}  // namespace

Machine::JobSteps& Machine::steps_of(const Job& job) {
  auto [it, fresh] = steps_.try_emplace(job.id);
  if (fresh)
    for (const auto& share : job.allocation->nodes) it->second.rooms.push_back({share});
  return it->second;
}

bool Machine::has_live_steps(JobId id) const {
  auto it = steps_.find(id);
  return it != steps_.end() && !it->second.live.empty();
}

void Machine::on_step(const FromCommand& command, const wire::StepRequest& request) {
  const auto refuse = [&](Error error) { reply_error(command.conn, command.request.id, std::move(error)); };
  JobPtr job = find(request.job);
  if (!job) return refuse({"no_such_job", "Invalid job id specified", "", "see bai-queue"});
  if (job->spec->uid != command.caller.uid)
    return refuse({"not_permitted", "Access/permission denied", "",
                   "only its owner " + job->spec->user.str() + " can run steps in it"});
  if (is_finished(job->state) || job->state == JobState::kCompleting) return refuse(ending());
  const bool stands = job->state == JobState::kSuspended;  // then it waits until the job goes on
  if ((!takes_steps(*job) && !stands) || running_[job->id].stage != Stage::kRuns)
    return refuse({"not_running", "Job is pending execution", "", "wait until it runs; see bai-why"});
  if (request.spec.tasks > 1'000'000 || request.launch.args.empty())
    return refuse(
        {"bad_request", "a step needs a program, and at most a million tasks", "", "see bai-run(1)"});
  if (auto good = check_client(request.run.client);
      !good.ok() && !(request.run.client == StepClientAddress{}))
    return refuse(good.error());
  JobSteps& steps = steps_of(*job);
  followers_.insert(command.conn);
  WaitingStep waiting{command.conn, command.request.id, command.caller.uid,
                      std::make_shared<const wire::StepRequest>(request)};
  // Behind those that came first, unless it could never share their way.
  if (!stands && steps.waiting.empty() && try_step(job, steps, waiting)) return;
  if (stands || !steps.waiting.empty()) {
    auto placed = lay_out(request.spec, steps.rooms);
    if (!placed) return refuse(placed.error());
    if (*placed && !stands && try_step(job, steps, waiting)) return;
  }
  if (request.immediate)
    return refuse({"step_busy", "Requested nodes are busy", "", "leave out --immediate, and it waits"});
  if (steps.waiting.size() >= kMaxWaitingSteps)
    return refuse({"busy", "too many steps of this job wait", "", "run fewer at once"});
  steps.waiting.push_back(std::move(waiting));
}

// True when it was answered: begun, or refused for good.
bool Machine::try_step(const JobPtr& job, JobSteps& steps, const WaitingStep& wanted) {
  const auto& request = *wanted.request;
  auto shares = lay_out(request.spec, steps.rooms);
  if (!shares) {
    reply_error(wanted.conn, wanted.id, shares.error());
    return true;
  }
  if (!*shares) return false;
  Step step;
  step.job = job->id;
  step.attempt = job->attempt;
  step.id = steps.next++;
  step.uid = wanted.uid;
  step.spec = request.spec;
  step.nodes = std::move(**shares);
  step.state = JobState::kRunning;
  step.created = step.started = now_;
  step.command = shown(request.launch.args);
  StepEntry entry;
  entry.step = std::make_shared<const Step>(std::move(step));
  entry.request = wanted.request;
  for (const auto& share : entry.step->nodes) {
    auto& run = entry.nodes.emplace_back();
    run.node = share.node;
    if (job->interruptions) run.standing.done = job->interruptions->generation;
  }
  entry.clients.emplace_back(wanted.conn, wanted.id);
  take(steps.rooms, *entry.step);
  change(store::StepPut{entry.step});
  answer(wanted.conn, wanted.id, wanted.uid, wire::StepReply{*entry.step});
  StepEntry& placed = steps.live[entry.step->id] = std::move(entry);
  for (auto& run : placed.nodes) send_step(*job, placed, run);
  return true;
}

void Machine::try_waiting_steps(JobId id) {
  auto it = steps_.find(id);
  JobPtr job = find(id);
  if (it == steps_.end() || !job || !takes_steps(*job) || running_[id].stage != Stage::kRuns) return;
  auto& waiting = it->second.waiting;
  for (auto w = waiting.begin(); w != waiting.end();)
    w = try_step(job, it->second, *w) ? waiting.erase(w) : std::next(w);
}

void Machine::send_step(const Job& job, StepEntry& entry, StepNode& run) {
  run.sent_ms = mono_ms_;
  run.sends++;
  NodeEntry* at = node(run.node);
  if (!at || !at->conn) return;
  const wire::AttemptKey key{job.id, entry.step->attempt, entry.step->id};
  if (entry.terminating) {
    wire::SignalOrder order;
    order.key = key;
    order.generation = entry.generation;
    order.now = entry.kill_now;
    order.as = entry.as;
    if (entry.in_grace) put_notice(job, false, order);
    wire::AgentOrders orders;
    orders.lineage = lineage_;
    orders.signals.push_back(order);
    out_->effects.orders.push_back({at->conn, std::move(orders)});
    return;
  }
  if (!entry.request) return;
  out_->effects.launches.push_back({at->conn, key, find(job.id), job.id, step_limit(job, *entry.step),
                                    entry.step, entry.request, parent_address(entry, run)});
}

// From its start: its own, and what its job has left.
Seconds Machine::step_limit(const Job& job, const Step& step) const {
  const Seconds own = step.spec.time_limit, whole = time_limit_in_force(job);
  if (whole <= 0) return own;
  const Seconds stood = suspended_us(job, step.created) / 1'000'000;
  const Seconds left = std::max<Seconds>(1, whole - (step.created - job.started - stood));
  return own > 0 ? std::min(own, left) : left;
}

// The limits in force of all that runs of a job, to their shepherds, which keep them. What is not heard now is said when its node registers.
void Machine::send_limits(const Job& job) {
  std::map<Istr, wire::AgentOrders> orders;
  auto it = running_.find(job.id);
  if (it != running_.end() && it->second.stage == Stage::kRuns && !it->second.node.empty())
    orders[it->second.node].limits.push_back({{job.id, job.attempt}, time_limit_in_force(job)});
  if (auto steps = steps_.find(job.id); steps != steps_.end())
    for (const auto& [number, entry] : steps->second.live)
      for (const auto& run : entry.nodes)
        if (!run.ended)
          orders[run.node].limits.push_back(
              {{job.id, entry.step->attempt, entry.step->id}, step_limit(job, *entry.step)});
  for (auto& [name, its] : orders) {
    const NodeEntry* at = node(name);
    if (!at || !at->conn) continue;
    its.lineage = lineage_;
    out_->effects.orders.push_back({at->conn, std::move(its)});
  }
}

// A node registers: they may have changed while it was away, or been told to an agent that died before it passed them on.
void Machine::tell_limits(const NodeEntry& at, const std::set<wire::AttemptKey>& known,
                          wire::AgentOrders& orders) {
  for (const auto& key : known) {
    JobPtr job = find(key.job);
    if (!job || is_hook(key.step) || !is_active(job->state) || job->attempt != key.attempt) continue;
    if (key.step == kBatchStep) {
      auto running = running_.find(key.job);
      if (running != running_.end() && running->second.node == at.node->name)
        orders.limits.push_back({key, time_limit_in_force(*job)});
      continue;
    }
    StepEntry* entry = nullptr;
    if (const StepNode* run = step_node(key, at.node->name, entry); run && !run->ended)
      orders.limits.push_back({key, step_limit(*job, *entry->step)});
  }
}

// Where the shepherd of an MPI program's node finds the one that it dials; empty where there is none.
std::string Machine::parent_address(const StepEntry& entry, const StepNode& run) {
  if (entry.request->run.mpi.empty() || entry.request->run.mpi == "none") return {};
  const auto parent = step::peer_parent(static_cast<std::uint32_t>(&run - entry.nodes.data()));
  const NodeEntry* at = parent ? node(entry.nodes[*parent].node) : nullptr;
  return at ? at->node->address.str() : std::string();
}

void Machine::terminate_step(const Job& job, StepEntry& entry, bool kill_now, wire::AttemptEnd as) {
  const bool grace = is_leaving(job) && !kill_now;
  if (entry.terminating && (entry.kill_now || !kill_now) && (grace || !entry.in_grace)) return;
  if (!entry.terminating) entry.as = as;
  entry.in_grace = grace;
  entry.terminating = true;
  entry.kill_now = kill_now;
  entry.generation = ++signal_generation_;
  for (auto& run : entry.nodes) {
    if (run.ended) continue;
    run.sends = 0;
    send_step(job, entry, run);
  }
}

// Those that wait are told; those that run are ended, and the job's own end waits for them.
void Machine::terminate_steps(const Job& job, bool kill_now, wire::AttemptEnd as) {
  auto it = steps_.find(job.id);
  if (it == steps_.end()) return;
  if (!is_leaving(job) || kill_now)
    for (const auto& waiting : std::exchange(it->second.waiting, {}))
      reply_error(waiting.conn, waiting.id, ending());
  for (auto& [id, entry] : it->second.live) {
    if (!entry.terminating && job.cancel_requested) entry.ended_by_uid = job.ended_by_uid;
    terminate_step(job, entry, kill_now, as);
  }
}

Machine::StepNode* Machine::step_node(const wire::AttemptKey& key, const Istr& name, StepEntry*& entry) {
  auto it = steps_.find(key.job);
  if (it == steps_.end()) return nullptr;
  auto live = it->second.live.find(key.step);
  if (live == it->second.live.end() || live->second.step->attempt != key.attempt) return nullptr;
  entry = &live->second;
  for (auto& run : entry->nodes)
    if (run.node == name) return &run;
  return nullptr;
}

void Machine::step_reported(StepEntry& entry, StepNode& run, const wire::AttemptReport& report) {
  const JobId id = entry.step->job;
  if (report.phase == wire::AttemptPhase::kPreparing) {
    run.sends = 1;
    run.message = report.message;
    return;
  }
  run.acknowledged = true;
  run.standing.done = std::max(run.standing.done, report.suspend_generation);
  if (report.phase != wire::AttemptPhase::kEnded) {
    if (entry.terminating && mono_ms_ - run.sent_ms >= kResendMs) send_step(*find(id), entry, run);
    return;
  }
  if (run.ended) return;
  run.ended = true;
  run.end = report.end;
  run.exit = report.exit;
  run.message = report.message;
  run.usage = report.usage;
  run.started = report.started;
  run.ended_at = report.ended;
  if (std::all_of(entry.nodes.begin(), entry.nodes.end(), [](const auto& r) { return r.ended; }))
    end_step(id, entry);
}

// All its nodes have said how it ended.
void Machine::end_step(JobId id, StepEntry& entry) {
  Step step = *entry.step;
  step.state = JobState::kCompleted;
  step.exit = {};
  Time started, ended;
  wire::StepEndReply news;
  for (const auto& run : entry.nodes) {
    if (run.exit.signal > step.exit.signal ||
        (run.exit.signal == step.exit.signal && run.exit.code > step.exit.code))
      step.exit = run.exit;
    if (const JobState state = state_of(run.end, run.exit);
        step.state == JobState::kCompleted ||
        (step.state == JobState::kFailed && state != JobState::kCompleted))
      step.state = state;
    step.usage.add(run.usage);
    ended = std::max(ended, run.ended_at.is_set() ? std::min(run.ended_at, now_) : now_);
    if (run.started.is_set() && (!started.is_set() || run.started < started)) started = run.started;
    if (!run.message.empty()) {
      news.messages.emplace_back(run.node, run.message);
      if (step.detail.empty()) step.detail = run.message;
    }
  }
  if (started.is_set() && started <= now_) step.started = std::max(step.created, started);
  step.ended = std::max(step.started, ended);
  step.ended_by_uid = entry.ended_by_uid;
  if (JobPtr job = find(id); job->state == JobState::kSuspended)
    step.suspended_us += std::max<std::int64_t>(0, step.ended.us - job->interruptions->changed.us);
  forget_parts(entry);
  close_step(id, entry, std::move(step), std::move(news));
  try_waiting_steps(id);
  if (!has_live_steps(id)) last_step_ended(id);
}

// Its nodes need not keep the ends of their parts any longer: this one's is on disk before they hear it. That of the node that spoke last
// is answered with its report.
void Machine::forget_parts(const StepEntry& entry) {
  if (entry.nodes.size() < 2) return;
  for (const auto& run : entry.nodes) {
    const NodeEntry* at = node(run.node);
    if (!at || !at->conn) continue;
    wire::AgentOrders orders;
    orders.lineage = lineage_;
    orders.forget.push_back({entry.step->job, entry.step->attempt, entry.step->id});
    out_->effects.orders.push_back({at->conn, std::move(orders)});
  }
}

// It is over for accounting and for its clients, whatever its nodes still do.
void Machine::close_step(JobId id, StepEntry& entry, Step step, wire::StepEndReply news) {
  auto& steps = steps_[id];
  auto record = std::make_shared<const Step>(std::move(step));
  news.step = *record;
  change(store::StepPut{record});
  for (const auto& [conn, request] : entry.clients) reply(conn, request, news);
  give(steps.rooms, *record);
  steps.live.erase(record->id);
}

// The job's own end may have waited for it.
void Machine::last_step_ended(JobId id) {
  auto it = running_.find(id);
  if (it == running_.end() || !it->second.ended) return;
  const wire::AttemptReport report = *it->second.ended;
  attempt_ended(find(id), report);
}

// The job ends here and now although steps of it may run: a node was lost. What runs elsewhere ends before new work comes there.
void Machine::abandon_steps(const Job& job, std::string_view why) {
  auto it = steps_.find(job.id);
  if (it == steps_.end()) return;
  terminate_steps(job, true, wire::AttemptEnd::kCancelled);
  while (!it->second.live.empty()) {
    StepEntry& entry = it->second.live.begin()->second;
    for (const auto& run : entry.nodes) {
      NodeEntry* at = node(run.node);
      if (run.ended || !at || at->lost) continue;
      at->stale.insert({job.id, entry.step->attempt, entry.step->id});
      node_changed(*at);
    }
    Step step = *entry.step;
    step.ended = now_;
    step.state = JobState::kNodeFail;
    step.exit = {0, 9};
    step.detail = why;
    close_step(job.id, entry, std::move(step), {});
  }
  steps_.erase(it);
}

// Made by a controller that died before all its nodes had it, and its client does not ask again. Those that are not here may have it.
bool Machine::forsaken(const Job& job, const StepEntry& entry) {
  if (entry.request || entry.terminating || job.state == JobState::kSuspended ||
      mono_ms_ - entry.loaded_ms < kStepRequestMs)
    return false;
  return std::any_of(entry.nodes.begin(), entry.nodes.end(), [this](const StepNode& run) {
    const NodeEntry* at = node(run.node);
    return !run.ended && !run.acknowledged && at && at->conn != 0;
  });
}

void Machine::resend_steps() {
  for (auto& [id, steps] : steps_) {
    JobPtr job = find(id);
    if (!job) continue;
    for (auto& [number, entry] : steps.live) {
      if (forsaken(*job, entry)) terminate_step(*job, entry, true, wire::AttemptEnd::kCancelled);
      for (auto& run : entry.nodes)
        if (!run.ended && (!run.acknowledged || entry.terminating) && mono_ms_ - run.sent_ms >= kResendMs)
          send_step(*job, entry, run);
    }
  }
}

// A node registers: steps that it should run and says nothing of.
void Machine::steps_missing_on(NodeEntry& at, const std::set<wire::AttemptKey>& known) {
  for (JobId id : at.jobs) {
    auto it = steps_.find(id);
    if (it == steps_.end()) continue;
    JobPtr job = find(id);
    for (auto& [number, entry] : it->second.live)
      for (auto& run : entry.nodes) {
        if (!(run.node == at.node->name) || run.ended ||
            known.contains({id, entry.step->attempt, entry.step->id}))
          continue;
        // Claimed and gone: a node without a trace answers that it never started. Made by a controller that died before it was sent: its
        // client asks again.
        if (run.acknowledged)
          terminate_step(*job, entry, true, wire::AttemptEnd::kCancelled);
        else if (entry.request || entry.terminating)
          send_step(*job, entry, run);
      }
  }
}

void Machine::load_steps(const std::vector<StepPtr>& steps) {
  for (const auto& step : steps) {
    JobPtr job = find(step->job);
    if (!job || !is_active(job->state) || job->attempt != step->attempt) continue;
    JobSteps& of_job = steps_of(*job);
    of_job.next = std::max(of_job.next, step->id + 1);
    if (is_finished(step->state)) continue;
    StepEntry entry;
    entry.step = step;
    entry.loaded_ms = mono_ms_;
    for (const auto& share : step->nodes) entry.nodes.emplace_back().node = share.node;
    // Somebody cancelled it, and was told so.
    entry.ended_by_uid = step->ended_by_uid;
    entry.terminating = step->ended_by_uid != kNoUid;
    entry.kill_now = step->exit.signal == SIGKILL;
    if (entry.terminating) entry.generation = ++signal_generation_;
    take(of_job.rooms, *step);
    of_job.live[step->id] = std::move(entry);
  }
}

void Machine::on_attach(const FromCommand& command, const wire::AttachRequest& request) {
  const auto refuse = [&](Error error) { reply_error(command.conn, command.request.id, std::move(error)); };
  JobPtr job = find(request.job);
  if (!job) return refuse({"no_such_job", "Invalid job id specified", "", "see bai-queue"});
  if (!command.caller.is_operator && job->spec->uid != command.caller.uid)
    return refuse({"not_permitted", "Access/permission denied", "", "only its owner can attach to it"});
  auto it = steps_.find(job->id);
  auto live = it == steps_.end() ? decltype(it->second.live.begin()){} : it->second.live.find(request.step);
  if (auto good = check_client(request.client); !good.ok()) return refuse(good.error());
  if (it == steps_.end() || live == it->second.live.end())
    return refuse({"no_such_step", "step " + step_name(request.job, request.step) + " does not run", "",
                   "see bai-queue --steps"});
  StepEntry& entry = live->second;
  for (const auto& run : entry.nodes) {
    NodeEntry* at = node(run.node);
    if (run.ended || !at || !at->conn) continue;
    wire::AgentOrders orders;
    orders.lineage = lineage_;
    orders.attaches.push_back({{job->id, entry.step->attempt, entry.step->id},
                               request.client,
                               request.write && job->spec->uid == command.caller.uid});
    out_->effects.orders.push_back({at->conn, std::move(orders)});
  }
  entry.clients.emplace_back(command.conn, command.request.id);
  followers_.insert(command.conn);
  reply(command.conn, command.request.id, wire::StepReply{*entry.step});
}

// A repeat of a request that was answered: its caller wants to hear of the end, too. After a restart it brings what a launch needs that was not
// sent before, or did not arrive.
void Machine::rejoin_step(const wire::ReplyBody& first, const FromCommand& command) {
  auto* begun = std::get_if<wire::StepReply>(&first);
  if (!begun) return;
  const ConnId conn = command.conn;
  const RequestId& id = command.request.id;
  auto it = steps_.find(begun->step.job);
  if (it != steps_.end())
    if (auto live = it->second.live.find(begun->step.id); live != it->second.live.end()) {
      StepEntry& entry = live->second;
      entry.clients.emplace_back(conn, id);
      followers_.insert(conn);
      const auto* again = std::get_if<wire::StepRequest>(&command.request.body);
      if (entry.request || !again || again->job != begun->step.job) return;
      entry.request = std::make_shared<const wire::StepRequest>(*again);
      if (entry.terminating) return;
      JobPtr job = find(begun->step.job);
      for (auto& run : entry.nodes)
        if (!run.ended && !run.acknowledged) send_step(*job, entry, run);
      return;
    }
  reply_error(
      conn, id,
      {"already_finished", "the step has ended", "", "see bai-acct -j " + std::to_string(begun->step.job)});
}

wire::JobResult Machine::cancel_step(const Caller& caller, const wire::JobRef& ref, const JobPtr& job,
                                     const wire::ActionRequest& request) {
  const auto failed = [&](Error error) {
    return wire::JobResult{ref, wire::ErrorBody{std::move(error)}, ""};
  };
  auto it = steps_.find(job->id);
  auto live = it == steps_.end() ? decltype(it->second.live.begin()){} : it->second.live.find(ref.step);
  if (it == steps_.end() || live == it->second.live.end()) {
    const bool was = is_finished(job->state) || (it != steps_.end() && ref.step < it->second.next);
    return failed(was ? ending()
                      : Error{"no_such_step", "Invalid job id specified", "", "see bai-queue --steps"});
  }
  StepEntry& entry = live->second;
  if (request.signal == 0 || request.signal == 9) {
    entry.ended_by_uid = caller.uid;
    if (entry.step->ended_by_uid == kNoUid) {
      Step copy = *entry.step;
      copy.ended_by_uid = caller.uid;
      copy.exit.signal = static_cast<std::uint8_t>(request.signal);  // expected; what it is counts at its end
      entry.step = std::make_shared<const Step>(std::move(copy));
      change(store::StepPut{entry.step});
    }
    terminate_step(*job, entry, request.signal == 9, wire::AttemptEnd::kCancelled);
    return {ref, std::nullopt, ""};
  }
  signal_step(entry, request.signal);
  return {ref, std::nullopt, ""};
}

void Machine::signal_step(StepEntry& entry, std::uint16_t signal) {
  for (const auto& run : entry.nodes) {
    NodeEntry* at = node(run.node);
    if (run.ended || !at || !at->conn) continue;
    wire::SignalOrder order;
    order.key = {entry.step->job, entry.step->attempt, entry.step->id};
    order.generation = ++signal_generation_;
    order.signal = signal;
    wire::AgentOrders orders;
    orders.lineage = lineage_;
    orders.signals.push_back(order);
    out_->effects.orders.push_back({at->conn, std::move(orders)});
  }
}

// ---- allocations

void Machine::on_hold(const FromCommand& command, const wire::HoldRequest& request) {
  const auto refuse = [&](Error error) { reply_error(command.conn, command.request.id, std::move(error)); };
  JobPtr job = find(request.job);
  if (!job) return refuse({"no_such_job", "Invalid job id specified", "", "see bai-queue"});
  if (!command.caller.is_operator && job->spec->uid != command.caller.uid)
    return refuse({"not_permitted", "Access/permission denied", "", "only its owner can do that"});
  const bool lease = request.lease && job->spec->extras().lease && job->spec->uid == command.caller.uid;
  followers_.insert(command.conn);
  if (!is_finished(job->state)) {
    holders_[job->id].push_back({command.conn, command.request.id, lease});
    if (lease) leases_[job->id] = 0;
  }
  if (job->state != JobState::kPending && job->state != JobState::kConfiguring)
    reply(command.conn, command.request.id, wire::AllocationReply{job, time_limit_in_force(*job)});
}

void Machine::tell_holders(const Job& job) {
  auto it = holders_.find(job.id);
  if (it == holders_.end()) return;
  JobPtr record = find(job.id);
  for (const auto& holder : it->second)
    reply(holder.conn, holder.id, wire::AllocationReply{record, time_limit_in_force(*record)});
  if (is_finished(record->state)) holders_.erase(it);
}

// It has its nodes; there is no script to wait for.
void Machine::allocation_started(JobId id) {
  running_[id].node = Istr();
  running_[id].acknowledged = true;
  if (find(id)->spec->extras().lease) leases_.try_emplace(id, holders_.contains(id) ? 0 : mono_ms_);
  Job copy = *find(id);
  copy.started = now_;  // its prologs do not count
  mail(copy, kMailBegin, "Began");
  move(std::move(copy), JobState::kRunning, "allocated", 0);
  reconsider_dependents(id);
  tell_holders(*find(id));
}

// Nothing of it runs but steps: when they are over, so is it.
void Machine::end_allocation(JobId id, bool kill_now, wire::AttemptEnd as, ExitStatus exit) {
  auto& running = running_[id];
  if (!running.ended) {
    wire::AttemptReport report;
    report.key = {id, find(id)->attempt};
    report.phase = wire::AttemptPhase::kEnded;
    report.end = as;
    report.exit = exit;
    report.ended = now_;
    running.ended = report;
  }
  terminate_steps(*find(id), kill_now, as);
  if (!has_live_steps(id)) last_step_ended(id);
}

wire::JobResult Machine::complete(const wire::JobRef& ref, const JobPtr& job,
                                  const wire::ActionRequest& request) {
  if (is_finished(job->state) || job->state == JobState::kCompleting)
    return {ref, std::nullopt, "already finished"};
  if (!job->spec->extras().no_batch || job->state == JobState::kPending)
    return {ref,
            wire::ErrorBody{{"not_an_allocation", "only a running allocation can be given back", "",
                             "bai-cancel ends a job"}},
            ""};
  const JobId id = job->id;
  if (has_live_steps(id)) {
    Job copy = *job;
    copy.exit = request.exit;
    move(std::move(copy), JobState::kCompleting, "given back", job->spec->uid);
  }
  end_allocation(id, false, request.exit.signal ? wire::AttemptEnd::kSignalled : wire::AttemptEnd::kExited,
                 request.exit);
  return {ref, std::nullopt, ""};
}

// Time limits of allocations, which have no shepherd of their own, and clients that went away.
void Machine::check_allocations() {
  std::vector<JobId> late, left;
  for (const auto& [id, running] : running_) {
    if (!running.node.empty() || running.ended) continue;
    JobPtr job = find(id);
    if (job->state != JobState::kRunning && job->state != JobState::kSuspended) continue;
    const Seconds limit = time_limit_in_force(*job);
    const Time deadline = job->spec->extras().deadline;
    if ((limit > 0 && run_time(*job, now_) >= limit) || (deadline.is_set() && now_ >= deadline))
      late.push_back(id);
    else if (auto lease = leases_.find(id); lease != leases_.end() && lease->second != 0 &&
                                            config_->inactive_limit > 0 &&
                                            mono_ms_ - lease->second >= config_->inactive_limit * 1000)
      left.push_back(id);
  }
  for (JobId id : late) {
    Job copy = *find(id);
    const Time deadline = copy.spec->extras().deadline;
    const bool missed = deadline.is_set() && now_ >= deadline;
    copy.reason = missed ? Reason::kDeadline : Reason::kTimeLimit;
    move(std::move(copy), JobState::kCompleting, missed ? "deadline" : "time limit", 0);
    end_allocation(id, false, missed ? wire::AttemptEnd::kDeadline : wire::AttemptEnd::kTimeout, {});
  }
  for (JobId id : left) {
    log::info("an allocation's client is gone", {{"job", id}});
    Job copy = *find(id);
    copy.cancel_requested = true;
    copy.ended_by_uid = copy.spec->uid;
    move(std::move(copy), JobState::kCompleting, "its client went away", 0);
    end_allocation(id, false, wire::AttemptEnd::kCancelled, {});
  }
}

void Machine::step_client_closed(ConnId conn) {
  if (followers_.erase(conn) == 0) return;
  for (auto& [id, steps] : steps_) {
    std::erase_if(steps.waiting, [conn](const auto& waiting) { return waiting.conn == conn; });
    for (auto& [number, entry] : steps.live)
      std::erase_if(entry.clients, [conn](const auto& client) { return client.first == conn; });
  }
  for (auto it = holders_.begin(); it != holders_.end();) {
    const bool held = std::erase_if(it->second, [conn](const auto& holder) {
                        return holder.conn == conn && holder.lease;
                      }) > 0;
    std::erase_if(it->second, [conn](const auto& holder) { return holder.conn == conn; });
    const bool still =
        std::any_of(it->second.begin(), it->second.end(), [](const auto& h) { return h.lease; });
    if (held && !still) leases_[it->first] = mono_ms_;
    it = it->second.empty() ? holders_.erase(it) : std::next(it);
  }
}

}  // namespace bai::controller
