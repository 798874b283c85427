// bai-control update KEY=VALUE...: the first of JobId, NodeName and PartitionName says what is changed.
#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "cli/actions.h"
#include "cli/control.h"
#include "cli/slurm_words.h"
#include "cli/values.h"

namespace bai::cli {

namespace {

// The word that gave `key`, as it was typed.
std::string typed(const ControlCall& call, std::string_view key) {
  for (const auto& word : call.words)
    if (istarts_with(word, key) && word.size() > key.size() && word[key.size()] == '=') return word;
  return std::string(key);
}

// scontrol's lines for one thing that could not be updated.
std::string slurm_update_text(const ControlCall& call, wire::UpdateKind kind, const std::string& name,
                              const Error& error) {
  const std::string word = typed(call, error.place),
                    value = word.substr(std::min(word.size(), error.place.size() + 1));
  const std::string prefix = "scontrol: error: ";
  if (kind == wire::UpdateKind::kPartition) {
    if (error.code == "bad_key")
      return prefix + "Update of this parameter is not supported: " + word + "\n\n" + prefix +
             "Request aborted\nslurm_update error: No error";
    if (error.place == "state")
      return prefix + "Invalid input: " + word + "\n" + prefix +
             "Acceptable State values are UP, DOWN, DRAIN and INACTIVE\nslurm_update error: No error";
    return "slurm_update error: " + slurm_control_message(error);
  }
  if (error.code == "bad_key")
    return "Update of this parameter is not supported: " + word + "\nRequest aborted";
  if (kind == wire::UpdateKind::kNode) {
    if (error.code == "no_reason")
      return "You must specify a reason when DOWNING or DRAINING a node. Request denied";
    if (error.place == "state")
      return "Invalid input: " + word +
             "\nRequest aborted\nValid states are: DRAIN FAIL RESUME UNDRAIN\n"
             "Not all states are valid given a node's prior state";
    return "slurm_update error: " + slurm_control_message(error);
  }
  if (error.code == "bad_value" && error.place == "timelimit") return prefix + "Invalid TimeLimit value";
  if (error.code == "bad_value" && error.place == "priority")
    return prefix + "Invalid Priority value: " + value;
  std::string why = slurm_control_message(error);
  if (error.code == "bad_value" && error.place == "numnodes") why = "Node count specification invalid";
  if (error.place == "dependency") why = "Job dependency problem";
  return why + " for job " + name;
}

}  // namespace

namespace {

// What is made or unmade: "PartitionName=NAME" among the words. Error: bad_option.
Result<wire::UpdateRequest> partition_words(const ControlCall& call, wire::UpdateKind kind) {
  wire::UpdateRequest request;
  request.kind = kind;
  for (const auto& word : call.words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos)
      return Error{"bad_option", quote(word) + " is not KEY=VALUE", "", "begin with PartitionName=NAME"};
    std::string key = lower(std::string_view(word).substr(0, equals));
    if (key == "partitionname" || key == "partition")
      request.names = {word.substr(equals + 1)};
    else
      request.values.emplace_back(std::move(key), word.substr(equals + 1));
  }
  if (request.names.empty())
    return Error{"bad_option", "only partitions can be made and deleted", "",
                 "begin with PartitionName=NAME"};
  return request;
}

int change_partition(ControlCall& call, wire::UpdateKind kind, std::string_view what) {
  const bool slurm = call.reporter.dialect().slurm;
  const bool create = kind == wire::UpdateKind::kCreatePartition;
  const std::string verb = create ? "create" : "delete";
  if (slurm && call.words.empty()) return call.reporter.said("too few arguments for " + verb + " keyword");
  auto request = partition_words(call, kind);
  if (!request.ok() && slurm) {
    if (create) {
      call.reporter.error_line("Invalid creation entity: " + call.words[0]);
      return kRefused;
    }
    return call.reporter.said("Invalid deletion entity: " + call.words[0]);
  }
  if (!request.ok()) return call.reporter.mistyped(request.error());
  auto id = request_id(call.parsed);
  if (!id.ok()) return call.reporter.mistyped(id.error());
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto reply = session->get<wire::ActionReply>(std::move(*request), *id);
  const std::string before =
      create ? "Error creating the partition: " : "delete_partition " + call.words[0] + ": ";
  if (!reply.ok() && slurm) return call.reporter.said(before + slurm_control_message(reply.error()));
  if (!reply.ok()) return call.reporter.refused(reply.error());
  return show_results(*reply, call.reporter, [&](const std::string& name, const Error& error) {
    if (!slurm) return std::string(what) + " " + name + ": " + error.text();
    if (error.code == "bad_key")
      return "scontrol: error: Update of this parameter is not supported: " + typed(call, error.place) +
             "\n\nscontrol: error: Request aborted";
    if (error.code == "bad_value" && error.place != "partitionname")
      return "scontrol: error: Invalid input " + typed(call, error.place);
    return before + slurm_control_message(error);
  });
}

}  // namespace

