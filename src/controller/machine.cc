#include "controller/machine.h"
#include "controller/cpu_choice.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "controller/past_runs.h"
#include "sokovan/site.h"

namespace bai::controller {

Machine::Machine(MachineStart start, Output& out)
    : config_(std::move(start.config)),
      lineage_(start.lineage),
      lsn_(start.lineage.lsn),
      last_job_id_(start.lineage.last_job_id),
      signal_generation_((start.lineage.epoch << 40) + (start.life << 28)),
      last_tick_ms_(start.mono_ms),
      now_(start.now),
      mono_ms_(start.mono_ms),
      out_(&out) {
  if (last_job_id_ + 1 < config_->first_job_id) last_job_id_ = config_->first_job_id - 1;
  if (start.unknown_from) {
    const store::SettingPut gap{std::string(kUnknownJobs) + std::to_string(start.unknown_from),
                                std::to_string(lineage_.last_job_id)};
    start.loaded.settings[gap.key] = gap.text;
    change(gap);
    out.batch.last_job_id = last_job_id_;
  }
  load(std::move(start.loaded));
  out_ = nullptr;
}

Machine::~Machine() = default;

void Machine::handle(const Input& input, Output& out) {
  out_ = &out;
  now_ = input.now;
  mono_ms_ = input.mono_ms;
  std::visit(
      [this](const auto& body) {
        using B = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<B, FromCommand>) on_command(body);
        if constexpr (std::is_same_v<B, FromAgent>) on_agent(body);
        if constexpr (std::is_same_v<B, Closed>) on_closed(body.conn);
        if constexpr (std::is_same_v<B, Tick>) on_tick();
        if constexpr (std::is_same_v<B, Decided>) on_decided(body);
        if constexpr (std::is_same_v<B, Reconfigure>) on_reconfigure(body);
        if constexpr (std::is_same_v<B, HookDone>) on_hook_done(body);
      },
      input.body);
  out.batch.last_job_id = last_job_id_;
  out_ = nullptr;
}

Lsn Machine::next_lsn() {
  ++lsn_;
  if (out_->batch.first == 0) out_->batch.first = lsn_;
  out_->batch.last = lsn_;
  return lsn_;
}

JobPtr Machine::find(JobId id) const {
  auto it = jobs_.find(id);
  return it == jobs_.end() ? nullptr : it->second.job;
}

// ---- recovery

