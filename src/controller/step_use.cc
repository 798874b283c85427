// What running steps use: a question that goes on to the agents of their nodes, whose answers gather in use_queries.h.
#include <set>

#include "controller/machine.h"

namespace bai::controller {
namespace {

Error not_running(JobId job) {
  return {"not_running", "No steps running for job " + std::to_string(job), "",
          "see bai-queue; bai-acct has what ended steps used"};
}

wire::StepUse row_of(const Job& job, StepId step) {
  wire::StepUse out;
  out.job = job.id;
  out.array_job = job.array_id;
  out.array_task = job.array_id ? job.array_task : kNoTask;
  out.attempt = job.attempt;
  out.step = step;
  out.user = job.spec->user;
  return out;
}

}  // namespace

// The steps of one job that `ref` and the request mean. Errors: not_running, no_such_step.
Result<std::vector<wire::StepUse>> Machine::steps_in_use(const Job& job, const wire::JobRef& ref,
                                                         const wire::UseRequest& request) {
  std::vector<wire::StepUse> out;
  if (!is_active(job.state) || !job.allocation) return not_running(job.id);
  const auto running = running_.find(job.id);
  const bool batch = running != running_.end() && !running->second.node.empty() && !running->second.ended;
  const auto add_batch = [&] {
    wire::StepUse row = row_of(job, kBatchStep);
    row.name = "batch";
    row.started = job.started;
    row.tasks = 1;
    row.cpus = job.allocation->nodes[0].cpus;
    row.nodes.push_back({running->second.node, "", {}});
    out.push_back(std::move(row));
  };
  const auto add = [&](const StepEntry& entry) {
    wire::StepUse row = row_of(job, entry.step->id);
    row.name = entry.step->spec.name;
    row.started = entry.step->started;
    row.tasks = entry.step->tasks();
    row.cpus = entry.step->cpus();
    for (const auto& run : entry.nodes) {
      row.nodes.push_back({run.node, "", {}});
      if (run.ended) row.nodes.back().missing = "has ended there";
    }
    out.push_back(std::move(row));
  };
  auto steps = steps_.find(job.id);
  const bool some = steps != steps_.end() && !steps->second.live.empty();
  if (ref.step == kBatchStep) {
    if (!batch)
      return Error{"no_such_step", "StepId=" + step_name(job.id, ref.step) + " not found running.", "",
                   "see bai-queue --steps"};
    add_batch();
  } else if (ref.step != kNoStep) {
    if (!some || !steps->second.live.contains(ref.step))
      return Error{"no_such_step", "StepId=" + step_name(job.id, ref.step) + " not found running.", "",
                   "see bai-queue --steps"};
    add(steps->second.live.at(ref.step));
  } else if (request.all_steps) {
    if (batch) add_batch();
    if (some)
      for (const auto& [id, entry] : steps->second.live) add(entry);
  } else if (some) {
    add(steps->second.live.begin()->second);
  } else if (batch && request.batch_too) {
    add_batch();
  }
  if (out.empty() && !batch) return not_running(job.id);
  return out;
}

void Machine::on_use(const FromCommand& command, const wire::UseRequest& request) {
  const auto& caller = command.caller;
  if (!uses_.may_begin(caller.uid))
    return reply_error(command.conn, command.request.id,
                       {"busy", "too many questions about steps are under way", "", "ask more rarely"});
  wire::UseReply answer;
  answer.now = now_;
  const auto refused = [&answer](const wire::JobRef& ref, Error error) {
    answer.refused.push_back({ref, wire::ErrorBody{std::move(error)}, ""});
  };
  std::set<wire::JobRef> seen;
  std::size_t parts = 0;
  const wire::JobRef* beyond = nullptr;  // the first that there was no room for
  for (const auto& ref : request.jobs) {
    if (!seen.insert(ref).second) continue;
    if (!beyond && parts + answer.refused.size() >= kMaxUseParts) beyond = &ref;
    if (beyond) break;
    std::vector<JobPtr> jobs;
    if (auto array = arrays_.find(ref.job); array != arrays_.end()) {
      const auto& tasks = array->second.tasks;
      const bool all = ref.task == kNoTask;
      const auto end = tasks.end();
      for (auto it = all ? tasks.begin() : tasks.find(ref.task); it != end; it = all ? std::next(it) : end)
        if (JobPtr job = find(it->second); job && is_active(job->state)) jobs.push_back(job);
    } else if (JobPtr job = find(ref.job); job && ref.task == kNoTask) {
      jobs.push_back(job);
    } else {
      refused(ref, {"no_such_job", "Invalid job id specified", "", "see bai-queue"});
      continue;
    }
    if (jobs.empty()) refused(ref, not_running(ref.job));
    for (const auto& job : jobs) {
      if (!caller.is_operator && job->spec->uid != caller.uid) {
        refused(ref,
                {"not_permitted", "Access/permission denied", "", "only its owner can see what it uses"});
        break;  // all tasks of an array are one user's
      }
      auto rows = steps_in_use(*job, ref, request);
      if (!rows) {
        refused(ref, rows.error());
        continue;
      }
      for (auto& row : *rows) {
        if (parts + row.nodes.size() > kMaxUseParts) beyond = &ref;
        if (beyond) break;
        parts += row.nodes.size();
        answer.steps.push_back(std::move(row));
      }
    }
  }
  if (beyond)
    refused(*beyond,
            {"too_many", "more than a question about steps may name", "", "name fewer jobs at once"});
  const std::uint64_t query = uses_.next();
  std::map<ConnId, wire::UseOrder> orders;
  for (auto& step : answer.steps)
    for (auto& part : step.nodes) {
      if (!part.missing.empty()) continue;
      NodeEntry* at = node(part.node);
      if (!at || !at->conn) {
        part.missing = "not responding";
        continue;
      }
      auto& order = orders[at->conn];
      order.query = query;
      order.keys.push_back({step.job, step.attempt, step.step});
    }
  for (auto& [conn, order] : orders) {
    wire::AgentOrders message;
    message.lineage = lineage_;
    message.uses.push_back(std::move(order));
    out_->effects.orders.push_back({conn, std::move(message)});
  }
  uses_.begin(query, command.conn, command.request.id, caller.uid, std::move(answer), mono_ms_);
  reply_uses();
}

void Machine::reply_uses() {
  for (auto& done : uses_.take_done()) out_->effects.replies.push_back(std::move(done));
}

}  // namespace bai::controller
