// bai-control update: values of jobs, nodes and partitions, changed while running; durable overrides.
#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"
#include "controller/machine.h"
#include "model/dependency_text.h"
#include "model/partition_keys.h"

namespace bai::controller {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

Error bad_value(std::string_view key, const Error& why) {
  return {"bad_value", why.message, std::string(key), why.remedy};
}
Error bad_key(std::string_view key, std::string_view what) {
  return {"bad_key", "a " + std::string(what) + " has no " + quote(key) + " that can be updated",
          std::string(key), "see bai-control(1), update"};
}

Result<bool> parse_yes(std::string_view text) {
  if (iequals(text, "yes") || iequals(text, "true") || text == "1") return true;
  if (iequals(text, "no") || iequals(text, "false") || text == "0") return false;
  return Error{"bad_value", quote(text) + " is neither yes nor no", "", "write YES or NO"};
}

// "30", or "+30" and "-30" from what is in force.
Result<Seconds> changed_limit(std::string_view value, Seconds in_force) {
  const bool more = value.starts_with('+'), less = value.starts_with('-');
  auto limit = parse_time_limit(more || less ? value.substr(1) : value);
  if (!limit || (!more && !less)) return limit;
  if (in_force == kUnlimited || *limit == kUnlimited)
    return Error{"bad_value", "there is no time limit to count from", "", "give the whole limit"};
  const Seconds changed = more ? in_force + *limit : in_force - *limit;
  if (changed <= 0) return Error{"bad_value", "that would leave no time", "", "give the whole limit"};
  return changed;
}

}  // namespace

void Machine::on_update(const FromCommand& command, const wire::UpdateRequest& request) {
  const Caller& caller = command.caller;
  searches_ = kSearchesPerRequest;
  wire::ActionReply result;
  auto add = [&result](wire::JobRef ref, std::string note, const Status& status) {
    wire::JobResult one{ref, std::nullopt, std::move(note)};
    if (!status) one.error = wire::ErrorBody{status.error()};
    result.results.push_back(std::move(one));
  };
  if (request.kind == wire::UpdateKind::kJob) {
    for (const auto& ref : request.jobs)
      add(ref, "",
          ref.step == kNoStep ? update_job(caller, ref, request.values)
                              : update_step(caller, ref, request.values));
  } else if (!caller.is_operator) {
    return answer(command,
                  wire::ErrorBody{{"not_permitted", "only an operator may update nodes and partitions", "",
                                   "ask root or BaiUser"}});
  } else {
    for (const auto& name : request.names)
      add({}, name,
          request.kind == wire::UpdateKind::kNode              ? update_node(caller, name, request.values)
          : request.kind == wire::UpdateKind::kCreatePartition ? create_partition(name, request.values)
          : request.kind == wire::UpdateKind::kDeletePartition ? delete_partition(name)
                                                               : update_partition(name, request.values));
  }
  answer(command, std::move(result));
}