void Machine::load(store::Loaded loaded) {
  settings_ = std::move(loaded.settings);
  load_config();
  for (auto& put : loaded.nodes) {
    auto* entry = node(put.name);
    if (!entry) continue;  // the configuration no longer names it
    entry->decision = put;
    entry->lost = put.decision.down && put.decision.reason == "Not responding";
    auto& n = *entry->node;
    n.drain = put.decision.drain;
    if (put.decision.down) n.condition = NodeCondition::kDown;
    n.reason = put.decision.reason;
    n.reason_uid = put.decision.reason_uid;
    n.reason_at = put.decision.reason_at;
    if (put.decision.features_set) {
      auto features = split_list(put.decision.features);
      n.features.assign(features.begin(), features.end());
    }
    if (put.decision.weight_set) n.weight = put.decision.weight;
    node_changed(*entry);
  }
  estimates_ = EstimateLog(settings_);
  for (auto late : estimates_.all()) tell(sokovan::EstimateEnded{late});
  for (const auto& job : loaded.ended)
    if (auto run = run_of(*job, time_limit_in_force(*job))) tell(*run);
  for (auto& job : loaded.jobs) {
    auto& entry = jobs_[job->id];
    entry.job = job;
    if (job->array_id) {
      auto& array = arrays_[job->array_id];
      if (!job->array) array.tasks[job->array_task] = job->id;
      if (!is_finished(job->state)) array.unfinished += job->array ? job->array->waiting.count() : 1;
    }
    if (is_active(job->state)) {
      occupy(*job);
      auto& running = running_[job->id];
      const bool no_batch = job->spec->extras().no_batch;
      running.node = !no_batch && job->allocation && !job->allocation->nodes.empty()
                         ? job->allocation->nodes[0].node
                         : Istr();
      if (job->spec->extras().lease) leases_[job->id] = mono_ms_;  // a full grace period
      running.terminating =
          job->cancel_requested || job->requeue_requested || job->state == JobState::kCompleting;
      running.acknowledged = job->state != JobState::kConfiguring;
      if (running.terminating)
        running.generation = ++signal_generation_;  // an agent acts on rising ones only
      if (job->reason == Reason::kPreempted) running.as = wire::AttemptEnd::kPreempted;
      if (job->interruptions) unsettled_.insert(job->id);
      if (is_leaving(*job)) in_grace_.insert(job->id);
    }
    if (is_finished(job->state)) finished_.insert({job->ended, job->id});
  }
  load_steps(loaded.steps);
  for (auto& [id, entry] : jobs_) {
    if (entry.job->state == JobState::kPending) {
      watch_dependencies(*entry.job);
      Job copy = *entry.job;
      bool met = true;
      evaluate(copy, met);
      entry.dependencies_met = met;
      note_delays(
          *entry.job);  // as recorded: a delay that went by while nobody looked is recorded by the next tick
      if (entry.job->spec->extras().deadline.is_set())
        deadlines_.insert({entry.job->spec->extras().deadline, id});
    }
    if (!is_finished(entry.job->state)) feed_job(entry);
    out_->effects.jobs.push_back({id, entry.job, time_limit_in_force(*entry.job)});
  }
  // Allocations that were being given back, or ended: nothing of them will report but their steps.
  std::vector<JobPtr> ending;
  for (const auto& [id, running] : running_)
    if (JobPtr job = find(id); running.node.empty() && job->state == JobState::kCompleting)
      ending.push_back(job);
  for (const JobPtr& job : ending) {
    using End = wire::AttemptEnd;
    const End as = job->reason == Reason::kTimeLimit          ? End::kTimeout
                   : job->reason == Reason::kDeadline         ? End::kDeadline
                   : job->reason == Reason::kJobLaunchFailure ? End::kLaunchFailed
                                                              : End::kExited;
    end_allocation(job->id, false, as, job->exit);
  }
  resume_hooks();
}

void Machine::load_config() {
  out_->effects.config = config_;
  for (const auto& declared : config_->nodes) {
    auto [it, fresh] = nodes_.try_emplace(declared.name.str());
    auto& entry = it->second;
    if (fresh) {
      entry.node = std::make_shared<Node>();
      entry.decision.name = declared.name;
      entry.node->last_busy = now_;
      entry.heard_ms = mono_ms_;  // a full grace period after a restart
    }
    auto& n = *entry.node;
    n.name = declared.name;
    if (!entry.registered) n.address = declared.address.empty() ? declared.name : declared.address;
    n.declared = declared.shape;
    if (n.declared.cpus == 0) n.declared.cpus = entry.registered ? n.found.cpus : 0;
    if (n.declared.mem_mib == 0) n.declared.mem_mib = entry.registered ? n.found.mem_mib : 0;
    if (!entry.decision.decision.features_set) n.features = declared.features;
    if (!entry.decision.decision.weight_set) n.weight = declared.weight;
    if (fresh) {
      n.condition = declared.condition;
      if (declared.drain) {
        n.drain = true;
        n.reason = declared.reason;
        n.reason_at = now_;
      }
    }
    entry.room.cpus_total = n.declared.cpus;
    entry.room.mem_total_mib = n.declared.mem_mib;
    entry.configured = true;
    node_changed(entry);
  }
  std::vector<Partition> all = config_->partitions;
  for (auto it = settings_.lower_bound(std::string(kMadePartitions));
       it != settings_.end() && it->first.starts_with(kMadePartitions); ++it) {
    const auto made = it->first.substr(kMadePartitions.size(), it->first.size() - kMadePartitions.size() - 1);
    if (!config_->find_partition(made)) all.push_back(made_partition(made));
  }
  for (const auto& configured : all) {
    auto partition = std::make_shared<Partition>(configured);
    std::string prefix = "partition/" + partition->name.str() + "/";
    for (auto it = settings_.lower_bound(prefix); it != settings_.end() && it->first.starts_with(prefix);
         ++it) {
      if (auto done = apply_partition_value(*partition, it->first.substr(prefix.size()), it->second); done)
        partition->overridden = true;
    }
    partitions_[partition->name.str()] = partition;
    out_->effects.partitions.push_back(partition);
    tell(sokovan::PartitionSet{partition});
  }
  for (auto& change : sokovan::feed_of(*config_)) tell(std::move(change));
}

