#include "agent/virtual_node.h"

#include <signal.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "base/units.h"

namespace bai::agent {

using step::EndReason;
using wire::AttemptKey;

namespace {

constexpr std::string_view kWord = "emulate:";
constexpr double kLongest = 10.0 * 366 * 86'400;  // seconds

// What a script without a trap does not die of.
bool survives(std::uint32_t signal) {
  return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH ||
         signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

}  // namespace

Result<std::optional<std::int64_t>> emulated_run_ms(std::string_view comment) {
  for (auto word : split_blanks(comment)) {
    if (!word.starts_with(kWord)) continue;
    auto seconds = parse_decimal(word.substr(kWord.size()), 0, kLongest);
    if (!seconds.ok())
      return Error{"bad_comment", quote(word) + " in the comment: " + seconds.error().message, "--comment",
                   "write emulate:SECONDS, such as emulate:60 or emulate:0.5"};
    return std::optional<std::int64_t>(std::llround(*seconds * 1000));
  }
  return std::optional<std::int64_t>();
}

VirtualNode::VirtualNode(MachineStart start, Time now, std::int64_t mono_ms)
    : mem_mib_(start.facts.found.mem_mib),
      machine_(std::move(start), Input{now, mono_ms, Tick{}}, first_),
      now_(now),
      mono_ms_(mono_ms) {}

VirtualOutput VirtualNode::handle(Time now, std::int64_t mono_ms, InputBody input) {
  now_ = now;
  mono_ms_ = mono_ms;
  inputs_.push_back(std::move(input));
  return turn();
}

VirtualOutput VirtualNode::on_time(Time now, std::int64_t mono_ms) {
  now_ = now;
  mono_ms_ = mono_ms;
  end_due();
  return turn();
}

std::optional<std::int64_t> VirtualNode::next_ms() const {
  std::optional<std::int64_t> next;
  for (const auto& [key, step] : steps_)
    if (auto end = end_of(step)) next = std::min(next.value_or(end->at_ms), end->at_ms);
  return next;
}

// Whatever comes first; who runs exactly as long as its limit has made it.
std::optional<VirtualNode::End> VirtualNode::end_of(const Step& step) {
  std::optional<End> first;
  auto consider = [&](std::int64_t at_ms, EndReason reason) {
    if (!first || at_ms < first->at_ms) first = End{at_ms, reason};
  };
  if (step.plan.run_ms && !step.stands_ms) consider(step.started_ms + *step.plan.run_ms, EndReason::kExited);
  if (step.plan.limit > 0 && !step.stands_ms)
    consider(step.started_ms + step.plan.limit * 1000, EndReason::kTimeout);
  if (step.deadline_ms) consider(step.deadline_ms, EndReason::kDeadline);
  return first;
}

// Everything that came in, and what follows from it, until there is nothing more; then the news leave together.
VirtualOutput VirtualNode::turn() {
  VirtualOutput result;
  Output out = std::exchange(first_, {});
  while (!inputs_.empty()) {
    while (!inputs_.empty()) {
      InputBody body = std::move(inputs_.front());
      inputs_.pop_front();
      machine_.handle(Input{now_, mono_ms_, std::move(body)}, out);
    }
    for (const auto& order : std::exchange(out.prepare, {})) prepare(order);
    for (const auto& [key, mark] : std::exchange(out.spawn, {})) spawn(key);
    for (const auto& to : std::exchange(out.urgent, {})) request(to);
    for (const auto& to : std::exchange(out.requests, {})) request(to);
    for (const auto& key : std::exchange(out.discard, {})) plans_.erase(key);
    end_due();
  }
  machine_.flush(mono_ms_, out);
  result.sends = std::move(out.sends);
  if (out.heartbeat)
    result.sends.emplace_back(wire::AgentHeartbeat{0, mem_mib_, machine_.config_hash(), "", {}, 0, ""});
  result.config_text = std::move(out.config_text);
  result.reconnect = out.reconnect;
  result.stop = out.stop;
  return result;
}

// Nothing is run, so no signature is asked for.
void VirtualNode::prepare(const wire::LaunchOrder& order) {
  Prepared answer{order.key, "virtual", {}, {}};
  Plan plan;
  plan.limit = order.time_limit;
  if (order.job && order.job->spec) {
    const auto& extras = order.job->spec->extras();
    plan.deadline = extras.deadline;
    auto run = emulated_run_ms(order.step ? order.run.comment.view() : extras.comment.view());
    if (order.step && run.ok() && !*run) run = emulated_run_ms(extras.comment.view());
    if (run.ok())
      plan.run_ms = *run;
    else
      answer.refused = run.error();
  }
  if (!answer.refused) plans_[order.key] = plan;
  inputs_.emplace_back(std::move(answer));
}

void VirtualNode::spawn(AttemptKey key) {
  auto plan = plans_.extract(key);
  Step step;
  if (!plan.empty()) step.plan = plan.mapped();
  step.started = now_;
  step.started_ms = mono_ms_;
  if (step.plan.deadline.is_set()) step.deadline_ms = mono_ms_ + (step.plan.deadline.us - now_.us) / 1000;
  steps_[key] = step;
  inputs_.emplace_back(StepRunning{key, now_});
}

void VirtualNode::request(const ToStep& to) {
  auto it = steps_.find(to.key);
  if (it == steps_.end()) return;
  if (auto* limit = std::get_if<step::SetTimeLimitRequest>(&to.request)) {
    it->second.plan.limit = static_cast<Seconds>(limit->time_limit_s);
  } else if (auto* kill = std::get_if<step::KillRequest>(&to.request)) {
    end(to.key, kill->reason, SIGKILL);
  } else if (auto* suspend = std::get_if<step::SuspendRequest>(&to.request)) {
    auto& step = it->second;
    if (suspend->suspended && !step.stands_ms) {
      step.stands_ms = mono_ms_;
    } else if (!suspend->suspended && step.stands_ms) {
      step.started_ms += mono_ms_ - *step.stands_ms;
      step.stands_ms.reset();
    }
    inputs_.emplace_back(StepStands{to.key, suspend->generation});
  } else if (auto* terminate = std::get_if<step::TerminateRequest>(&to.request)) {
    end(to.key, terminate->reason, SIGTERM);
  } else if (auto* use = std::get_if<step::UseRequest>(&to.request)) {
    LiveUse nothing;
    nothing.tasks = 1;
    inputs_.emplace_back(StepUsed{to.key, use->query, nothing});
  } else if (auto* signal = std::get_if<step::SignalRequest>(&to.request)) {
    if (signal->scope != step::Scope::kChildren && !survives(signal->signum))
      end(to.key, EndReason::kSignalled, signal->signum);
  }
}

void VirtualNode::end(AttemptKey key, EndReason reason, std::uint32_t signal) {
  const auto step = steps_.extract(key);
  step::StepStatus status;
  status.reason = reason;
  status.signal = signal;
  status.start_us = step.mapped().started.us;
  status.end_us = now_.us;
  inputs_.emplace_back(StepEnded{key, status});
}

void VirtualNode::end_due() {
  for (auto it = steps_.begin(); it != steps_.end();) {
    const AttemptKey key = it->first;
    const auto ends = end_of((it++)->second);
    if (ends && ends->at_ms <= mono_ms_)
      end(key, ends->reason, ends->reason == EndReason::kExited ? 0 : SIGTERM);
  }
}

}  // namespace bai::agent