Status Machine::update_job(const Caller& caller, const wire::JobRef& ref, const Values& values) {
  JobPtr job = ref.task == kNoTask ? find(ref.job) : task_record(ref.job, ref.task, false);
  if (!job && ref.task != kNoTask) job = find(ref.job);
  if (!job) return Error{"no_such_job", "Invalid job id specified", "", "see bai-queue"};
  if (!caller.is_operator && job->spec->uid != caller.uid)
    return Error{"not_permitted", "Access/permission denied", "", "only its owner or an operator may"};
  if (is_finished(job->state)) return Error{"already_finished", "Job/step already completing or completed"};
  if (ref.task != kNoTask && job->array) job = task_record(ref.job, ref.task, true);
  if (!job) return Error{"no_such_job", "Invalid job id specified", "", "see bai-queue"};

  Job copy = *job;
  auto spec = std::make_shared<JobSpec>(*job->spec);
  JobExtras extras = spec->extras();
  bool pending = job->state == JobState::kPending;
  for (const auto& entry : values) {
    const auto& key = entry.first;  // not a structured binding: the lambdas below capture them
    const auto& value = entry.second;
    auto only_pending = [&]() -> Status {
      if (pending) return {};
      return Error{"not_pending", "Job is no longer pending execution: " + key + " cannot change now", key,
                   ""};
    };
    auto count = [&](std::uint32_t& field, std::int64_t low) -> Status {
      if (auto can = only_pending(); !can) return can;
      auto number = parse_int(value, low, 1 << 24);
      if (!number) return bad_value(key, number.error());
      field = static_cast<std::uint32_t>(*number);
      return {};
    };
    Status status;
    if (key == "timelimit") {
      Seconds now_in_force = time_limit_in_force(*job);
      auto limit = changed_limit(value, now_in_force);
      if (!limit) return bad_value(key, limit.error());
      Seconds wanted = *limit == 0 ? kUnlimited : *limit;
      bool longer = wanted == kUnlimited ? now_in_force != kUnlimited
                                         : now_in_force != kUnlimited && wanted > now_in_force;
      if (longer && !caller.is_operator)
        return Error{"not_permitted", "only an operator may raise a time limit", key, "ask for it"};
      spec->time_limit = wanted;
    } else if (key == "priority") {
      auto number = parse_int(value, 0, 0xfffffffe);
      if (!number) return bad_value(key, number.error());
      if (!caller.is_operator && *number > copy.priority)
        return Error{"not_permitted", "only an operator may raise a priority", key, ""};
      copy.priority = static_cast<std::uint32_t>(*number);
      if (*number == 0 && pending) {
        copy.hold = caller.is_operator ? Hold::kAdmin : Hold::kUser;
        copy.reason = caller.is_operator ? Reason::kJobHeldAdmin : Reason::kJobHeldUser;
        copy.priority = job->priority;
      }
    } else if (key == "nice") {
      auto number = parse_int(value, caller.is_operator ? -2147483645 : 0, 2147483645);
      if (!number) return bad_value(key, number.error());
      std::int64_t fresh = static_cast<std::int64_t>(copy.priority) + spec->nice - *number;
      // Who gave both --priority and --nice gets no more than a plain job by taking the latter back.
      if (!caller.is_operator)
        fresh =
            std::min<std::int64_t>(fresh, std::max<std::int64_t>(copy.priority, kDefaultPriority - *number));
      copy.priority = static_cast<std::uint32_t>(std::clamp<std::int64_t>(fresh, 1, 0xfffffffe));
      spec->nice = static_cast<std::int32_t>(*number);
    } else if (key == "jobname" || key == "name") {
      spec->name = value;
    } else if (key == "comment") {
      extras.comment = value;
    } else if (key == "admincomment") {
      if (!caller.is_operator)
        return Error{"not_permitted", "only an operator may set AdminComment", key, ""};
      extras.admin_comment = value;
    } else if (key == "account") {
      status = only_pending();
      spec->account = value;
    } else if (key == "partition") {
      status = only_pending();
      spec->partition = value;
    } else if (key == "starttime" || key == "eligibletime") {
      status = only_pending();
      auto when = parse_when(value, now_);
      if (!when) return bad_value(key, when.error());
      extras.begin = *when;
      copy.eligible = std::max(now_, *when);
    } else if (key == "deadline") {
      status = only_pending();
      auto when = parse_when(value, now_);
      if (!when) return bad_value(key, when.error());
      extras.deadline = *when;
    } else if (key == "requeue") {
      auto yes = parse_yes(value);
      if (!yes) return bad_value(key, yes.error());
      spec->requeue = *yes ? Requeue::kYes : Requeue::kNo;
    } else if (key == "dependency") {
      status = only_pending();
      auto dependencies = parse_dependencies(value);
      if (!dependencies) return bad_value(key, dependencies.error());
      for (const auto& one : dependencies->list)
        if (one.job == job->id || (job->array_id && one.job == job->array_id))
          return Error{"bad_value", "a job cannot wait for itself", key, "name another"};
      if (auto good = check_dependencies(*dependencies, false); !good) return bad_value(key, good.error());
      extras.dependencies = std::move(*dependencies);
    } else if (key == "arraytaskthrottle") {
      auto number = parse_int(value, 0, 1 << 24);
      if (!number) return bad_value(key, number.error());
      if (!copy.array)
        return Error{"bad_value", "job " + display_id(copy) + " is no array that waits", key, ""};
      auto head = std::make_shared<ArrayHead>(*copy.array);
      head->max_running = static_cast<std::uint32_t>(*number);
      copy.array = std::move(head);
    } else if (key == "numnodes" || key == "minnodes") {
      status = only_pending();
      auto range = parse_count_range(value);
      if (!range) return bad_value(key, range.error());
      spec->request.min_nodes = range->min;
      spec->request.max_nodes = range->max;
      spec->request.asked |= kAskedNodes;
    } else if (key == "numtasks") {
      status = count(spec->request.tasks, 1);
      spec->request.asked |= kAskedTasks;
    } else if (key == "cpuspertask" || key == "numcpus") {
      status = count(spec->request.cpus_per_task, 1);
      spec->request.asked |= kAskedCpusPerTask;
    } else if (key == "minmemorynode" || key == "minmemorycpu") {
      status = only_pending();
      auto memory = parse_memory_mib(value, ZeroMemory::kAllowed);
      if (!memory) return bad_value(key, memory.error());
      spec->request.mem_per_node_mib = key == "minmemorynode" ? *memory : 0;
      spec->request.mem_per_cpu_mib = key == "minmemorycpu" ? *memory : 0;
    } else if (key == "features") {
      status = only_pending();
      spec->request.constraint = value;
    } else if (key == "reqnodelist" || key == "nodelist" || key == "excnodelist") {
      status = only_pending();
      auto names = expand_hostlist(value);
      if (!names) return bad_value(key, names.error());
      for (const auto& name : *names)
        if (!nodes_.contains(name))
          return Error{"bad_node", "invalid node name specified: " + quote(name), key, "see bai-info -N"};
      (key == "excnodelist" ? spec->request.nodes_excluded : spec->request.nodes_wanted) = value;
    } else if (key == "qos") {
      status = only_pending();
      extras.qos = value;
    } else if (key == "endtime") {
      if (job->state != JobState::kRunning)
        return Error{"not_running", "Job/step not running", key, "set its TimeLimit"};
      auto when = parse_when(value, now_);
      if (!when) return bad_value(key, when.error());
      const Seconds wanted = *when - job->started;
      if (wanted <= 0) return Error{"bad_value", "that was before it started", key, "give a later time"};
      const Seconds now_in_force = time_limit_in_force(*job);
      if (now_in_force != kUnlimited && wanted > now_in_force && !caller.is_operator)
        return Error{"not_permitted", "only an operator may raise a time limit", key, "ask for it"};
      spec->time_limit = wanted;
    } else if (key == "licenses") {
      status = only_pending();
      spec->request.licenses = value;
    } else {
      return bad_key(key, "job");
    }
    if (!status) return status.error();
  }
  JobSpec checked = *spec;
  if (pending) {
    if (auto good = check_partitions(caller, checked); !good) return good.error();
    const bool moved = !(checked.request == job->spec->request && checked.partition == job->spec->partition);
    if (auto good = moved ? check_nodes(checked) : Status(); !good) return good.error();
  }
  deadlines_.erase({job->spec->extras().deadline, job->id});
  unwatch_dependencies(*job);
  checked.set_extras(std::move(extras));
  copy.spec = std::make_shared<const JobSpec>(std::move(checked));
  if (pending) {
    if (copy.spec->extras().deadline.is_set()) deadlines_.insert({copy.spec->extras().deadline, copy.id});
    watch_dependencies(copy);
    bool met = true;
    if (copy.reason == Reason::kDependency || copy.reason == Reason::kDependencyNeverSatisfied)
      copy.reason = Reason::kNone;
    evaluate(copy, met);
    jobs_[copy.id].dependencies_met = met;
  }
  Job before = copy;
  event(before, copy, "updated by " + caller.user, caller.uid);
  Seconds limit_before = time_limit_in_force(*job);
  JobId id = copy.id;
  put_job(std::move(copy));
  if (running_.contains(id) && time_limit_in_force(*find(id)) != limit_before) send_limits(*find(id));
  return {};
}

