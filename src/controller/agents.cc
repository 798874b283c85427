// The registry of agents: who is there, what they report, who fell silent.
#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "controller/machine.h"
#include "sokovan/site.h"

namespace bai::controller {

Machine::NodeEntry* Machine::node(std::string_view name) {
  auto it = nodes_.find(name);
  return it == nodes_.end() ? nullptr : &it->second;
}

// The view and the scheduler get the node as it is now; room follows from it.
void Machine::node_changed(NodeEntry& entry) {
  auto& n = *entry.node;
  n.connected = entry.conn != 0;
  entry.room.cpus_total = n.declared.cpus;
  entry.room.mem_total_mib = n.declared.mem_mib;
  entry.room.cpus_free = n.declared.cpus > n.cpus_used ? n.declared.cpus - n.cpus_used : 0;
  entry.room.mem_free_mib = n.declared.mem_mib > n.mem_used_mib ? n.declared.mem_mib - n.mem_used_mib : 0;
  entry.room.jobs = n.jobs;
  entry.room.exclusive_use = n.exclusive_use;
  entry.room.tenancy = entry.tenants.tenancy();
  const bool known = !n.devices.devices.empty() || !n.devices.kinds.empty();
  NodeShape shape = n.declared;
  if (known) shape.devices = with_findings(std::move(shape.devices), n.devices);
  entry.room.devices = DeviceRoom(shape.devices);
  entry.room.devices.take(entry.devices_used);
  n.devices_free = entry.room.devices.free;
  out_->effects.nodes.push_back(std::make_shared<const Node>(n));
  auto set = sokovan::node_of(n.name, shape, n.features, n.weight);
  set.usable = trouble_.empty() && entry.registered && entry.conn && n.responding && !n.drain &&
               n.condition == NodeCondition::kUp && entry.stale.empty();
  tell(std::move(set));
}

void Machine::decide_node(NodeEntry& entry) {
  const auto& n = *entry.node;
  entry.decision.name = n.name;
  auto& decision = entry.decision.decision;
  decision.drain = n.drain;
  decision.down = n.condition == NodeCondition::kDown;
  decision.reason = n.reason;
  decision.reason_uid = n.reason_uid;
  decision.reason_at = n.reason_at;
  change(entry.decision);
  node_changed(entry);
}

void Machine::on_agent(const FromAgent& message) {
  if (auto* hello = std::get_if<wire::AgentRegister>(&message.body)) return on_register(message.conn, *hello);
  auto session = agents_.find(message.conn);
  if (session == agents_.end()) {  // it must say who it is first
    out_->effects.close.push_back(message.conn);
    return;
  }
  NodeEntry& entry = *node(session->second);
  entry.heard_ms = mono_ms_;
  auto& n = *entry.node;
  n.last_heard = now_;
  if (auto* beat = std::get_if<wire::AgentHeartbeat>(&message.body)) {
    n.load_percent = beat->load_percent;
    n.free_mib = beat->free_mib;
    n.config_hash = beat->config_hash;
    if (n.not_enforced != beat->not_enforced) n.not_enforced = beat->not_enforced;
    entry.hooks = beat->hooks;
    if (!beat->unhealthy.empty()) drain(entry, beat->unhealthy);
    const bool devices = devices_reported(entry, beat->devices);
    if (!n.responding || devices) {
      n.responding = true;
      node_changed(entry);
    } else {
      out_->effects.nodes.push_back(std::make_shared<const Node>(n));
    }
    return;
  }
  if (auto* use = std::get_if<wire::AgentUse>(&message.body)) {
    uses_.answered(entry.node->name.view(), *use);
    return reply_uses();
  }
  wire::AgentOrders orders;
  for (const auto& report : std::get<wire::AgentAttempts>(message.body).attempts)
    on_report(entry, report, orders.forget);
  if (orders.forget.empty()) return;
  const std::size_t ended = orders.forget.size();
  orders.lineage = lineage_;
  out_->effects.orders.push_back({message.conn, std::move(orders)});
  forget_old(2 * ended);
}

void Machine::on_register(ConnId conn, const wire::AgentRegister& hello) {
  auto refuse = [&](Error error) {
    log::warning("an agent was refused", {{"node", hello.node}, {"why", error.message}});
    out_->effects.orders.push_back({conn, wire::AgentRefused{wire::ErrorBody{std::move(error)}}});
  };
  if (!hello.seen.cluster.empty() && hello.seen.cluster != lineage_.cluster)
    return refuse({"other_cluster",
                   "node " + hello.node + " belongs to another cluster (" + hello.seen.cluster.hex() + ")",
                   "", "empty its spool directory if it shall join this one"});
  if (hello.seen.epoch > lineage_.epoch) {
    set_trouble(
        "node " + hello.node + " has served a newer controller (epoch " + std::to_string(hello.seen.epoch) +
        ", this one is of " + std::to_string(lineage_.epoch) +
        "): another took over, or the database is an old backup; restore the newest, or see bai-ctld(8), "
        "--accept-loss");
    return refuse({"old_controller", trouble_, "", ""});
  }
  if (hello.seen.lsn > lsn_ || hello.seen.last_job_id > last_job_id_) {
    set_trouble("node " + hello.node + " has seen change " + std::to_string(hello.seen.lsn) +
                " of this cluster, but the database ends at " + std::to_string(lsn_) +
                ": it is older than what was acknowledged (an old backup?); restore the newest, or see "
                "bai-ctld(8), --accept-loss");
    return refuse({"database_behind", trouble_, "", ""});
  }
  NodeEntry* entry = node(hello.node);
  if (!entry && config_->dynamic_nodes) {
    entry = &nodes_[hello.node];
    entry->node = std::make_shared<Node>();
    entry->node->name = hello.node;
    entry->node->last_busy = now_;
    entry->decision.name = hello.node;
    entry->configured = false;
    entry->node->declared = hello.found;
  }
  if (!entry)
    return refuse({"unknown_node", "no NodeName line names " + hello.node, "",
                   "add it to bai.conf, or set DynamicNodes=yes"});

  if (entry->conn &&
      entry->conn != conn) {  // it came back on a new connection before the old one's end was noticed
    agents_.erase(entry->conn);
    out_->effects.close.push_back(entry->conn);
  }
  agents_[conn] = hello.node;
  auto& n = *entry->node;
  bool was_silent = !n.responding;
  entry->conn = conn;
  entry->registered = true;
  entry->heard_ms = mono_ms_;
  entry->hooks = hello.hooks;
  entry->stale.clear();
  n.found = hello.found;
  n.address = hello.address;
  n.version = hello.version;
  n.os = hello.os;
  n.arch = hello.arch;
  n.boot_id = hello.boot_id;
  n.boot = hello.boot;
  n.agent_started = hello.agent_started;
  n.last_heard = now_;
  n.config_hash = hello.config_hash;
  n.not_enforced = hello.not_enforced;
  n.responding = true;
  const ConfigNode* declared = config_->find_node(hello.node);
  if (!declared || declared->shape.cpus == 0) n.declared.cpus = hello.found.cpus;
  if (!declared || declared->shape.mem_mib == 0) n.declared.mem_mib = hello.found.mem_mib;

  if (!declared && hello.devices.devices.empty()) n.declared.devices = hello.found.devices;
  devices_reported(*entry, hello.devices);

  bool decided = false;
  if (n.condition == NodeCondition::kUnknown || n.condition == NodeCondition::kFuture)
    n.condition = NodeCondition::kUp;
  if (n.condition == NodeCondition::kDown &&
      (entry->lost || config_->return_to_service == ReturnToService::kAlways) &&
      config_->return_to_service != ReturnToService::kNever) {
    n.condition = NodeCondition::kUp;
    n.reason = Istr();
    decided = true;
  }
  entry->lost = false;
  if (!hello.invented && !n.drain &&
      (hello.found.cpus < n.declared.cpus || hello.found.mem_mib < n.declared.mem_mib)) {
    n.drain = true;
    n.reason = hello.found.cpus < n.declared.cpus
                   ? "Low CPUs: " + std::to_string(hello.found.cpus) + " found, " +
                         std::to_string(n.declared.cpus) + " configured"
                   : "Low RealMemory: " + std::to_string(hello.found.mem_mib) + " MiB found, " +
                         std::to_string(n.declared.mem_mib) + " configured";
    n.reason_at = now_;
    decided = true;
  }
  if (!hello.unhealthy.empty()) drain(*entry, hello.unhealthy);
  if (was_silent)
    log::info("node registered",
              {{"node", hello.node}, {"cpus", hello.found.cpus}, {"attempts", hello.attempts.size()}});

  wire::AgentWelcome welcome;
  welcome.lineage = lineage_;
  welcome.lineage.lsn = lsn_;
  welcome.lineage.last_job_id = last_job_id_;
  welcome.cluster_name = config_->cluster_name;
  welcome.config_hash = config_->hash;
  if (hello.config_hash != config_->hash) welcome.config_text = config_->bundle;
  welcome.heartbeat_s = static_cast<std::uint32_t>(config_->agentd_heartbeat);
  out_->effects.orders.push_back({conn, std::move(welcome)});

  // What was said over an earlier session may not have arrived: all that is open is said again, now.
  for (JobId id : entry->jobs)
    if (auto running = running_.find(id); running != running_.end()) {
      running->second.sent_ms = mono_ms_ - kResendMs;
      for (auto& run : running->second.hooks)
        if (run.node == hello.node) run.sent_ms = mono_ms_ - kResendMs;
    }

  std::vector<JobId> interrupted;
  for (JobId id : entry->jobs)
    if (JobPtr job = find(id); job->interruptions) interrupted.push_back(id);

  wire::AgentOrders orders;
  orders.lineage = lineage_;
  std::set<wire::AttemptKey> known;
  for (const auto& report : hello.attempts) {
    known.insert(report.key);
    on_report(*entry, report, orders.forget);
  }
  // Jobs that this node should run and says nothing of.
  std::vector<JobId> here(entry->jobs.begin(), entry->jobs.end());
  for (JobId id : here) {
    auto running = running_.find(id);
    if (running == running_.end() || running->second.node != hello.node) continue;
    if (running->second.stage != Stage::kRuns) continue;
    JobPtr job = find(id);
    if (known.contains({id, job->attempt})) continue;
    // What was claimed and is not there any more: its spool directory was emptied, or this registration was so long on its way that the
    // node knows more by now. So nothing is concluded: it is told to end it, and one without a trace answers that it never started.
    if (running->second.terminating)
      send_termination(*job, running->second);
    else if (running->second.acknowledged)
      terminate(job, true, wire::AttemptEnd::kCancelled);
    else
      send_launch(*job, running->second);
  }
  steps_missing_on(*entry, known);
  tell_limits(*entry, known, orders);
  for (JobId id : interrupted) send_standing(id, true);
  if (!orders.forget.empty() || !orders.limits.empty())
    out_->effects.orders.push_back({conn, std::move(orders)});
  if (decided)
    decide_node(*entry);
  else
    node_changed(*entry);
}

void Machine::on_report(NodeEntry& entry, const wire::AttemptReport& report,
                        std::vector<wire::AttemptKey>& forget) {
  StepEntry* step = nullptr;
  if (StepNode* run = step_node(report.key, entry.node->name, step)) {
    step_reported(*step, *run, report);
    // Kept by the node until the whole step's end is on disk: a controller that was started before then would take this part for one that
    // never began.
    if (report.phase == wire::AttemptPhase::kEnded && !step_node(report.key, entry.node->name, step))
      forget.push_back(report.key);
    return;
  }
  JobPtr job = find(report.key.job);
  if (is_hook(report.key.step) && job && is_active(job->state) && job->attempt == report.key.attempt &&
      entry.jobs.contains(job->id))
    return hook_reported(entry, job, report);
  bool current = report.key.step == kBatchStep && job && is_active(job->state) &&
                 job->attempt == report.key.attempt && running_.contains(job->id) &&
                 running_[job->id].node == entry.node->name;
  if (report.phase == wire::AttemptPhase::kEnded) {
    if (current && !attempt_ended(job, report)) return;  // not to be forgotten yet
    if (entry.stale.erase(report.key) && entry.stale.empty()) node_changed(entry);
    forget.push_back(report.key);  // leaves with this batch: the end is durable then
    return;
  }
  if (current) {
    attempt_running(job, report);
    auto& running = running_[job->id];
    if (running.terminating && mono_ms_ - running.sent_ms >= kResendMs)
      send_termination(*find(job->id), running);
    return;
  }
  if (!job && !surely_ended(report.key.job)) {
    // Never known: told, never killed by guess.
    log::warning(
        "a node runs a job that is not in the queue",
        {{"node", entry.node->name.view()}, {"job", report.key.job}, {"attempt", report.key.attempt}});
    return;
  }
  // An attempt that was given up (the node was declared lost, the job was requeued or ended, perhaps forgotten since): it ends before new
  // work comes.
  if (entry.stale.insert(report.key).second) {
    log::info("ending a stale attempt",
              {{"node", entry.node->name.view()}, {"job", report.key.job}, {"attempt", report.key.attempt}});
    node_changed(entry);
  }
  wire::AgentOrders orders;
  orders.lineage = lineage_;
  wire::SignalOrder order;
  order.key = report.key;
  order.generation = ++signal_generation_;
  order.now = true;
  orders.signals.push_back(order);
  out_->effects.orders.push_back({entry.conn, std::move(orders)});
}

// A job that is not in the queue and has an id that was given: it ended, unless it was given by a database that is no more.
bool Machine::surely_ended(JobId id) const {
  if (id == 0 || id > last_job_id_) return false;
  for (auto it = settings_.lower_bound(std::string(kUnknownJobs));
       it != settings_.end() && it->first.starts_with(kUnknownJobs); ++it)
    if (id >= std::stoul(it->first.substr(kUnknownJobs.size())) && id <= std::stoul(it->second)) return false;
  return true;
}

void Machine::on_closed(ConnId conn) {
  step_client_closed(conn);
  uses_.forget(conn);
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    std::erase_if(it->second, [conn](const auto& waiter) { return waiter.first == conn; });
    it = it->second.empty() ? waiters_.erase(it) : std::next(it);
  }
  auto it = agents_.find(conn);
  if (it == agents_.end()) return;
  NodeEntry* entry = node(it->second);
  agents_.erase(it);
  if (!entry || entry->conn != conn) return;
  uses_.node_left(entry->node->name.view());
  reply_uses();
  entry->conn =
      0;  // silence is judged by time, not by a lost connection; but nothing can be started there now
  node_changed(*entry);
}

