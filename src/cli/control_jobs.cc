// bai-control completing, wait_job, listpids: looks at jobs in scontrol's words.
#include <algorithm>
#include <set>

#include "base/hostlist.h"
#include "base/text.h"
#include "cli/actions.h"
#include "cli/await.h"
#include "cli/control.h"
#include "cli/job_list.h"
#include "cli/output.h"
#include "cli/stat.h"
#include "cli/values.h"
#include "model/step.h"

namespace bai::cli {

int control_completing(ControlCall& call) {
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  wire::QueueRequest request;
  request.filter.states = {JobState::kCompleting};
  auto list = fetch_jobs(*session, std::move(request));
  if (!list.ok()) return call.reporter.refused(list.error(), "slurm_load_jobs error");
  auto cluster = session->get<wire::ClusterReply>(wire::ClusterRequest{});
  if (!cluster.ok()) return call.reporter.refused(cluster.error(), "slurm_load_node error");
  std::set<std::string_view> down;
  for (const auto& node : cluster->nodes)
    if (node.condition == NodeCondition::kDown) down.insert(node.name.view());
  Output out;
  for (const JobView& job : list->jobs) {
    std::vector<std::string> completing, lost;
    if (auto names = expand_hostlist(job.text(job.row->node_list)); names.ok())
      for (auto& name : *names) (down.contains(name) ? lost : completing).push_back(name);
    const Time ended = job.row->ended.is_set() ? job.row->ended : list->now;
    out.put("JobId=" + std::to_string(job.row->id) + " EndTime=" + format_timestamp(ended) +
            " CompletingTime=" + format_duration_full(std::max<Seconds>(0, list->now - ended)) + " ");
    if (!completing.empty()) out.put("Nodes(COMPLETING)=" + compress_hostlist(completing) + " ");
    if (!lost.empty()) out.put("Nodes(DOWN)=" + compress_hostlist(lost) + " ");
    out.put("\n");
  }
  return 0;
}

namespace {

Result<wire::AllocationReply> when_started(Session& session, JobId job) {
  if (auto there = session.connect(); !there.ok()) return there.error();
  const RequestId id = RequestId::ordered();
  if (auto sent = session.send({id, false, wire::HoldRequest{job, false}}); !sent.ok()) return sent.error();
  bool interrupted = false;
  auto reply = await_reply(session, id, -1, {}, interrupted);
  if (!reply.ok()) return reply.error();
  return Session::as<wire::AllocationReply>(std::move(**reply));
}

}  // namespace

int control_wait_job(ControlCall& call) {
  const bool slurm = call.reporter.dialect().slurm;
  if (call.words.empty() && slurm) return call.reporter.said("too few arguments for keyword:wait_job");
  auto refs = job_words(call.words);
  if (!refs.ok() && slurm) return call.reporter.said("invalid job_id");
  if (!refs.ok()) return call.reporter.mistyped(refs.error());
  const std::string name = ref_text((*refs)[0]);
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  // Answered when it has its nodes, or has ended.
  auto reply = when_started(*session, (*refs)[0].job);
  if (!reply.ok() && !slurm) return call.reporter.refused(reply.error());
  if (!reply.ok() || is_finished(reply->job->state)) {
    call.reporter.note(slurm ? "Problem running job " + name
                             : "job " + name + " ended " + lower(std::string(bai::name(reply->job->state))));
    return kRefused;
  }
  call.reporter.note(slurm ? "Nodes are ready for job " + name
                           : "job " + name + " has " + reply->job->allocation->hostlist());
  return 0;
}

// Of all nodes, where scontrol knows its own only. Which of them is a task is not told: '-', as scontrol writes for what is none.
int control_list_pids(ControlCall& call) {
  const bool slurm = call.reporter.dialect().slurm;
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  wire::UseRequest request;
  request.all_steps = true;
  if (!call.words.empty() && call.words[0] != "*") {
    auto refs = parse_job_refs(call.words[0], StepRefs::kAllowed);
    if (!refs.ok() && slurm) return call.reporter.said("Invalid job id specified");
    if (!refs.ok()) return call.reporter.mistyped(refs.error());
    request.jobs = std::move(*refs);
  } else {
    wire::QueueRequest mine;
    mine.filter.states = {JobState::kRunning, JobState::kCompleting};
    mine.filter.mine = !call.parsed.has("all");
    auto list = fetch_jobs(*session, std::move(mine));
    if (!list.ok()) return call.reporter.refused(list.error(), "slurm_load_jobs error");
    for (const JobView& job : list->jobs) request.jobs.push_back({job.row->id});
  }
  const bool named = !call.words.empty();
  auto reply = ask_use(*session, std::move(request));
  if (!reply.ok()) return call.reporter.refused(reply.error());
  if (named)
    for (const auto& no : reply->refused)
      status = slurm ? call.reporter.said("Job " + ref_text(no.ref) + " does not exist on this node.")
                     : call.reporter.refused(no.error->error);
  const std::string node = call.words.size() > 1 ? call.words[1] : "";
  Output out;
  if (status == 0) out.put("PID      JOBID    STEPID   LOCALID GLOBALID\n");
  for (const auto& step : reply->steps)
    for (const auto& part : step.nodes) {
      if (!node.empty() && part.node != node) continue;
      for (const auto pid : part.use.pids)
        out.put(pad_right(std::to_string(pid), 8) + " " + pad_right(std::to_string(step.job), 8) + " " +
                pad_right(step_name(step.step), 8) + " -       -       \n");
    }
  return status;
}

}  // namespace bai::cli
