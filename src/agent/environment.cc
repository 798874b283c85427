#include "agent/environment.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "base/text.h"
#include "model/task_counts.h"

namespace bai::agent {

namespace {

// Entries of the user's environment by their names; the first of a name counts.
using Entries = std::map<std::string_view, std::string_view>;

struct Context : EnvironmentContext {
  Entries had;
};

using Value = std::optional<std::string>;

const Job& job_of(const Context& c) { return *c.order.job; }
const JobSpec& spec_of(const Context& c) { return *c.order.job->spec; }
const NodeShare* share_of(const Context& c) {
  const auto& nodes = job_of(c).allocation->nodes;
  return c.node_index < nodes.size() ? &nodes[c.node_index] : nullptr;
}
Value text(std::string_view s) { return s.empty() ? Value() : Value(std::string(s)); }
template <class T>
Value number(T n) {
  return std::to_string(n);
}
template <class T>
Value number_if(bool is, T n) {
  return is ? Value(std::to_string(n)) : Value();
}
// What the user's own environment says.
Value from_user(const Context& c, std::string_view name) {
  const auto found = c.had.find(name);
  return found == c.had.end() ? Value() : Value(std::string(found->second.substr(name.size() + 1)));
}
const Step* step_of(const Context& c) { return c.order.step.get(); }
std::vector<std::uint32_t> tasks_of_step(const Step& step) {
  std::vector<std::uint32_t> counts;
  for (const auto& share : step.nodes) counts.push_back(static_cast<std::uint32_t>(share.ranks.size()));
  return counts;
}
// Of the step where there is one: this node's place among its nodes.
std::uint32_t node_id(const Context& c) {
  if (const Step* step = step_of(c))
    for (std::uint32_t i = 0; i < step->nodes.size(); ++i)
      if (step->nodes[i].node == c.node) return i;
  return c.node_index;
}
const ResourceRequest& request_of(const Context& c) { return request_in_force(job_of(c)); }
bool asked(const Context& c, Asked what) { return (request_of(c).asked & what) != 0; }
Value asked_tasks(const Context& c) {
  if (const Step* step = step_of(c)) return number(step->tasks());
  return number_if(asked(c, kAskedTasks), request_of(c).tasks);
}
bool is_array(const Context& c) { return job_of(c).array_id != 0 && job_of(c).array_task != kNoTask; }
Value array_number(const Context& c, std::uint32_t ArrayNumbers::*member) {
  const auto& numbers = spec_of(c).extras().array;
  if (!is_array(c) || numbers.count == 0) return {};
  return std::to_string(numbers.*member);
}
Value cpus_per_node(const Context& c) {
  std::vector<std::uint32_t> counts;
  for (const auto& share : job_of(c).allocation->nodes) counts.push_back(share.cpus);
  return compress_counts(counts);
}
Value end_time(const Context& c) {
  if (c.order.time_limit <= 0) return {};
  return std::to_string((job_of(c).started + c.order.time_limit).seconds());
}

// The indices of its GPUs on this node, as "0,2": the job's, and of a step with `own` the step's.
Value gpus_of(const Context& c, bool own = false) {
  const auto* share = share_of(c);
  if (!share) return {};
  const auto* devices = &share->devices;
  if (own && step_of(c))
    for (const auto& part : step_of(c)->nodes)
      if (part.node == c.node) devices = &part.devices;
  std::set<std::uint32_t> indices;
  for (const auto& device : *devices)
    if (device.kind == "gpu" && device.index != kCountedDevice) indices.insert(device.index);
  std::string out;
  for (auto index : indices) out += (out.empty() ? "" : ",") + std::to_string(index);
  return out.empty() ? Value() : Value(std::move(out));
}

enum class Names : std::uint8_t { kBoth, kBai, kSlurm };
struct Variable {
  std::string_view name;  // after BAI_ and SLURM_
  Names names;
  Value (*value)(const Context&);
};

// The one table.
const Variable kVariables[] = {
    {"JOB_ID", Names::kBoth, [](const Context& c) { return number(job_of(c).id); }},
    {"JOBID", Names::kSlurm, [](const Context& c) { return number(job_of(c).id); }},
    {"JOB_NAME", Names::kBoth, [](const Context& c) { return text(spec_of(c).name); }},
    {"JOB_NODELIST", Names::kBoth, [](const Context& c) { return text(job_of(c).allocation->hostlist()); }},
    {"NODELIST", Names::kBoth, [](const Context& c) { return text(job_of(c).allocation->hostlist()); }},
    {"JOB_NUM_NODES", Names::kBoth,
     [](const Context& c) { return number(job_of(c).allocation->nodes.size()); }},
    {"NNODES", Names::kBoth,
     [](const Context& c) {
       return number(step_of(c) ? step_of(c)->nodes.size() : job_of(c).allocation->nodes.size());
     }},
    {"STEP_ID", Names::kBoth, [](const Context& c) { return step_of(c) ? number(step_of(c)->id) : Value(); }},
    {"STEPID", Names::kSlurm, [](const Context& c) { return step_of(c) ? number(step_of(c)->id) : Value(); }},
    {"STEP_NODELIST", Names::kBoth,
     [](const Context& c) { return step_of(c) ? text(step_of(c)->hostlist()) : Value(); }},
    {"STEP_NUM_NODES", Names::kBoth,
     [](const Context& c) { return step_of(c) ? number(step_of(c)->nodes.size()) : Value(); }},
    {"STEP_NUM_TASKS", Names::kBoth,
     [](const Context& c) { return step_of(c) ? number(step_of(c)->tasks()) : Value(); }},
    {"STEP_TASKS_PER_NODE", Names::kBoth,
     [](const Context& c) {
       return step_of(c) ? Value(compress_counts(tasks_of_step(*step_of(c)))) : Value();
     }},
    {"DISTRIBUTION", Names::kBoth,
     [](const Context& c) { return step_of(c) ? text(name(step_of(c)->spec.distribution)) : Value(); }},
    {"NTASKS", Names::kBoth, asked_tasks},
    {"NPROCS", Names::kBoth, asked_tasks},
    {"NTASKS_PER_NODE", Names::kBoth,
     [](const Context& c) {
       return number_if(request_of(c).tasks_per_node > 0, request_of(c).tasks_per_node);
     }},
    {"CPUS_PER_TASK", Names::kBoth,
     [](const Context& c) {
       if (step_of(c)) return number_if(step_of(c)->spec.cpus_per_task > 0, step_of(c)->spec.cpus_per_task);
       return number_if(asked(c, kAskedCpusPerTask) || from_user(c, "SLURM_CPUS_PER_TASK"),
                        request_of(c).cpus_per_task);
     }},
    {"JOB_CPUS_PER_NODE", Names::kBoth, cpus_per_node},
    {"TASKS_PER_NODE", Names::kBoth,
     [](const Context& c) {
       return Value(compress_counts(step_of(c) ? tasks_of_step(*step_of(c)) : tasks_per_node(job_of(c))));
     }},
    {"CPUS_ON_NODE", Names::kBoth,
     [](const Context& c) { return share_of(c) ? number(share_of(c)->cpus) : Value(); }},
    {"MEM_PER_NODE", Names::kBoth,
     [](const Context& c) {
       const auto mib = request_of(c).mem_per_node_mib;
       return number_if(mib != 0 && mib != kAllMemory, mib);
     }},
    {"MEM_PER_CPU", Names::kBoth,
     [](const Context& c) {
       return number_if(request_of(c).mem_per_cpu_mib > 0, request_of(c).mem_per_cpu_mib);
     }},
    {"JOB_GPUS", Names::kBoth, [](const Context& c) { return gpus_of(c); }},
    {"STEP_GPUS", Names::kBoth, [](const Context& c) { return step_of(c) ? gpus_of(c, true) : Value(); }},
    {"GPUS_ON_NODE", Names::kBoth,
     [](const Context& c) {
       const Value gpus = gpus_of(c, true);
       return gpus ? number(1 + std::count(gpus->begin(), gpus->end(), ',')) : Value();
     }},
    {"SUBMIT_DIR", Names::kBoth,
     [](const Context& c) {
       const Value said = from_user(c, "SLURM_SUBMIT_DIR");
       return said ? said : text(spec_of(c).workdir);
     }},
    {"SUBMIT_HOST", Names::kBoth,
     [](const Context& c) {
       const Value said = from_user(c, "SLURM_SUBMIT_HOST");
       return said ? said : from_user(c, "HOSTNAME");
     }},
    {"JOB_PARTITION", Names::kBoth,
     [](const Context& c) {
       return text(job_of(c).allocation->partition.empty() ? spec_of(c).partition
                                                           : job_of(c).allocation->partition);
     }},
    {"JOB_ACCOUNT", Names::kBoth, [](const Context& c) { return text(spec_of(c).account); }},
    {"JOB_QOS", Names::kBoth, [](const Context& c) { return text(spec_of(c).extras().qos); }},
    {"JOB_USER", Names::kBoth, [](const Context& c) { return text(c.user.name); }},
    {"JOB_UID", Names::kBoth, [](const Context& c) { return number(spec_of(c).uid); }},
    {"JOB_GID", Names::kBoth, [](const Context& c) { return number(spec_of(c).gid); }},
    {"JOB_DEPENDENCY", Names::kSlurm, [](const Context& c) { return from_user(c, "SLURM_JOB_DEPENDENCY"); }},
    {"CLUSTER_NAME", Names::kBoth, [](const Context& c) { return text(c.cluster_name); }},
    {"NODE_NAME", Names::kBai, [](const Context& c) { return text(c.node); }},
    {"NODEID", Names::kBoth, [](const Context& c) { return number(node_id(c)); }},
    {"PROCID", Names::kBoth, [](const Context& c) { return number_if(!step_of(c), 0); }},
    {"LOCALID", Names::kBoth, [](const Context& c) { return number_if(!step_of(c), 0); }},
    {"GTIDS", Names::kSlurm, [](const Context& c) { return number_if(!step_of(c), 0); }},
    {"ARRAY_JOB_ID", Names::kBoth,
     [](const Context& c) { return number_if(is_array(c), job_of(c).array_id); }},
    {"ARRAY_TASK_ID", Names::kBoth,
     [](const Context& c) { return number_if(is_array(c), job_of(c).array_task); }},
    {"ARRAY_TASK_COUNT", Names::kBoth,
     [](const Context& c) { return array_number(c, &ArrayNumbers::count); }},
    {"ARRAY_TASK_MIN", Names::kBoth, [](const Context& c) { return array_number(c, &ArrayNumbers::min); }},
    {"ARRAY_TASK_MAX", Names::kBoth, [](const Context& c) { return array_number(c, &ArrayNumbers::max); }},
    {"ARRAY_TASK_STEP", Names::kBoth, [](const Context& c) { return array_number(c, &ArrayNumbers::step); }},
    {"RESTART_COUNT", Names::kBoth,
     [](const Context& c) { return number_if(job_of(c).restarts > 0, +job_of(c).restarts); }},
    {"JOB_ATTEMPT", Names::kBai, [](const Context& c) { return number(c.order.key.attempt); }},
    {"JOB_START_TIME", Names::kBoth, [](const Context& c) { return number(job_of(c).started.seconds()); }},
    {"JOB_END_TIME", Names::kBoth, end_time},
};

// Put in only where the user's environment has none.
const std::pair<std::string_view, std::string (*)(const Context&)> kDefaults[] = {
    {"HOME", [](const Context& c) { return c.user.home; }},
    {"USER", [](const Context& c) { return c.user.name; }},
    {"LOGNAME", [](const Context& c) { return c.user.name; }},
    {"SHELL", [](const Context& c) { return c.user.shell.empty() ? std::string("/bin/sh") : c.user.shell; }},
    {"PATH", [](const Context&) { return std::string("/usr/local/bin:/usr/bin:/bin"); }},
    {"TMPDIR", [](const Context&) { return std::string("/tmp"); }},
};

}  // namespace

std::string gpus_on_node(const Job& job, std::uint32_t index) {
  if (index >= job.allocation->nodes.size()) return "";
  std::set<std::uint32_t> indices;
  for (const auto& device : job.allocation->nodes[index].devices)
    if (device.kind == "gpu" && device.index != kCountedDevice) indices.insert(device.index);
  std::string out;
  for (auto i : indices) out += (out.empty() ? "" : ",") + std::to_string(i);
  return out;
}

std::vector<std::string> job_environment(const EnvironmentContext& given) {
  Context context{given, {}};
  std::vector<std::string_view> order;
  for (std::string_view env = given.order.environment; !env.empty();) {
    const auto end = std::min(env.find('\0'), env.size());
    const auto entry = env.substr(0, end);
    env.remove_prefix(std::min(end + 1, env.size()));
    const auto equals = entry.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    if (context.had.emplace(entry.substr(0, equals), entry).second) order.push_back(entry);
  }

  std::vector<std::string> ours;
  const auto add = [&](std::string_view prefix, std::string_view name, std::string_view value) {
    std::string& entry = ours.emplace_back();
    entry.reserve(prefix.size() + name.size() + 1 + value.size());
    entry.append(prefix).append(name).append("=").append(value);
  };
  for (const auto& variable : kVariables) {
    const Value value = variable.value(context);
    if (!value) continue;
    if (variable.names != Names::kSlurm) add("BAI_", variable.name, *value);
    if (variable.names != Names::kBai) add("SLURM_", variable.name, *value);
  }
  add("", "SLURMD_NODENAME", given.node);
  if (given.devices)
    ours.insert(ours.end(), given.devices->begin(), given.devices->end());
  else if (const Value gpus = gpus_of(context, true))
    for (auto name : {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"})
      add("", name, *gpus);
  if (!step_of(context)) add("", "ENVIRONMENT", "BATCH");  // as Slurm sets it
  for (const auto& entry : ours) context.had.erase(std::string_view(entry).substr(0, entry.find('=')));

  std::vector<std::string> out;
  out.reserve(order.size() + std::size(kDefaults) + ours.size());
  for (const auto entry : order)
    if (context.had.contains(entry.substr(0, entry.find('=')))) out.emplace_back(entry);
  for (const auto& [name, value] : kDefaults)
    if (!context.had.contains(name)) out.push_back(std::string(name) + "=" + value(context));
  std::move(ours.begin(), ours.end(), std::back_inserter(out));
  return out;
}

}  // namespace bai::agent
