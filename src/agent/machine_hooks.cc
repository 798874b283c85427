// The machine's rules for Prolog and Epilog, and for a node's health.
#include <vector>

#include "agent/machine.h"
#include "model/hooks.h"

namespace bai::agent {

using wire::AttemptEnd;
using wire::AttemptKey;
using wire::AttemptPhase;

namespace {

bool went_well(const wire::AttemptReport& report) {
  return report.end == AttemptEnd::kExited && report.exit.code == 0;
}

bool same_start(AttemptKey a, AttemptKey b) { return a.job == b.job && a.attempt == b.attempt; }

AttemptKey prolog_of(AttemptKey key) { return {key.job, key.attempt, kPrologStep}; }

}  // namespace

// True when it is as if the hook had never been: it was claimed and never began, or ran before the node was restarted, which
// undoes what a prolog did and ends what an epilog was doing. The controller orders it again, or the next launch does.
bool Machine::forget_hook(const FoundAttempt& found, Output& out) {
  const AttemptRecord& record = found.record;
  if (!is_hook(record.key.step)) return false;
  const bool over = record.ended || record.status || found.status;
  const bool old = record.boot_id != boot_id_;
  const bool never = !over && found.shepherd == FoundAttempt::Shepherd::kNone && found.has_directory;
  if (!(never || (old && (!over || record.key.step == kPrologStep)))) return false;
  attempts_.erase(record.key);
  out.journal += encode_forget(record.key);
  out.discard.push_back(record.key);
  return true;
}

bool Machine::any_alive(AttemptKey epilog) const {
  for (auto it = attempts_.lower_bound({epilog.job, epilog.attempt, 0});
       it != attempts_.end() && same_start(it->first, epilog); ++it)
    if (it->first != epilog && it->second.report.phase != AttemptPhase::kEnded) return true;
  return false;
}

bool Machine::must_wait(Entry& entry, const wire::LaunchOrder& order, Output& out) {
  const AttemptKey key = order.key;
  if (key.step == kEpilogStep) return any_alive(key);
  if (key.step == kPrologStep) return false;
  const AttemptKey first = prolog_of(key);
  auto prolog = attempts_.find(first);
  if (entry.cancelled && (prolog == attempts_.end() || prolog->second.is_idle())) return false;
  if (prolog == attempts_.end() && !(facts_.hooks & wire::kHasProlog)) return false;
  if (prolog == attempts_.end()) {
    prolog = attempts_.try_emplace(first).first;
    prolog->second.record.key = prolog->second.report.key = first;
    prolog->second.report.phase = AttemptPhase::kPreparing;
  }
  Entry& its = prolog->second;
  if (its.report.phase == AttemptPhase::kEnded) return false;
  if (its.is_idle()) {
    wire::LaunchOrder prepare = order;
    prepare.key = first;
    its.preparing = true;
    entry.report.message = its.report.message;  // why it could not, the last time
    out.prepare.push_back(std::move(prepare));
  }
  return true;
}

void Machine::begin(Entry& entry, const wire::LaunchOrder& order, Output& out) {
  const AttemptKey key = order.key;
  if (must_wait(entry, order, out)) {
    if (!entry.waiting) entry.waiting = std::make_shared<const wire::LaunchOrder>(order);
    waiting_.insert(key);
    return;
  }
  const auto keep = std::exchange(entry.waiting, nullptr);  // `order` may be it
  waiting_.erase(key);
  if (entry.cancelled) return end(entry, AttemptEnd::kNeverStarted, {}, "", out);
  auto prolog = attempts_.find(prolog_of(key));
  if (!is_hook(key.step) && prolog != attempts_.end() && !went_well(prolog->second.report)) {
    const auto& its = prolog->second.report;
    if (its.end == AttemptEnd::kLaunchFailed)  // the job's fault, or bai-stepd's
      return end(entry, AttemptEnd::kLaunchFailed, {1, 0}, its.message, out);
    return end(entry, AttemptEnd::kPrologFailed, {1, 0}, "the prolog failed on " + facts_.node, out);
  }
  out.prepare.push_back(order);
}

// Those that wait for a part of the same start and whose turn has come; `cancelled_only`: no others are to be tried again.
void Machine::let_others_go(AttemptKey of, Output& out, bool cancelled_only) {
  std::vector<AttemptKey> keys;
  for (auto it = waiting_.lower_bound({of.job, of.attempt, 0}); it != waiting_.end() && same_start(*it, of);
       ++it)
    keys.push_back(*it);
  for (const AttemptKey& key : keys) {
    auto it = attempts_.find(key);
    if (it == attempts_.end() || !it->second.waiting || (cancelled_only && !it->second.cancelled)) continue;
    begin(it->second, *it->second.waiting, out);
  }
}

// A prolog that nobody waits for and that was never begun is as if it had not been asked for.
void Machine::drop_idle_prolog(AttemptKey of, Output& out) {
  const auto prolog = attempts_.find(prolog_of(of));
  if (prolog == attempts_.end() || !prolog->second.is_idle()) return;
  for (auto it = waiting_.lower_bound({of.job, of.attempt, 0}); it != waiting_.end() && same_start(*it, of);
       ++it)
    if (it->step != kEpilogStep) return;
  news_.erase(prolog->first);
  out.discard.push_back(prolog->first);
  attempts_.erase(prolog);
  let_others_go(of, out);  // its epilog
}

void Machine::set_unhealthy(std::string why) {
  unhealthy_ = std::move(why);
  last_send_ms_ = mono_ms_ - heartbeat_ms_;  // the next tick brings a heartbeat
}

}  // namespace bai::agent
