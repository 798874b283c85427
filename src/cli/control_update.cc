// bai-control update KEY=VALUE...: the first of JobId, NodeName and PartitionName says what is changed.
#include "base/hostlist.h"
#include "base/text.h"
#include "cli/actions.h"
#include "cli/control.h"

namespace bai::cli {

int control_update(ControlCall& call) {
  wire::UpdateRequest request;
  bool known = false;
  std::string_view what;
  for (const auto& word : call.words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      // "update job 7 ..." and the like are scontrol's, too: the entity's name is skipped, a number is the job.
      if (!known && (iequals(word, "job") || iequals(word, "node") || iequals(word, "partition"))) continue;
      return call.reporter.mistyped(
          {"bad_option", quote(word) + " is not KEY=VALUE", "", "write update JobId=7 TimeLimit=10"});
    }
    std::string key = lower(std::string_view(word).substr(0, equals));
    if (key.ends_with('+') || key.ends_with('-'))
      return call.reporter.mistyped(
          {"bad_option", "+= and -= are not supported: " + quote(word), "", "give the whole value"});
    std::string value = word.substr(equals + 1);
    if (!known && (key == "jobid" || key == "job")) {
      auto refs = job_words({value});
      if (!refs.ok()) return call.reporter.mistyped(refs.error());
      request.kind = wire::UpdateKind::kJob;
      request.jobs = std::move(*refs);
      known = true;
      what = "job";
    } else if (!known &&
               (key == "nodename" || key == "partitionname" || key == "partition" || key == "node")) {
      const bool node = key.starts_with("node");
      auto names = expand_hostlist(value);
      if (!names.ok()) return call.reporter.mistyped(names.error());
      request.kind = node ? wire::UpdateKind::kNode : wire::UpdateKind::kPartition;
      request.names = std::move(*names);
      known = true;
      what = node ? "node" : "partition";
    } else {
      request.values.emplace_back(std::move(key), std::move(value));
    }
  }
  if (!known)
    return call.reporter.mistyped({"bad_option", "No valid entity in update command", "",
                                   "begin with JobId=, NodeName= or PartitionName="});
  if (request.values.empty())
    return call.reporter.mistyped({"bad_option", "No changes specified", "", "add KEY=VALUE"});
  auto id = request_id(call.parsed);
  if (!id.ok()) return call.reporter.mistyped(id.error());
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto reply = session->get<wire::ActionReply>(std::move(request), *id);
  if (!reply.ok()) return call.reporter.refused(reply.error(), "slurm_update error");
  const bool slurm = call.reporter.dialect().slurm;
  return show_results(*reply, call.reporter, [&](const std::string& name, const std::string& why) {
    return slurm ? (what == "job" ? why + " for job " + name : "slurm_update error: " + why)
                 : std::string(what) + " " + name + ": " + why;
  });
}

}  // namespace bai::cli
