#include "cli/allocation.h"

#include <poll.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "cli/await.h"
#include "model/task_counts.h"

namespace bai::cli {
namespace {

using Clock = wire::Client::Clock;
constexpr std::chrono::milliseconds kSoon{700};  // a start within this time is not called waiting
constexpr int kAgainMs = 100;                    // before a lost connection is made anew

Status act(Session& session, JobId id, wire::JobAction action, ExitStatus exit) {
  wire::ActionRequest request;
  request.action = action;
  request.filter.jobs.push_back({id, kNoTask});
  request.exit = exit;
  auto reply = session.get<wire::ActionReply>(std::move(request));
  if (!reply.ok()) return reply.error();
  for (const auto& result : reply->results)
    if (result.error && result.error->error.code != "already_finished" &&
        result.error->error.code != "no_such_job")
      return result.error->error;
  return {};
}

// Just these nodes, each with room for as many tasks as the fullest of them has: a request does not tell nodes apart.
void ask_for(ResourceRequest& request, const std::vector<Istr>& hosts) {
  std::map<Istr, std::uint32_t> tasks;
  for (const auto& host : hosts) tasks[host]++;
  std::vector<std::string> names;
  request.tasks_per_node = 0;
  for (const auto& [name, count] : tasks) {
    names.push_back(name.str());
    request.tasks_per_node = std::max(request.tasks_per_node, count);
  }
  request.min_nodes = request.max_nodes = static_cast<std::uint32_t>(tasks.size());
  request.tasks = request.min_nodes * request.tasks_per_node;
  request.nodes_wanted = Istr(join(names, ","));
}

// The next word on the job that `hold` asks for. A controller that goes away meanwhile is asked again when it is back.
Result<std::optional<wire::ReplyBody>> await_news(Session& session, JobId id, bool lease, RequestId& hold,
                                                  int signals, std::optional<Clock::time_point> until,
                                                  bool& interrupted) {
  for (;;) {
    auto news = await_reply(session, hold, signals, until, interrupted);
    for (bool back = news.ok() || news.error().code != "lost"; !back && !interrupted;) {
      pollfd signal{signals, POLLIN, 0};
      interrupted = poll(&signal, 1, kAgainMs) > 0;
      hold = RequestId::ordered();
      back = !interrupted && session.connect().ok() &&
             session.send({hold, false, wire::HoldRequest{id, lease}}).ok();
    }
    if (interrupted) return std::optional<wire::ReplyBody>();
    if (news.ok() || news.error().code != "lost") return news;
  }
}

}  // namespace

Result<Allocation> Allocation::make(Session& session, const Parsed& parsed, const Submitter& submitter,
                                    const AllocationOptions& options, const Reporter& reporter) {
  std::vector<std::string> warnings;
  auto submission = make_submission(parsed, submitter.context, warnings);
  if (!submission.ok()) return submission.error();
  for (const auto& warning : warnings) reporter.note(warning);
  auto& spec = submission->spec;
  if (spec.name.empty()) spec.name = Istr(options.name);
  spec.command = Istr(escape_control(options.command));
  spec.std_out = spec.std_err = Istr("/dev/null");
  spec.requeue = Requeue::kNo;
  if (!options.hosts.empty()) ask_for(spec.request, options.hosts);
  JobExtras extras = spec.extras();
  extras.no_batch = true;
  extras.lease = options.lease;
  spec.set_extras(std::move(extras));
  wire::SubmitRequest request;
  request.jobs.push_back(std::move(*submission));
  auto reply = session.get<wire::SubmitReply>(std::move(request));
  if (!reply.ok()) return reply.error();
  if (reply->results.empty())
    return Error{"bad_message", "the controller named no job", "", "upgrade this command"};
  if (reply->results[0].error) return reply->results[0].error->error;
  const JobId id = reply->results[0].ref.job;
  const std::string number = std::to_string(id);

  Allocation out;
  out.hold_ = RequestId::ordered();
  if (auto sent = session.send({out.hold_, false, wire::HoldRequest{id, options.lease}}); !sent.ok())
    return sent.error();
  const Fd signals = interruptions();
  bool interrupted = false;
  const auto next = [&](std::optional<Clock::time_point> until) {
    return await_news(session, id, options.lease, out.hold_, signals.get(), until, interrupted);
  };
  auto news = next(Clock::now() + kSoon);
  const bool waits = news.ok() && !*news && !interrupted;
  if (waits) {
    if (options.immediate) {
      (void)act(session, id, wire::JobAction::kCancel, {});
      return Error{"busy", "Requested nodes are busy", "", "leave out --immediate to wait for them"};
    }
    if (!options.quiet) {
      if (options.announce) reporter.note("Pending job allocation " + number);
      reporter.note("job " + number + " queued and waiting for resources");
    }
  }
  while (news.ok() && !*news && !interrupted) news = next({});
  if (interrupted) {
    (void)act(session, id, wire::JobAction::kCancel, {});
    return Error{"interrupted", "Job allocation " + number + " has been revoked", "", ""};
  }
  if (!news.ok()) {  // nobody would use it
    (void)act(session, id, wire::JobAction::kCancel, {});
    return news.error();
  }
  auto* granted = std::get_if<wire::AllocationReply>(&**news);
  if (!granted) return Error{"bad_message", "the controller told no allocation", "", "upgrade this command"};
  out.job_ = granted->job;
  out.time_limit_ = granted->time_limit;
  if (is_finished(out.job_->state))
    return Error{"revoked", "Job allocation " + number + " has been revoked", "",
                 out.job_->detail.empty() ? "see bai-acct -j " + number : out.job_->detail.str()};
  if (!options.quiet) {
    if (waits) reporter.note("job " + number + " has been allocated resources");
    if (options.announce) reporter.note("Granted job allocation " + number);
  }
  return out;
}

Status Allocation::hold_again(Session& session) {
  hold_ = RequestId::ordered();
  auto reply = session.get<wire::AllocationReply>(wire::HoldRequest{id(), true}, hold_);
  if (!reply.ok()) return reply.error();
  return {};
}

Status Allocation::give_back(Session& session, ExitStatus exit) const {
  return act(session, id(), wire::JobAction::kComplete, exit);
}

std::vector<std::string> allocation_variables(const Job& job, Seconds time_limit) {
  std::vector<std::string> out;
  const auto add = [&out](std::string_view name, const std::string& value) {
    for (const char* prefix : {"BAI_", "SLURM_"})
      out.push_back(std::string(prefix).append(name) + "=" + value);
  };
  const auto& nodes = job.allocation->nodes;
  add("JOB_ID", std::to_string(job.id));
  out.push_back("SLURM_JOBID=" + std::to_string(job.id));
  add("JOB_NAME", job.spec->name.str());
  add("JOB_NODELIST", job.allocation->hostlist());
  add("NODELIST", job.allocation->hostlist());
  add("JOB_NUM_NODES", std::to_string(nodes.size()));
  add("NNODES", std::to_string(nodes.size()));
  std::vector<std::uint32_t> cpus;
  for (const auto& share : nodes) cpus.push_back(share.cpus);
  add("JOB_CPUS_PER_NODE", compress_counts(cpus));
  add("TASKS_PER_NODE", compress_counts(tasks_per_node(job)));
  add("JOB_PARTITION", job.allocation->partition.str());
  if (!job.spec->account.empty()) add("JOB_ACCOUNT", job.spec->account.str());
  add("SUBMIT_DIR", job.spec->workdir.str());
  add("SUBMIT_HOST", job.spec->host.str());
  const auto& request = job.spec->request;
  if (request.asked & kAskedTasks) {
    add("NTASKS", std::to_string(request.tasks));
    add("NPROCS", std::to_string(request.tasks));
  }
  if (request.asked & kAskedCpusPerTask) add("CPUS_PER_TASK", std::to_string(request.cpus_per_task));
  if (request.tasks_per_node) add("NTASKS_PER_NODE", std::to_string(request.tasks_per_node));
  if (time_limit > 0) add("JOB_END_TIME", std::to_string((job.started + time_limit).seconds()));
  return out;
}

}  // namespace bai::cli