int control_create(ControlCall& call) {
  return change_partition(call, wire::UpdateKind::kCreatePartition, "partition");
}
int control_delete(ControlCall& call) {
  return change_partition(call, wire::UpdateKind::kDeletePartition, "partition");
}

int control_update(ControlCall& call) {
  const bool slurm = call.reporter.dialect().slurm;
  if (slurm && call.words.empty()) return call.reporter.said("too few arguments for update keyword");
  wire::UpdateRequest request;
  bool known = false;
  std::string_view what;
  std::string_view entity;  // of "update job 7 ..."
  for (std::string word : call.words) {
    if (!entity.empty() && word.find('=') == std::string::npos) word = std::string(entity) + "=" + word;
    entity = {};
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      // "update job 7 ..." and the like are scontrol's, too.
      for (std::string_view name : {"job", "node", "partition"})
        if (!known && iequals(word, name)) entity = name;
      if (!entity.empty()) continue;
      if (slurm && !known) break;
      return call.reporter.mistyped(
          {"bad_option", quote(word) + " is not KEY=VALUE", "", "write update JobId=7 TimeLimit=10"});
    }
    std::string key = lower(std::string_view(word).substr(0, equals));
    std::string value = word.substr(equals + 1);
    if ((key == "timelimit+" || key == "timelimit-") && known) {
      value = key.back() + value;
      key.pop_back();
    }
    if (key.ends_with('+') || key.ends_with('-'))
      return call.reporter.mistyped(
          {"bad_option", "+= and -= are for TimeLimit only: " + quote(word), "", "give the whole value"});
    if (!known && (key == "jobid" || key == "job" || key == "stepid" || key == "step")) {
      auto refs = key.starts_with("step") ? parse_job_refs(value, StepRefs::kAllowed) : job_words({value});
      if (!refs.ok())
        return slurm ? call.reporter.said("Invalid job id specified for job " + value)
                     : call.reporter.mistyped(refs.error());
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
  if (!known && slurm)
    return call.reporter.said(
        "No valid entity in update command\nInput line must include \"NodeName\", \"PartitionName\", "
        "\"Reservation\", \"JobId\", or \"SlurmctldDebug\"");
  if (!known)
    return call.reporter.mistyped({"bad_option", "No valid entity in update command", "",
                                   "begin with JobId=, NodeName= or PartitionName="});
  if (request.values.empty() && slurm) return call.reporter.said("No changes specified");
  if (request.values.empty())
    return call.reporter.mistyped({"bad_option", "No changes specified", "", "add KEY=VALUE"});
  auto id = request_id(call.parsed);
  if (!id.ok()) return call.reporter.mistyped(id.error());
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  const wire::UpdateKind kind = request.kind;
  auto reply = session->get<wire::ActionReply>(std::move(request), *id);
  if (!reply.ok() && slurm && reply.error().code == "not_permitted")
    return call.reporter.said("slurm_update error: Invalid user id");
  if (!reply.ok()) return call.reporter.refused(reply.error(), "slurm_update error");
  return show_results(*reply, call.reporter, [&](const std::string& name, const Error& error) {
    return slurm ? slurm_update_text(call, kind, name, error)
                 : std::string(what) + " " + name + ": " + error.text();
  });
}

}  // namespace bai::cli