void Machine::check_silence() {
  std::vector<NodeEntry*> overdue, gone;
  std::size_t there = 0;
  for (auto& [name, entry] : nodes_) {
    auto& n = *entry.node;
    if (n.condition == NodeCondition::kFuture) continue;
    const Seconds silent_s = (mono_ms_ - entry.heard_ms) / 1000;
    // Somebody set it so; what it ran is not waited for any longer than elsewhere.
    if (n.condition == NodeCondition::kDown) {
      if (!entry.jobs.empty() && !entry.conn && silent_s >= config_->agentd_lost_timeout)
        gone.push_back(&entry);
      continue;
    }
    ++there;
    if (n.responding && silent_s >= config_->agentd_timeout) {
      n.responding = false;
      log::warning("node does not respond", {{"node", name}, {"silent_s", silent_s}});
      node_changed(entry);
    }
    if (silent_s >= config_->agentd_lost_timeout) overdue.push_back(&entry);
  }
  // When most of the nodes fall silent at once, the fault is more likely the network's or ours than theirs.
  bool most = there > 2 && overdue.size() * 2 > there;
  if (most && !breaker_)
    log::error("most nodes are silent at once: none is declared lost until some are heard again",
               {{"silent", overdue.size()}, {"nodes", there}});
  breaker_ = most;
  if (most) return;
  for (NodeEntry* entry : overdue) node_lost(*entry, "Not responding");
  for (NodeEntry* entry : gone) end_jobs_of_lost(*entry);
}

