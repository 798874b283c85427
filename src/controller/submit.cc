// Admission: what is taken into the queue, and what is refused with which words.
#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "controller/machine.h"
#include "model/constraint.h"

namespace bai::controller {
namespace {

Error refused(std::string code, std::string message, std::string place, std::string remedy) {
  return {std::move(code), std::move(message), std::move(place), std::move(remedy)};
}

// MiB that one node gives at least.
std::uint64_t least_memory(const ResourceRequest& request) {
  std::uint64_t per_task = 0;
  if (__builtin_mul_overflow(request.mem_per_cpu_mib, request.cpus_per_task, &per_task))
    per_task = kAllMemory;
  return std::max(request.mem_per_node_mib, per_task);
}

constexpr DeviceAmount kMostDevicesAsked = DeviceAmount{1} << 40;

bool any_of(const std::vector<Istr>& allowed, std::string_view name) {
  return std::any_of(allowed.begin(), allowed.end(), [&](const Istr& a) { return a == name || a == "ALL"; });
}

}  // namespace

void Machine::on_submit(const FromCommand& command, const wire::SubmitRequest& request) {
  wire::SubmitReply result;
  std::set<Hash256> stored;
  searches_ = kSearchesPerRequest;
  for (const auto& submission : request.jobs) {
    wire::JobResult one;
    auto admitted = admit(command.caller, submission);
    if (admitted) {
      one.ref.job = *admitted;
      // Contents go with the first job that needs them; refused jobs leave none behind.
      for (const auto& [hash, bytes] : command.contents)
        if ((hash == submission.launch.script || hash == submission.launch.environment) &&
            stored.insert(hash).second)
          change(store::ContentPut{hash, bytes});
    } else {
      one.error = wire::ErrorBody{admitted.error()};
    }
    result.results.push_back(std::move(one));
  }
  answer(command, std::move(result));
}

Status Machine::check_partitions(const Caller& caller, JobSpec& spec) const {
  if (spec.partition.empty()) {
    const Partition* fallback = config_->default_partition();
    if (!fallback)
      return refused("no_default_partition", "no partition was given and there is no default one",
                     "--partition", "name one; see bai-info");
    spec.partition = fallback->name;
  }
  Error last;
  bool one_is_good = false;
  for (auto name : split_list(spec.partition.view())) {
    auto it = partitions_.find(name);
    if (it == partitions_.end()) {
      std::vector<std::string> known;
      for (const auto& [partition, record] : partitions_)
        if (!record->hidden) known.push_back(partition);
      return refused("bad_partition", "invalid partition specified: " + std::string(name), "--partition",
                     "partitions here: " + join(known, ", "));
    }
    const Partition& p = *it->second;
    auto bad = [&](const std::string& message, std::string remedy) {
      last = refused("partition_refuses", "partition " + p.name.str() + ": " + message, "--partition",
                     std::move(remedy));
    };
    if (p.root_only && !caller.is_operator) {
      bad("only root may submit to it", "choose another; see bai-info");
    } else if (p.state == PartitionState::kDrain || p.state == PartitionState::kInactive) {
      bad("it takes no new jobs (" + std::string(bai::name(p.state)) + ")", "choose another; see bai-info");
    } else if (!p.allow_accounts.empty() && !any_of(p.allow_accounts, spec.account.view())) {
      bad("account " + quote(spec.account.view()) + " may not use it",
          "give an account that may with --account");
    } else if (any_of(p.deny_accounts, spec.account.view()) && !p.deny_accounts.empty()) {
      bad("account " + quote(spec.account.view()) + " may not use it", "give another account with --account");
    } else if (!caller.is_operator && !p.allow_groups.empty() &&
               std::none_of(caller.groups.begin(), caller.groups.end(),
                            [&](const std::string& g) { return any_of(p.allow_groups, g); })) {
      bad("none of your groups may use it", "ask the administrator to be added to one");
    } else if (p.max_mem_per_node_mib && least_memory(spec.request) > p.max_mem_per_node_mib) {
      bad("at most " + std::to_string(p.max_mem_per_node_mib) + " MiB of memory a node",
          "ask for less with --mem");
    } else {
      one_is_good = true;
    }
    if (p.exclusive_user) spec.request.exclusive_user = true;
  }
  if (!one_is_good) return last;
  return {};
}

// What is asked of nodes beside their number and CPUs: understood, and of kinds that some node has.
Status Machine::check_request(const ResourceRequest& request) const {
  if (request.min_nodes == 0 || request.tasks == 0 || request.cpus_per_task == 0)
    return refused("bad_request", "a job needs at least one node, one task and one CPU a task", "",
                   "see bai-submit(1)");
  if (request.max_nodes && request.max_nodes < request.min_nodes)
    return refused("bad_request", "more nodes at least than at most", "--nodes",
                   "write --nodes=MIN-MAX with MIN <= MAX");
  if (request.mem_per_node_mib && request.mem_per_cpu_mib)
    return refused("bad_request", "--mem and --mem-per-cpu exclude each other", "--mem", "give one of them");
  std::set<std::string> wanted;
  for (const auto* list : {&request.nodes_wanted, &request.nodes_excluded}) {
    if (list->empty()) continue;
    auto names = expand_hostlist(list->view());
    const char* option = list == &request.nodes_wanted ? "--nodelist" : "--exclude";
    if (!names) return refused("bad_hostlist", names.error().message, option, names.error().remedy);
    for (const auto& name : *names)
      if (!nodes_.contains(name))
        return refused("bad_node", "invalid node name specified: " + quote(name), option, "see bai-info -N");
      else if (list == &request.nodes_wanted)
        wanted.insert(name);
      else if (wanted.contains(name))
        return refused("bad_node", "node " + name + " is wanted and excluded at once", option,
                       "leave one out");
  }
  if (auto constraint = parse_constraint(request.constraint); !constraint)
    return refused("bad_constraint", constraint.error().message, "--constraint", constraint.error().remedy);
  const auto& extras = request.extras();
  if (extras.mem_per_gpu_mib && (request.mem_per_node_mib || request.mem_per_cpu_mib))
    return refused("bad_request", "--mem, --mem-per-cpu and --mem-per-gpu exclude each other",
                   "--mem-per-gpu", "give one of them");
  for (const auto& wanted : extras.devices) {
    if (wanted.amount > kMostDevicesAsked * kWholeDevice)
      return refused("bad_devices", "more devices than there can be", "--gres", "ask for fewer");
    auto has = [&](const std::vector<DeviceGroup>& groups) {
      return std::any_of(groups.begin(), groups.end(), [&](const DeviceGroup& group) {
        return group.kind == wanted.kind && type_matches(wanted.type, group.type);
      });
    };
    const bool known = std::any_of(config_->nodes.begin(), config_->nodes.end(),
                                   [&](const ConfigNode& n) { return has(n.shape.devices); }) ||
                       std::any_of(nodes_.begin(), nodes_.end(),
                                   [&](const auto& item) { return has(item.second.node->declared.devices); });
    const std::string what = wanted.kind.str() + (wanted.type.empty() ? "" : ":" + wanted.type.str());
    if (!known)
      return refused("bad_devices",
                     "invalid generic resource (gres) specification: no node has " + quote(what),
                     wanted.kind == "gpu" ? "--gpus" : "--gres", "see bai-info -o \"%N %G\"");
  }
  if (!request.licenses.empty()) {
    for (auto item : split_list(request.licenses.view())) {
      auto colon = item.find(':');
      std::string name(item.substr(0, colon));
      auto it = config_->licenses.find(name);
      if (it == config_->licenses.end())
        return refused("bad_license", "invalid license specification: there is no license " + quote(name),
                       "--licenses", "see bai-control show config");
      if (colon != item.npos && (!all_digits(item.substr(colon + 1)) || item.size() - colon > 10 ||
                                 std::stoul(std::string(item.substr(colon + 1))) > it->second))
        return refused("bad_license", "there are only " + std::to_string(it->second) + " of license " + name,
                       "--licenses", "ask for fewer");
    }
  }
  return {};
}

Status Machine::check_submission(const Caller& caller, const wire::Submission& submission,
                                 JobSpec& spec) const {
  if (spec.uid != caller.uid || spec.gid != caller.gid)
    return refused("not_permitted", "a job can be submitted for oneself only", "",
                   "submit it as the user it shall run as");
  if (auto good = check_request(spec.request); !good) return good;
  for (const auto& other : spec.request.extras().alternatives)
    if (auto good = check_request(other); !good) return good;
  if (submission.priority && !caller.is_operator && *submission.priority > kDefaultPriority)
    return refused("not_permitted",
                   "only an operator may raise a priority above " + std::to_string(kDefaultPriority),
                   "--priority", "give a lower one");
  if (spec.nice < 0 && !caller.is_operator)
    return refused("not_permitted", "only an operator may give a negative --nice", "--nice",
                   "give 0 or more");
  if (spec.extras().mail_user.view().starts_with('-'))  // MailProg would take it for an option
    return refused("bad_request", "a mail address does not begin with -", "--mail-user",
                   "give a user or an address");
  if (spec.extras().deadline.is_set()) {
    if (spec.extras().deadline <= now_)
      return refused("bad_deadline", "the deadline has passed", "--deadline", "give a time to come");
  }
  if (!spec.extras().dependencies.list.empty()) {
    JobExtras extras = spec.extras();
    for (auto& dependency : extras.dependencies.list) dependency.state = DependencyState::kWaiting;
    if (auto good = check_dependencies(extras.dependencies, submission.lost_dependencies_hold); !good)
      return good.error();
    spec.set_extras(std::move(extras));
  }
  return check_partitions(caller, spec);
}

// A limit of a partition may change while the job waits, its nodes seldom do. Where nodes may join that nobody knows yet, nothing
// is too much.
Status Machine::check_nodes(const JobSpec& spec) {
  return config_->dynamic_nodes ? Status() : admission_.check(spec, searches_);
}

namespace {

ArrayNumbers numbers_of(const IdSet& tasks) {
  const auto first = tasks.first();
  const auto second = tasks.next(first + 1);
  return {static_cast<std::uint32_t>(tasks.count()), first, tasks.last(), second ? *second - first : 1};
}

// Arguments as a person reads them: escaped, and cut when they are very long.
Istr shown(const std::vector<std::string>& args) {
  constexpr std::size_t kMost = 1024;
  std::string out;
  for (const auto& arg : args) {
    if (out.size() > kMost) break;
    if (&arg != args.data()) out += ' ';
    out += arg;
  }
  if (out.size() <= kMost) return Istr(escape_control(out));
  out.resize(kMost);
  return Istr(escape_control(out) + "...");
}

}  // namespace

Result<JobId> Machine::admit(const Caller& caller, const wire::Submission& submission) {
  std::uint64_t tasks = submission.array_tasks ? submission.array_tasks->count() : 1;
  if (submission.array_tasks) {
    if (tasks == 0)
      return refused("bad_array", "the array has no tasks", "--array",
                     "give task numbers, as in --array=0-9");
    if (submission.array_tasks->last() >= config_->max_array_size)
      return refused("bad_array",
                     "invalid job array specification: task numbers must be below MaxArraySize, " +
                         std::to_string(config_->max_array_size),
                     "--array", "use smaller task numbers, or have MaxArraySize raised");
  }
  if (jobs_.size() >= config_->max_job_count)
    return refused("queue_full",
                   "the queue holds MaxJobCount jobs, " + std::to_string(config_->max_job_count), "",
                   "try again when some have ended");
  JobSpec spec = submission.spec;
  if (auto checked = check_submission(caller, submission, spec); !checked) return checked.error();
  if (auto checked = check_nodes(spec); !checked) return checked.error();
  spec.user = caller.user;
  spec.group = caller.group;
  if (spec.requeue == Requeue::kDefault) spec.requeue = config_->job_requeue ? Requeue::kYes : Requeue::kNo;
  for (Istr* text : {&spec.name, &spec.user, &spec.group, &spec.account, &spec.partition, &spec.workdir,
                     &spec.std_out, &spec.std_err, &spec.command, &spec.host})
    *text = texts_.intern(*text);
  if (spec.extras_or_null || submission.array_tasks || !submission.launch.args.empty()) {
    JobExtras extras = spec.extras();
    extras.array = submission.array_tasks ? numbers_of(*submission.array_tasks) : ArrayNumbers{};
    extras.arguments = shown(submission.launch.args);
    spec.set_extras(std::move(extras));
  }
  if (last_job_id_ >= 0xfffffff0u)
    return refused("no_more_ids", "all job ids were given", "", "start a new cluster");

  Job job;
  job.id = last_job_id_ + 1;
  job.spec = std::make_shared<const JobSpec>(std::move(spec));
  job.submitted = now_;
  job.eligible = std::max(now_, job.spec->extras().begin);
  std::int64_t priority = submission.priority ? *submission.priority
                                              : static_cast<std::int64_t>(kDefaultPriority) - job.spec->nice;
  job.priority = static_cast<std::uint32_t>(std::clamp<std::int64_t>(priority, 1, 0xfffffffe));
  if (submission.hold || (submission.priority && *submission.priority == 0)) {
    job.hold = Hold::kUser;
    job.reason = Reason::kJobHeldUser;
  }
  if (submission.array_tasks) {
    auto head = std::make_shared<ArrayHead>();
    head->waiting = *submission.array_tasks;
    head->max_running = submission.array_max_running;
    job.array = std::move(head);
    job.array_id = job.id;
  }
  last_job_id_ = job.id;
  JobId id = job.id;
  if (job.array_id) arrays_[id].unfinished = tasks;
  if (job.spec->extras().deadline.is_set()) deadlines_.insert({job.spec->extras().deadline, id});
  watch_dependencies(job);
  bool met = true;
  evaluate(job, met);
  note_delays(job);
  jobs_[id].dependencies_met = met;
  change(store::LaunchPut{id, submission.launch});
  Job before = job;
  event(before, job, submission.hold ? "submitted held" : "submitted", caller.uid);
  const bool never = job.reason == Reason::kDependencyNeverSatisfied && config_->kill_invalid_depend;
  put_job(std::move(job));
  if (never) finish(*find(id), JobState::kCancelled, kNeverSatisfied, 0);
  return id;
}

}  // namespace bai::controller