Status Machine::update_node(const Caller& caller, const std::string& name, const Values& values) {
  NodeEntry* entry = node(name);
  if (!entry)
    return Error{"no_such_node", "Invalid node name specified: " + quote(name), "", "see bai-info -N"};
  Node n = *entry->node;
  auto& decision = entry->decision.decision;
  bool feature_set = decision.features_set, weight_set = decision.weight_set;
  std::string reason;
  bool reason_given = false, needs_reason = false;
  for (const auto& [key, value] : values) {
    if (key == "reason") {
      reason = value;
      reason_given = true;
    } else if (key == "state") {
      if (iequals(value, "drain")) {
        n.drain = true;
        needs_reason = true;
      } else if (iequals(value, "down") || iequals(value, "fail")) {
        n.condition = NodeCondition::kDown;
        needs_reason = true;
      } else if (iequals(value, "resume") || iequals(value, "idle") || iequals(value, "undrain")) {
        n.drain = false;
        if (n.condition == NodeCondition::kDown)
          n.condition = entry->registered ? NodeCondition::kUp : NodeCondition::kUnknown;
        n.reason = Istr();
        n.reason_at = Time{};
        n.reason_uid = 0;
      } else {
        return Error{"bad_value", "a node cannot be set to " + quote(value), key,
                     "DRAIN, DOWN, RESUME or UNDRAIN"};
      }
    } else if (key == "weight") {
      auto number = parse_int(value, 1, 0xffffffe);
      if (!number) return bad_value(key, number.error());
      n.weight = static_cast<std::uint32_t>(*number);
      weight_set = true;
    } else if (key == "features" || key == "availablefeatures" || key == "activefeatures") {
      n.features.clear();
      for (auto feature : split_list(value)) n.features.emplace_back(feature);
      feature_set = true;
    } else {
      return bad_key(key, "node");
    }
  }
  if (needs_reason && !reason_given && n.reason.empty())
    return Error{"no_reason", "draining or downing a node needs a reason", "reason", "add reason=\"why\""};
  if (reason_given) {
    n.reason = reason;
    n.reason_uid = caller.uid;
    n.reason_at = now_;
  }
  bool goes_down = n.condition == NodeCondition::kDown && entry->node->condition != NodeCondition::kDown;
  bool comes_back = n.condition == NodeCondition::kUp && entry->node->condition == NodeCondition::kDown;
  if (feature_set) decision.features = join(n.features, ",");
  decision.features_set = feature_set;
  decision.weight_set = weight_set;
  decision.weight = n.weight;
  *entry->node = n;
  if (comes_back) {
    entry->lost = false;
    entry->heard_ms = mono_ms_;
  }
  decide_node(*entry);
  if (goes_down) {
    std::vector<JobId> jobs(entry->jobs.begin(), entry->jobs.end());
    for (JobId id : jobs) {
      JobPtr job = find(id);
      if (!job || !is_active(job->state) || in_epilog(id)) continue;
      Job copy = *job;
      copy.requeue_requested = may_requeue(copy);
      copy.ended_by_uid = caller.uid;
      if (!copy.cancel_requested) copy.reason = Reason::kNodeDown;
      copy.cancel_requested = copy.cancel_requested || !copy.requeue_requested;
      if (copy.state == JobState::kCompleting)
        put_job(std::move(copy));
      else
        move(std::move(copy), JobState::kCompleting, "node " + name + " was set down", caller.uid);
      terminate(find(id), false, wire::AttemptEnd::kCancelled);
    }
  }
  return {};
}