// ---- records

void Machine::put_job(Job job) {
  job.lsn = next_lsn();
  auto record = std::make_shared<const Job>(std::move(job));
  auto& entry = jobs_[record->id];
  entry.job = record;
  out_->batch.changes.push_back(store::JobPut{record});
  out_->effects.jobs.push_back({record->id, record, time_limit_in_force(*record)});
  feed_job(entry);
}

void Machine::put_volatile(Job job) {
  auto record = std::make_shared<const Job>(std::move(job));
  jobs_[record->id].job = record;
  out_->effects.jobs.push_back({record->id, record, time_limit_in_force(*record)});
}

void Machine::tell(sokovan::Change change) {
  admission_.apply(change);
  out_->feed.push_back(std::move(change));
}

void Machine::feed_job(const JobEntry& entry) { tell(sokovan::JobSet{entry.job, entry.dependencies_met}); }

void Machine::event(const Job& before, const Job& after, std::string_view cause, std::uint32_t actor) {
  change(store::EventPut{
      {after.id, after.attempt, lsn_ + 1, now_, before.state, after.state, Istr(cause), actor}});
}

void Machine::move(Job job, JobState to, std::string_view cause, std::uint32_t actor) {
  if (!may_move(job.state, to)) {
    log::error("an illegal move was refused",
               {{"job", job.id}, {"from", name(job.state)}, {"to", name(to)}, {"cause", cause}});
    return;
  }
  Job before;
  before.state = job.state;
  if (before.state == JobState::kSuspended && job.interruptions) end_standstill(job);
  job.state = to;
  event(before, job, cause, actor);
  JobId id = job.id, array_id = job.array_id;
  put_job(std::move(job));
  if (before.state == JobState::kConfiguring &&
      to == JobState::kCompleting) {  // it will never be seen running: "after" counts it as started
    reconsider_dependents(id);
    if (array_id) reconsider_dependents(array_id);
  }
}

const Partition* Machine::partition_of(const Job& job) const {
  std::string_view wanted = job.allocation ? job.allocation->partition.view() : job.spec->partition.view();
  auto it = partitions_.find(wanted.substr(0, wanted.find(',')));
  return it == partitions_.end() ? nullptr : it->second.get();
}

Seconds Machine::time_limit_in_force(const Job& job) const {
  if (job.spec->time_limit != 0) return job.spec->time_limit;
  const Partition* partition = partition_of(job);
  if (!partition) return kUnlimited;
  return partition->default_time != 0 ? partition->default_time : partition->max_time;
}

void Machine::set_trouble(std::string text) {
  if (text == trouble_) return;
  trouble_ = std::move(text);
  out_->effects.trouble = trouble_;
  if (!trouble_.empty()) log::error("no new work is taken or started", {{"why", trouble_}});
  for (auto& [name, entry] : nodes_) node_changed(entry);
}

// ---- commands

void Machine::reply(ConnId conn, const RequestId& id, wire::ReplyBody body) {
  if (conn) out_->effects.replies.push_back({conn, {id, std::move(body)}});
}

void Machine::reply_error(ConnId conn, const RequestId& id, Error error) {
  reply(conn, id, wire::ErrorBody{std::move(error)});
}

