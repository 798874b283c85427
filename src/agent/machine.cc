#include "agent/machine.h"

#include <signal.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/log.h"
#include "base/rand.h"
#include "model/hooks.h"

namespace bai::agent {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

namespace {

Usage usage_of(const step::StepUse& use) {
  return {.user_us = use.user_us,
          .system_us = use.system_us,
          .max_rss_kib = use.max_rss_kib,
          .sum_rss_kib = use.sum_rss_kib,
          .read_bytes = use.read_bytes,
          .write_bytes = use.write_bytes,
          .max_read_bytes = use.max_read_bytes,
          .max_write_bytes = use.max_write_bytes};
}

AttemptEnd end_of(step::EndReason reason) {
  using R = step::EndReason;
  switch (reason) {
    case R::kExited:
      return AttemptEnd::kExited;
    case R::kSignalled:
      return AttemptEnd::kSignalled;
    case R::kTimeout:
      return AttemptEnd::kTimeout;
    case R::kDeadline:
      return AttemptEnd::kDeadline;
    case R::kCancelled:
      return AttemptEnd::kCancelled;
    case R::kPreempted:
      return AttemptEnd::kPreempted;
    case R::kNodeShutdown:
      return AttemptEnd::kNodeRebooted;
    case R::kLaunchFailed:
      return AttemptEnd::kLaunchFailed;
    case R::kShepherdLost:
      return AttemptEnd::kShepherdLost;
    case R::kOutOfMemory:
      return AttemptEnd::kOutOfMemory;
  }
  return AttemptEnd::kShepherdLost;
}

step::EndReason reason_of(AttemptEnd end) {
  if (end == AttemptEnd::kTimeout) return step::EndReason::kTimeout;
  if (end == AttemptEnd::kDeadline) return step::EndReason::kDeadline;
  if (end == AttemptEnd::kPreempted) return step::EndReason::kPreempted;
  return step::EndReason::kCancelled;
}

step::Notice notice_of(wire::Notice notice) {
  switch (notice) {
    case wire::Notice::kNone:
      return step::Notice::kNone;
    case wire::Notice::kOwnSignal:
      return step::Notice::kOwnSignal;
    case wire::Notice::kOwnSignalOrTerm:
      return step::Notice::kOwnSignalOrTerm;
  }
  return step::Notice::kNone;
}

step::Request ending_request(const wire::SignalOrder& order) {
  if (order.now) return step::KillRequest{reason_of(order.as), ""};
  return step::TerminateRequest{reason_of(order.as), "", -1, std::int64_t{order.grace_s} * 1000,
                                notice_of(order.notice)};
}

step::Request suspend_request(const AttemptRecord& record) {
  return step::SuspendRequest{record.suspended, record.suspend_generation};
}

// How far a node is in its interval when it is welcomed: nodes that came in one moment do not all speak in one moment ever after.
std::int64_t heartbeat_phase(std::string_view node, std::int64_t interval_ms) {
  std::uint64_t seed = 0;
  for (char c : node) seed = seed * 131 + static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(splitmix64(seed) % static_cast<std::uint64_t>(interval_ms));
}

std::uint64_t limit_of(Seconds limit) { return limit > 0 ? static_cast<std::uint64_t>(limit) : 0; }

}  // namespace

Machine::Machine(MachineStart start, const Input& now, Output& out)
    : facts_(std::move(start.facts)),
      boot_id_(std::move(start.boot_id)),
      seen_(start.seen),
      one_of_many_(start.one_of_many),
      now_(now.now),
      mono_ms_(now.mono_ms) {
  facts_.attempts.clear();
  facts_.config_hash = start.config_hash;
  for (auto& found : start.found) load(std::move(found), out);
}

void Machine::load(FoundAttempt found, Output& out) {
  if (forget_hook(found, out)) return;
  const AttemptKey key = found.record.key;
  Entry& entry = attempts_[key];
  entry.record = std::move(found.record);
  entry.report.key = key;
  entry.time_limit = -2;  // not known: the controller says it when this agent registers
  const AttemptRecord& record = entry.record;
  if (record.ended) {
    entry.report.phase = AttemptPhase::kEnded;
    entry.report.end = record.end;
    entry.report.exit = record.exit;
    entry.report.ended = record.ended_at;
    entry.report.message = record.message;
    news_.insert(key);
  } else if (record.status || found.status) {
    ended(entry, record.status ? *record.status : *found.status, out);
  } else if (record.boot_id != boot_id_) {
    end(entry, AttemptEnd::kNodeRebooted, {0, SIGKILL}, "the node was restarted while the job ran", out);
  } else if (found.shepherd == FoundAttempt::Shepherd::kAlive) {
    news_.insert(key);
    // The last agent may have died before it said so.
    if (record.suspend_generation != 0) out.requests.push_back({key, suspend_request(record)});
  } else if (found.shepherd == FoundAttempt::Shepherd::kDead) {
    out.bury.push_back(key);
  } else if (!found.has_directory) {
    end(entry, AttemptEnd::kShepherdLost, {0, SIGKILL}, "its spool directory is gone", out);
  } else {
    end(entry, AttemptEnd::kNeverStarted, {}, "the agent was stopped before it was started", out);
  }
}

const wire::AttemptReport* Machine::report(AttemptKey key) const {
  auto it = attempts_.find(key);
  return it == attempts_.end() ? nullptr : &it->second.report;
}

Machine::Entry* Machine::running(AttemptKey key) {
  auto it = attempts_.find(key);
  if (it == attempts_.end() || it->second.report.phase == AttemptPhase::kEnded ||
      it->second.report.phase == AttemptPhase::kPreparing)
    return nullptr;
  return &it->second;
}

void Machine::handle(const Input& input, Output& out) {
  now_ = input.now;
  mono_ms_ = input.mono_ms;
  const auto& body = input.body;
  if (std::holds_alternative<SessionUp>(body)) {
    on_up(out);
  } else if (std::holds_alternative<SessionDown>(body)) {
    session_ = Session::kDown;
    out.sends.clear();  // they were for that session
  } else if (auto* order = std::get_if<OrderIn>(&body)) {
    on_order(order->order, out);
  } else if (auto* prepared = std::get_if<Prepared>(&body)) {
    on_prepared(*prepared, out);
  } else if (auto* up = std::get_if<StepRunning>(&body)) {
    if (Entry* entry = running(up->key)) {
      entry->report.phase = AttemptPhase::kRunning;
      entry->report.started = up->started;
      news_.insert(up->key);
    }
  } else if (auto* end_of_step = std::get_if<StepEnded>(&body)) {
    if (Entry* entry = running(end_of_step->key)) ended(*entry, end_of_step->status, out);
  } else if (auto* lost = std::get_if<StepLost>(&body)) {
    if (Entry* entry = running(lost->key)) {
      const bool ever = lost->began || entry->report.phase == AttemptPhase::kRunning;
      end(*entry, ever ? AttemptEnd::kShepherdLost : AttemptEnd::kNeverStarted,
          ever ? ExitStatus{0, SIGKILL} : ExitStatus{}, lost->message, out);
    }
  } else if (auto* failed = std::get_if<SpawnFailed>(&body)) {
    if (Entry* entry = running(failed->key))
      end(*entry, AttemptEnd::kLaunchFailed, {1, 0}, facts_.node + ": " + failed->error.text(), out);
  } else if (auto* used = std::get_if<StepUsed>(&body)) {
    if (session_ == Session::kWelcomed)
      out.sends.emplace_back(
          wire::AgentUse{used->query, used->key, used->use.has_value(), used->use.value_or(LiveUse{})});
  } else if (auto* stands = std::get_if<StepStands>(&body)) {
    if (Entry* entry = running(stands->key); entry && stands->generation > entry->report.suspend_generation) {
      entry->report.suspend_generation = stands->generation;
      news_.insert(stands->key);
    }
  } else if (std::holds_alternative<SendFailed>(body)) {
    for (const auto& [key, entry] : attempts_) news_.insert(key);
  } else {
    on_tick(out);
  }
}

void Machine::on_up(Output& out) {
  session_ = Session::kRegistering;
  session_ms_ = mono_ms_;
  wire::AgentRegister hello = facts_;
  hello.seen = seen_;
  hello.unhealthy = unhealthy_;
  for (auto& [key, entry] : attempts_) {
    hello.attempts.push_back(entry.report);
    entry.sent_ms = mono_ms_;
    entry.repeat_ms = kRepeatEndMs;
    if (entry.report.phase == AttemptPhase::kEnded && key.step != kPrologStep) open_ends_.insert(key);
  }
  news_.clear();
  last_send_ms_ = mono_ms_;
  out.sends.emplace_back(std::move(hello));
}

void Machine::refuse_session(const Error& why) {
  session_ = Session::kRefused;
  session_ms_ = mono_ms_;
  if (why.message != last_refusal_)
    log::error("no service under this controller: " + why.code, {{"why", why.text()}});
  last_refusal_ = why.message;
}

bool Machine::check_lineage(const Lineage& lineage, Output& out) {
  if (!seen_.cluster.empty() && lineage.cluster != seen_.cluster) {
    refuse_session({"other_cluster",
                    "the controller is of cluster " + lineage.cluster.hex() + ", this node belongs to " +
                        seen_.cluster.hex(),
                    "", "empty the agent's spool directory if the node shall change clusters"});
    return false;
  }
  if (lineage.epoch < seen_.epoch) {
    refuse_session({"old_controller", "the controller is of epoch " + std::to_string(lineage.epoch) +
                                          ", this node has served epoch " + std::to_string(seen_.epoch) +
                                          ": a newer one took its place"});
    return false;
  }
  const bool changed = lineage.cluster != seen_.cluster || lineage.epoch != seen_.epoch;
  seen_.cluster = lineage.cluster;
  seen_.epoch = lineage.epoch;
  seen_.lsn = std::max(seen_.lsn, lineage.lsn);
  seen_.last_job_id = std::max(seen_.last_job_id, lineage.last_job_id);
  if (changed) {
    out.journal += encode_lineage(seen_);
    out.sync = true;
  }
  return true;
}

void Machine::on_order(const wire::OrderBody& order, Output& out) {
  if (session_ == Session::kRefused || session_ == Session::kDown) return;
  if (auto* welcome = std::get_if<wire::AgentWelcome>(&order)) return on_welcome(*welcome, out);
  if (auto* refused = std::get_if<wire::AgentRefused>(&order)) return refuse_session(refused->error.error);
  if (auto* config = std::get_if<wire::AgentConfig>(&order)) {
    out.config_text = config->config_text;
    set_config_hash(config->config_hash);
    out.heartbeat = true;  // says that it is here
    return;
  }
  if (std::holds_alternative<wire::AgentStop>(order)) {
    log::info("the controller asked this agent to stop; steps go on");
    out.stop = true;
    return;
  }
  const auto& orders = std::get<wire::AgentOrders>(order);
  if (!check_lineage(orders.lineage, out)) return;
  for (const auto& launch : orders.launches) on_launch(launch, out);
  for (const auto& signal : orders.signals) on_signal(signal, out);
  for (const auto& suspend : orders.suspends) on_suspend(suspend, out);
  for (const auto& limit : orders.limits)
    if (Entry* entry = running(limit.key)) set_time_limit(*entry, limit.time_limit, out);
  for (const auto& key : orders.forget) on_forget(key, out);
  for (const auto& attach : orders.attaches)
    if (running(attach.key))
      out.urgent.push_back(
          {attach.key, step::AttachRequest{attach.client.endpoints, attach.client.key, attach.write}});
  for (const auto& use : orders.uses) on_use(use, out);
}

void Machine::on_welcome(const wire::AgentWelcome& welcome, Output& out) {
  if (!check_lineage(welcome.lineage, out)) return;
  if (session_ != Session::kWelcomed || !last_refusal_.empty())
    log::write(one_of_many_ ? log::Level::debug : log::Level::info, "registered",
               {{"cluster", welcome.cluster_name}, {"epoch", welcome.lineage.epoch}});
  session_ = Session::kWelcomed;
  unhealthy_.clear();
  last_refusal_.clear();
  heartbeat_ms_ = std::clamp<std::int64_t>(welcome.heartbeat_s, 1, 3600) * 1000;
  last_send_ms_ = mono_ms_ - heartbeat_phase(facts_.node, heartbeat_ms_);
  if (!welcome.config_text.empty()) {
    out.config_text = welcome.config_text;
    set_config_hash(welcome.config_hash);
  }
  out.heartbeat = true;
}

void Machine::on_launch(const wire::LaunchOrder& order, Output& out) {
  crash_point("agent.launch_received");
  auto it = attempts_.find(order.key);
  if (it == attempts_.end()) {
    Entry& entry = attempts_[order.key];
    entry.record.key = entry.report.key = order.key;
    entry.report.phase = AttemptPhase::kPreparing;
    it = attempts_.find(order.key);
  } else {
    news_.insert(order.key);
  }
  Entry& entry = it->second;
  if (entry.report.phase == AttemptPhase::kPreparing) {
    entry.time_limit = order.time_limit;
    if (!std::exchange(entry.preparing, true))
      begin(entry, order, out);
    else if (entry.waiting)
      begin(entry, *entry.waiting, out);
    return;
  }
  if (is_hook(order.key.step)) return;  // its time is not its job's
  if (entry.report.phase != AttemptPhase::kEnded) set_time_limit(entry, order.time_limit, out);
}

void Machine::set_time_limit(Entry& entry, Seconds limit, Output& out) {
  if (std::exchange(entry.time_limit, limit) == limit) return;
  out.urgent.push_back({entry.report.key, step::SetTimeLimitRequest{limit_of(limit)}});
}

void Machine::on_prepared(const Prepared& prepared, Output& out) {
  auto it = attempts_.find(prepared.key);
  if (it == attempts_.end() || it->second.report.phase == AttemptPhase::kEnded)
    return out.discard.push_back(prepared.key);  // it was ended first
  Entry& entry = it->second;
  if (!std::exchange(entry.preparing, false)) return;
  if (prepared.later) {
    out.discard.push_back(prepared.key);
    entry.report.message = prepared.later->text();
    news_.insert(prepared.key);
    let_others_go(prepared.key, out, true);  // who is not wanted any more does not wait for it
    return;
  }
  entry.report.message.clear();
  seen_.last_job_id = std::max(seen_.last_job_id, prepared.key.job);
  if (prepared.refused) {
    out.discard.push_back(prepared.key);
    return end(entry, AttemptEnd::kLaunchFailed, {1, 0}, prepared.refused->text(), out);
  }
  entry.report.phase = AttemptPhase::kClaimed;
  entry.record.boot_id = boot_id_;
  entry.record.mark = prepared.mark;
  out.journal += encode_lineage(seen_) + encode_attempt(entry.record);
  out.sync = true;
  out.spawn.emplace_back(prepared.key, prepared.mark);
  news_.insert(prepared.key);
}

void Machine::on_signal(const wire::SignalOrder& order, Output& out) {
  auto it = attempts_.find(order.key);
  if (it == attempts_.end()) {
    if (order.signal != 0) return;  // nothing here to signal
    Entry& entry = attempts_[order.key];
    entry.record.key = entry.report.key = order.key;
    return end(entry, AttemptEnd::kNeverStarted, {}, "", out);
  }
  Entry& entry = it->second;
  if (entry.report.phase == AttemptPhase::kPreparing) {
    if (order.signal != 0) return;
    news_.insert(order.key);
    entry.cancelled = true;
    // What waits for its prolog ends with that: until then the job is not over here.
    if (entry.waiting)
      begin(entry, *entry.waiting, out);
    else
      end(entry, AttemptEnd::kNeverStarted, {}, "", out);
    return;
  }
  if (entry.report.phase == AttemptPhase::kEnded) {
    news_.insert(order.key);
    return;
  }
  if (order.signal == 0) {
    news_.insert(order.key);  // so that its controller knows that it is heard
    if (order.generation <= entry.end_generation) return;
    entry.end_generation = order.generation;
    out.urgent.push_back({order.key, ending_request(order)});
    return;
  }
  // A signal is no state: passed on at most once, so its generation is durable before.
  if (order.generation <= entry.record.signal_generation) return;
  entry.record.signal_generation = order.generation;
  out.journal += encode_attempt(entry.record);
  out.sync = true;
  out.requests.push_back(
      {order.key,
       step::SignalRequest{order.signal, order.batch_only ? step::Scope::kBatch : step::Scope::kAll}});
}

// Durable before its shepherd hears of it, so that the next agent says the same.
void Machine::on_suspend(const wire::SuspendOrder& order, Output& out) {
  Entry* entry = running(order.key);
  if (!entry) return;  // not launched yet, or over: the controller asks again, or learns of the end
  AttemptRecord& record = entry->record;
  if (order.generation < record.suspend_generation) return;
  if (order.generation == record.suspend_generation) {
    if (entry->report.suspend_generation == order.generation)
      news_.insert(order.key);
    else
      out.requests.push_back({order.key, suspend_request(record)});
    return;
  }
  record.suspend_generation = order.generation;
  record.suspended = order.suspended;
  out.journal += encode_attempt(record);
  out.sync = true;
  out.requests.push_back({order.key, suspend_request(record)});
}

void Machine::on_forget(AttemptKey key, Output& out) {
  auto it = attempts_.find(key);
  if (it == attempts_.end()) return;
  if (it->second.report.phase != AttemptPhase::kEnded) {
    log::warning("told to forget an attempt that has not ended",
                 {{"job", key.job}, {"attempt", key.attempt}});
    return;
  }
  crash_point("agent.before_forget");
  attempts_.erase(it);
  news_.erase(key);
  open_ends_.erase(key);
  out.journal += encode_forget(key);
  out.discard.push_back(key);
}

void Machine::on_use(const wire::UseOrder& order, Output& out) {
  for (const AttemptKey& key : order.keys) {
    if (running(key))
      out.urgent.push_back({key, step::UseRequest{order.query}});
    else
      out.sends.emplace_back(wire::AgentUse{order.query, key, false, {}});
  }
}

void Machine::end(Entry& entry, AttemptEnd end, ExitStatus exit, std::string message, Output& out) {
  entry.record.ended = true;
  entry.record.end = entry.report.end = end;
  entry.record.exit = entry.report.exit = exit;
  entry.record.ended_at = entry.report.ended = now_;
  entry.record.message = entry.report.message = std::move(message);
  entry.report.phase = AttemptPhase::kEnded;
  entry.waiting.reset();
  waiting_.erase(entry.report.key);
  out.journal += encode_attempt(entry.record);
  out.sync = true;
  news_.insert(entry.report.key);
  const AttemptKey key = entry.report.key;
  let_others_go(key, out);
  drop_idle_prolog(key, out);
}

void Machine::ended(Entry& entry, const step::StepStatus& status, Output& out) {
  crash_point("agent.end_seen");
  entry.record.status = status;
  out.journal += encode_attempt(entry.record);
  auto& report = entry.report;
  report.phase = AttemptPhase::kEnded;
  report.end = end_of(status.reason);
  report.started = Time{status.start_us};
  report.ended = Time{status.end_us};
  report.exit = {static_cast<std::uint8_t>(status.exit_code), static_cast<std::uint8_t>(status.signal)};
  report.message = status.message;
  report.usage = usage_of(status.use);
  news_.insert(report.key);
  let_others_go(report.key, out);
}

void Machine::on_tick(Output& out) {
  tick_ = true;
  for (const AttemptKey& key : open_ends_) {
    auto it = attempts_.find(key);
    if (it == attempts_.end() || mono_ms_ - it->second.sent_ms < it->second.repeat_ms) continue;
    it->second.repeat_ms = std::min(2 * it->second.repeat_ms, kMaxRepeatEndMs);
    news_.insert(key);
  }
  if (session_ == Session::kWelcomed && mono_ms_ - last_send_ms_ >= heartbeat_ms_ - 500) {
    last_send_ms_ = mono_ms_;
    out.heartbeat = true;
  }
  const bool deaf = session_ == Session::kRegistering && mono_ms_ - session_ms_ >= kWelcomeTimeMs;
  const bool again = session_ == Session::kRefused && mono_ms_ - session_ms_ >= kSessionPauseMs;
  if (deaf) log::warning("the controller does not answer the registration; dialling again");
  if (deaf || again) {
    session_ms_ = mono_ms_;
    out.reconnect = true;
  }
}

void Machine::flush(std::int64_t mono_ms, Output& out) {
  const bool tick = std::exchange(tick_, false);
  if (session_ != Session::kWelcomed || news_.empty()) return;
  wire::AgentAttempts message;
  for (auto it = news_.begin(); it != news_.end();) {
    auto found = attempts_.find(*it);
    if (found == attempts_.end()) {
      it = news_.erase(it);
      continue;
    }
    Entry& entry = found->second;
    if (entry.report.phase == AttemptPhase::kClaimed && !tick) {
      ++it;
      continue;
    }
    // A prolog's end stays known until its job's: there is nothing to be forgotten soon.
    if (entry.report.phase == AttemptPhase::kEnded && it->step != kPrologStep) open_ends_.insert(*it);
    entry.sent_ms = mono_ms;
    message.attempts.push_back(entry.report);
    it = news_.erase(it);
  }
  if (!message.attempts.empty()) out.sends.emplace_back(std::move(message));
}

std::string Machine::snapshot() const {
  std::string out;
  if (!seen_.cluster.empty()) out += encode_lineage(seen_);
  for (const auto& [key, entry] : attempts_)
    if (entry.report.phase != AttemptPhase::kPreparing) out += encode_attempt(entry.record);
  return out;
}

}  // namespace bai::agent