Status Machine::apply_partition_value(Partition& partition, const std::string& key,
                                      const std::string& value) const {
  if (key == "state") {
    auto state = parse_partition_state(value);
    if (!state)
      return Error{"bad_value", "a partition cannot be set to " + quote(value), key,
                   "UP, DOWN, DRAIN or INACTIVE"};
    partition.state = *state;
  } else if (key == "maxtime" || key == "defaulttime") {
    auto limit = parse_time_limit(value);
    if (!limit) return bad_value(key, limit.error());
    (key == "maxtime" ? partition.max_time : partition.default_time) = *limit;
  } else if (key == "gracetime") {
    auto seconds = parse_int(value, 0, 7 * 86'400);
    if (!seconds) return bad_value(key, seconds.error());
    partition.grace_time = *seconds;
  } else if (key == "minnodes" || key == "maxnodes" || key == "prioritytier" || key == "priorityjobfactor") {
    std::string_view text = iequals(value, "unlimited") ? "0" : std::string_view(value);
    auto number = parse_int(text, 0, 65535);
    if (!number) return bad_value(key, number.error());
    auto& field = key == "minnodes"       ? partition.min_nodes
                  : key == "maxnodes"     ? partition.max_nodes
                  : key == "prioritytier" ? partition.priority_tier
                                          : partition.priority_job_factor;
    field = static_cast<std::uint32_t>(*number);
  } else if (key == "hidden" || key == "default" || key == "rootonly") {
    auto yes = parse_yes(value);
    if (!yes) return bad_value(key, yes.error());
    (key == "hidden"    ? partition.hidden
     : key == "default" ? partition.is_default
                        : partition.root_only) = *yes;
  } else {
    if (auto done = set_partition_key(partition, key, value); !done) return done;
    if (key == "nodes") return fill_partition(*config_, partition);
  }
  return {};
}

// Made at run time, kept as settings, until it is deleted or the configuration has one of that name.
Status Machine::create_partition(const std::string& name, const Values& values) {
  if (partitions_.contains(name))
    return Error{"partition_exists", "there is a partition " + quote(name), "partitionname", "update it"};
  if (name.empty() || name.find_first_of("/,= ") != name.npos || has_control(name) ||
      iequals(name, "DEFAULT"))
    return Error{"bad_value", quote(name) + " is no name of a partition", "partitionname",
                 "use letters, digits, - and _"};
  auto made = std::make_shared<Partition>(made_partition(name));
  for (const auto& [key, value] : values)
    if (auto status = apply_partition_value(*made, key, value); !status) return status;
  if (made->default_time != 0 && made->max_time != kUnlimited &&
      (made->default_time == kUnlimited || made->default_time > made->max_time))
    return Error{"bad_value", "DefaultTime is longer than MaxTime", "defaulttime", ""};
  drop_settings("partition/" + name + "/");  // of another one that had this name
  const auto keep = [this](const std::string& key, const std::string& text) {
    settings_[key] = text;
    change(store::SettingPut{key, text});
  };
  keep(std::string(kMadePartitions) + name + "/", "1");
  for (const auto& [key, value] : values) keep("partition/" + name + "/" + key, value);
  partitions_[name] = made;
  out_->effects.partitions.push_back(made);
  tell(sokovan::PartitionSet{made});
  return {};
}

Status Machine::delete_partition(const std::string& name) {
  auto it = partitions_.find(name);
  if (it == partitions_.end())
    return Error{"no_such_partition", "Invalid partition name specified: " + quote(name), "", "see bai-info"};
  if (config_->find_partition(name))
    return Error{"configured", "partition " + quote(name) + " is in the configuration", "",
                 "take it out of bai.conf and reconfigure"};
  for (const auto& [id, entry] : jobs_) {
    if (is_finished(entry.job->state)) continue;
    const auto wanted = split_list(entry.job->spec->partition.view());
    if (std::find(wanted.begin(), wanted.end(), std::string_view(name)) != wanted.end())
      return Error{"partition_busy", "Partition is in use", "", "job " + std::to_string(id) + " is in it"};
  }
  drop_settings(std::string(kMadePartitions) + name + "/");
  drop_settings("partition/" + name + "/");
  out_->effects.partitions_gone.push_back(it->second->name);
  tell(sokovan::PartitionGone{it->second->name});
  partitions_.erase(it);
  return {};
}

// All that begin so: no partition's name holds a slash.
void Machine::drop_settings(const std::string& prefix) {
  for (auto it = settings_.lower_bound(prefix); it != settings_.end() && it->first.starts_with(prefix);) {
    change(store::SettingPut{it->first, ""});
    it = settings_.erase(it);
  }
}

Partition Machine::made_partition(const std::string& name) const {
  Partition made;
  made.name = name;
  made.default_mem_per_cpu_mib = config_->def_mem_per_cpu_mib;
  made.default_mem_per_node_mib = config_->def_mem_per_node_mib;
  made.max_mem_per_node_mib = config_->max_mem_per_node_mib;
  made.overridden = true;
  return made;
}

// Its time limit, while it runs: the launch is repeated, which the shepherd takes for the new limit and nothing else.
Status Machine::update_step(const Caller& caller, const wire::JobRef& ref, const Values& values) {
  JobPtr job = find(ref.job);
  auto it = steps_.find(ref.job);
  if (!job || it == steps_.end() || !it->second.live.contains(ref.step))
    return Error{"no_such_step", "Invalid job id specified", "", "see bai-queue --steps"};
  if (!caller.is_operator && job->spec->uid != caller.uid)
    return Error{"not_permitted", "Access/permission denied", "", "only its owner or an operator may"};
  StepEntry& entry = it->second.live.at(ref.step);
  Step copy = *entry.step;
  for (const auto& [key, value] : values) {
    if (key != "timelimit") return bad_key(key, "step");
    const Seconds whole = time_limit_in_force(*job);
    const Seconds in_force = copy.spec.time_limit > 0 ? copy.spec.time_limit : whole;
    auto limit = changed_limit(value, in_force);
    if (!limit) return bad_value(key, limit.error());
    copy.spec.time_limit = *limit == kUnlimited ? 0 : *limit;
  }
  entry.step = std::make_shared<const Step>(std::move(copy));
  change(store::StepPut{entry.step});
  send_limits(*job);
  return {};
}

Status Machine::update_partition(const std::string& name, const Values& values) {
  auto it = partitions_.find(name);
  if (it == partitions_.end())
    return Error{"no_such_partition", "Invalid partition name specified: " + quote(name), "", "see bai-info"};
  auto partition = std::make_shared<Partition>(*it->second);
  for (const auto& [key, value] : values)
    if (auto status = apply_partition_value(*partition, key, value); !status) return status;
  for (const auto& [key, value] : values) {
    std::string setting = "partition/" + name + "/" + key;
    settings_[setting] = value;
    change(store::SettingPut{setting, value});
  }
  partition->overridden = true;
  it->second = partition;
  out_->effects.partitions.push_back(partition);
  tell(sokovan::PartitionSet{partition});
  return {};
}

}  // namespace bai::controller