void Machine::answer(const FromCommand& command, wire::ReplyBody body) {
  answer(command.conn, command.request.id, command.caller.uid, std::move(body));
}

void Machine::answer(ConnId conn, const RequestId& id, std::uint32_t uid, wire::ReplyBody body) {
  wire::Reply reply_message{id, std::move(body)};
  std::string bytes = wire::encode_reply(reply_message);
  answers_[id] = {uid, bytes};
  answer_ages_.emplace_back(mono_ms_, id);
  change(store::RequestPut{id, uid, now_, std::move(bytes)});
  out_->effects.replies.push_back({conn, std::move(reply_message)});
}

void Machine::on_command(const FromCommand& command) {
  const auto& request = command.request;
  if (auto* wait = std::get_if<wire::WaitRequest>(&request.body)) {
    waiters_[wait->job].emplace_back(command.conn, request.id);
    release_waiters(wait->job);
    return;
  }
  if (auto* hold = std::get_if<wire::HoldRequest>(&request.body)) return on_hold(command, *hold);
  if (auto* attach = std::get_if<wire::AttachRequest>(&request.body)) return on_attach(command, *attach);
  if (auto* use = std::get_if<wire::UseRequest>(&request.body)) return on_use(command, *use);
  std::optional<Answer> known;
  if (auto it = answers_.find(request.id); it != answers_.end())
    known = it->second;
  else if (command.earlier)
    known = Answer{command.earlier->uid, command.earlier->answer};
  if (known) {
    auto first = wire::decode_reply(known->bytes);
    if (known->uid != command.caller.uid || !first)
      reply_error(command.conn, request.id,
                  {"bad_request_id", "this request id was used by someone else", "", "make a new request"});
    else {
      out_->effects.replies.push_back({command.conn, *first});
      rejoin_step(first->body, command);
    }
    return;
  }
  if (!trouble_.empty())
    return reply_error(command.conn, request.id, {"not_admitting", trouble_, "", "see the log of bai-ctld"});
  if (auto* submit = std::get_if<wire::SubmitRequest>(&request.body)) return on_submit(command, *submit);
  if (auto* action = std::get_if<wire::ActionRequest>(&request.body)) return on_action(command, *action);
  if (auto* update = std::get_if<wire::UpdateRequest>(&request.body)) return on_update(command, *update);
  if (auto* step = std::get_if<wire::StepRequest>(&request.body)) return on_step(command, *step);
  reply_error(command.conn, request.id, {"bad_message", "this request is not for the state machine"});
}

// ---- time

void Machine::on_tick() {
  // A stall of our own (a suspended machine, a long stop) is not the nodes' silence.
  if (mono_ms_ - last_tick_ms_ > 10'000)
    for (auto& [name, entry] : nodes_) entry.heard_ms = std::max(entry.heard_ms, mono_ms_);
  last_tick_ms_ = mono_ms_;

  check_silence();
  check_allocations();
  end_graces();
  resend();
  resend_steps();
  uses_.expire(mono_ms_);
  reply_uses();
  resend_standing();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    JobPtr job = find(deadlines_.begin()->second);
    deadlines_.erase(deadlines_.begin());
    if (job && job->state == JobState::kPending) {
      Job copy = *job;
      copy.reason = Reason::kDeadline;
      copy.detail = "its deadline came before it could start";
      finish(std::move(copy), JobState::kDeadline, "deadline", 0);
    }
  }
  for (auto it = delayed_.begin(); it != delayed_.end();) {
    JobId id = *it++;
    reconsider_dependents(id);
    if (!dependents_.contains(id)) delayed_.erase(id);
  }
  while (!answer_ages_.empty() && answer_ages_.front().first + kAnswerMemoryMs < mono_ms_) {
    answers_.erase(answer_ages_.front().second);
    answer_ages_.pop_front();
  }
  forget_old(kForgetPerTick);
}