void Machine::node_lost(NodeEntry& entry, std::string_view why) {
  auto& n = *entry.node;
  log::error("node is lost", {{"node", n.name.view()}, {"why", why}, {"jobs", entry.jobs.size()}});
  n.condition = NodeCondition::kDown;
  n.responding = false;
  n.reason = why;
  n.reason_uid = 0;
  n.reason_at = now_;
  entry.lost = true;
  decide_node(entry);
  end_jobs_of_lost(entry);
}

void Machine::end_jobs_of_lost(NodeEntry& entry) {
  const auto& n = *entry.node;
  std::vector<JobId> jobs(entry.jobs.begin(), entry.jobs.end());
  for (JobId id : jobs) {
    JobPtr job = find(id);
    if (!job || !is_active(job->state) || in_epilog(id)) continue;
    Job copy = *job;
    copy.ended = now_;
    copy.reason = Reason::kNodeDown;
    copy.detail = "node " + n.name.str() + " was lost";
    if (!hook_runs(copy, wire::kHasEpilog).empty()) {
      note_failed_node(copy, n.name);
      end_with_epilogs(std::move(copy), n.name);
      continue;
    }
    // The batch node may be another one and well: its processes end there.
    auto running = running_.find(id);
    if (running != running_.end() && !running->second.node.empty() && running->second.node != n.name) {
      terminate(job, true, wire::AttemptEnd::kCancelled);
      if (NodeEntry* batch = node(running->second.node)) {
        batch->stale.insert({id, job->attempt});
        node_changed(*batch);
      }
    }
    if (copy.cancel_requested)
      finish(std::move(copy), JobState::kCancelled, "cancelled; its node was lost", job->ended_by_uid);
    else if (note_failed_node(copy, n.name); may_requeue(copy) || copy.requeue_requested)
      back_to_queue(std::move(copy), "node " + n.name.str() + " was lost", JobState::kNodeFail, 0,
                    Hold::kNone);
    else
      finish(std::move(copy), JobState::kNodeFail, "node " + n.name.str() + " was lost", 0);
  }
}

// Orders that were not answered are said again; after several, the session is begun anew, which brings a full report.
void Machine::resend() {
  send_hooks();
  for (auto& [id, running] : running_) {
    bool open = (!running.acknowledged || running.terminating) && running.stage == Stage::kRuns;
    if (!open || mono_ms_ - running.sent_ms < kResendMs) continue;
    NodeEntry* entry = node(running.node);
    if (!entry || !entry->conn) continue;
    JobPtr job = find(id);
    if (running.sends >= 4 && running.sends % 4 == 0 && !is_leaving(*job)) {
      log::warning("an agent does not answer an order: its session begins anew",
                   {{"node", running.node.view()}, {"job", id}});
      ConnId conn = entry->conn;
      running.sends++;
      running.sent_ms = mono_ms_;
      out_->effects.close.push_back(conn);
      agents_.erase(conn);
      entry->conn = 0;
      node_changed(*entry);
      continue;
    }
    if (running.terminating)
      send_termination(*job, running);
    else
      send_launch(*job, running);
  }
}

}  // namespace bai::controller