// Ended jobs leave once MinJobAge is over: at most `budget` of them, which costs more than a look at those that must stay.
void Machine::forget_old(std::size_t budget) {
  for (std::size_t looks = 10 * budget; looks > 0 && budget > 0 && !finished_.empty(); --looks) {
    const auto [since, id] = *finished_.begin();
    if (since + config_->min_job_age > now_) break;
    finished_.erase(finished_.begin());
    JobPtr job = find(id);
    // It was requeued, and is here again for its later end if it had one.
    if (!job || !is_finished(job->state) || job->ended + config_->min_job_age > now_) continue;
    // An array goes as a whole, and what others wait for stays: their answers depend on it. They are asked again later.
    auto array = arrays_.find(job->array_id);
    bool needed = dependents_.contains(id) || (job->array_id && dependents_.contains(job->array_id)) ||
                  (array != arrays_.end() && array->second.unfinished > 0);
    if (needed) {
      finished_.insert({now_ + (kAskAgain - config_->min_job_age), id});
      continue;
    }
    --budget;
    bool last_of_array = true;
    if (array != arrays_.end()) {
      array->second.tasks.erase(job->array_task);
      // Tasks that never started ended as the head, which is a record of its own.
      JobPtr head = job->array ? nullptr : find(job->array_id);
      last_of_array = array->second.tasks.empty() && !(head && head->array);
      if (last_of_array) arrays_.erase(array);
    }
    jobs_.erase(id);
    waiters_.erase(id);
    change(store::JobForget{job->array_id && last_of_array ? job->array_id : id, last_of_array});
    if (job->array_id && last_of_array && job->array_id != id) change(store::JobForget{id, false});
    out_->effects.jobs.push_back({id, nullptr, 0});
  }
}

void Machine::on_reconfigure(const Reconfigure& input) {
  if (!input.caller.is_operator)
    return reply_error(input.conn, input.request,
                       {"not_permitted", "only an operator may reconfigure", "", "ask root or BaiUser"});
  auto changes = diff(*config_, *input.config);
  for (const auto& [name, entry] : nodes_) {
    if (input.config->find_node(name) || !entry.configured) continue;
    if (!entry.jobs.empty())
      return reply_error(input.conn, input.request,
                         {"node_busy", "node " + name + " has jobs and cannot be removed", "",
                          "drain it and wait, or cancel its jobs"});
  }
  config_ = input.config;
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    if (config_->find_node(it->first) || !it->second.configured) {
      ++it;
      continue;
    }
    if (it->second.conn) {
      out_->effects.close.push_back(it->second.conn);
      agents_.erase(it->second.conn);
    }
    out_->effects.nodes_gone.push_back(it->second.node->name);
    tell(sokovan::NodeGone{it->second.node->name});
    it = nodes_.erase(it);
  }
  for (auto it = partitions_.begin(); it != partitions_.end();) {
    if (config_->find_partition(it->first) ||
        settings_.contains(std::string(kMadePartitions) + it->first + "/")) {
      ++it;
      continue;
    }
    out_->effects.partitions_gone.push_back(it->second->name);
    tell(sokovan::PartitionGone{it->second->name});
    it = partitions_.erase(it);
  }
  load_config();
  for (const auto& [conn, node_name] : agents_)
    out_->effects.orders.push_back({conn, wire::AgentConfig{config_->hash, config_->bundle}});
  if (changes.empty()) changes.push_back("nothing changed");
  for (const auto& line : changes) log::info("reconfigured", {{"change", line}});
  reply(input.conn, input.request, wire::DoneReply{std::move(changes)});
}

void Machine::mail(const Job& job, std::uint16_t event, std::string_view what) {
  const auto& extras = job.spec->extras();
  if (!(extras.mail_events & event)) return;
  if (job.array_id && !(extras.mail_events & kMailArrayTasks) && event == kMailBegin &&
      job.array_task != job.array_id)
    return;
  std::string to = extras.mail_user.empty() ? job.spec->user.str() : extras.mail_user.str();
  out_->effects.mails.push_back(
      {to, "bai Job_id=" + display_id(job) + " Name=" + job.spec->name.str() + " " + std::string(what)});
}

void Machine::release_waiters(JobId id) {
  auto it = waiters_.find(id);
  if (it == waiters_.end()) return;
  wire::WaitReply result;
  auto worst = [&result](const Job& job) {
    if (job.exit.signal > result.exit.signal ||
        (job.exit.signal == result.exit.signal && job.exit.code > result.exit.code) ||
        (result.state == JobState::kCompleted && job.state != JobState::kCompleted))
      result = {job.state, job.exit};
  };
  if (auto array = arrays_.find(id); array != arrays_.end()) {
    if (array->second.unfinished > 0) return;
    for (auto [task, task_id] : array->second.tasks)
      if (JobPtr job = find(task_id)) worst(*job);
  } else if (JobPtr job = find(id)) {
    if (!is_finished(job->state)) return;
    result = {job->state, job->exit};
  } else {
    for (auto& [conn, request] : it->second)
      reply_error(conn, request,
                  {"no_such_job", "job " + std::to_string(id) + " is not in the queue", "",
                   "ask bai-acct -j " + std::to_string(id)});
    waiters_.erase(it);
    return;
  }
  for (auto& [conn, request] : it->second) reply(conn, request, result);
  waiters_.erase(it);
}

std::vector<ConnId> Machine::waiting() const {
  std::vector<ConnId> out;
  for (const auto& [job, waiters] : waiters_)
    for (const auto& [conn, request] : waiters) out.push_back(conn);
  for (const auto& [job, holders] : holders_)
    for (const auto& holder : holders) out.push_back(holder.conn);
  for (const auto& [job, steps] : steps_) {
    for (const auto& waiting : steps.waiting) out.push_back(waiting.conn);
    for (const auto& [id, entry] : steps.live)
      for (const auto& [conn, request] : entry.clients) out.push_back(conn);
  }
  for (ConnId conn : uses_.waiting()) out.push_back(conn);
  return out;
}

std::string Machine::check_invariants() const {
  for (const auto& [id, entry] : jobs_) {
    const Job& job = *entry.job;
    if (job.id != id) return "job " + std::to_string(id) + " is filed under a wrong id";
    if (is_active(job.state) != running_.contains(id))
      return "job " + std::to_string(id) + ": active state and running edge differ";
    if (is_active(job.state) && !job.allocation)
      return "job " + std::to_string(id) + " is active without an allocation";
    if (id > last_job_id_) return "job " + std::to_string(id) + " is beyond the last id given";
  }
  for (const auto& [name, entry] : nodes_) {
    std::uint64_t cpus = 0, mem = 0, named_count = 0;
    IdSet named;
    for (JobId id : entry.jobs) {
      JobPtr job = find(id);
      if (!job || !is_active(job->state)) return "node " + name + " holds ended job " + std::to_string(id);
      for (const auto& share : job->allocation->nodes)
        if (share.node == name) {
          cpus += share.cpus, mem += share.mem_mib;
          const IdSet own = cpu_set(share.cpu_ids.view());
          named_count += own.count();
          for (const auto& range : own.ranges()) named.insert(range.first, range.last);
        }
    }
    if (named.count() != named_count) return "node " + name + ": a processor is two jobs'";
    if (!(named == entry.cpus_taken)) return "node " + name + ": its processors are miscounted";
    if (entry.registered && cpus > entry.room.cpus_total)
      return "node " + name + " is over-committed in CPUs";
    if (cpus != entry.node->cpus_used || mem != entry.node->mem_used_mib)
      return "node " + name + ": its use is miscounted";
  }
  for (const auto& [id, since] : leases_)
    if (JobPtr job = find(id); !job || is_finished(job->state))
      return "a lease is kept of job " + std::to_string(id) + ", which is over";
  return {};
}

}  // namespace bai::controller
