#include "sokovan/admission.h"

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "base/units.h"

namespace bai::sokovan {
namespace {

constexpr std::size_t kMostAnswers = 10'000;

// The largest value from 1 to `most` that is good, where each smaller one is; 0 when none is.
template <class Good>
std::uint64_t largest(std::uint64_t most, Good&& good) {
  if (good(most)) return most;
  std::uint64_t low = 0, high = most;
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    (good(middle) ? low : high) = middle;
  }
  return low;
}

// The same nodes and features, and nothing else.
ResourceRequest least_of(const ResourceRequest& asked) {
  ResourceRequest least;
  least.nodes_wanted = asked.nodes_wanted;
  least.nodes_excluded = asked.nodes_excluded;
  least.constraint = asked.constraint;
  least.licenses = asked.licenses;
  return least;
}

}  // namespace

void Admission::apply(const Change& change) {
  if (std::holds_alternative<JobSet>(change) || std::holds_alternative<JobGone>(change)) return;
  if (auto* set =
          std::get_if<NodeSet>(&change)) {  // a node that merely comes, goes or is in use changes nothing
    NodeSet node = *set;
    node.usable = true;
    auto [it, fresh] = last_.try_emplace(node.name.str());
    if (!fresh && it->second == node) return;
    it->second = std::move(node);
  } else if (auto* gone = std::get_if<NodeGone>(&change)) {
    last_.erase(gone->name.str());
  }
  answers_.clear();
  nodes_.apply(change);
}

bool Admission::could_run(const JobSpec& spec, const ResourceRequest& request,
                          std::uint32_t& searches) const {
  if (searches != 0) --searches;
  auto changed = std::make_shared<JobSpec>(spec);
  changed->request = request;
  Job job;
  job.spec = std::move(changed);
  return nodes_.feasible(job).ok();
}

Status Admission::check(const JobSpec& spec, std::uint32_t& searches) {
  ResourceRequest request = spec.request;
  request.asked = 0;
  std::string key = spec.partition.str() + '\0' + encode(request);
  if (auto known = answers_.find(key); known != answers_.end()) return known->second;
  if (searches == 0) return {};
  const bool afforded = searches > kForAnswers;
  auto answer = search(spec, searches);
  if (!answer && !afforded) return answer;  // without a remedy
  if (answers_.size() >= kMostAnswers) answers_.clear();
  return answers_[std::move(key)] = std::move(answer);
}

Status Admission::search(const JobSpec& spec, std::uint32_t& searches) const {
  Job job;
  job.spec = std::make_shared<const JobSpec>(spec);
  Status whole = nodes_.feasible(job);
  --searches;
  if (whole.ok() || whole.error().code == "bad_licenses") return whole;
  Error error = whole.error();
  error.code = "node_config";
  return searches < kForAnswers ? error : with_nearest(spec, std::move(error), searches);
}

Error Admission::with_nearest(const JobSpec& spec, Error error, std::uint32_t& searches) const {
  const ResourceRequest& asked = spec.request;
  ResourceRequest nearest = least_of(asked);
  auto could = [&](const ResourceRequest& request) { return could_run(spec, request, searches); };
  if (!could(nearest)) {
    ResourceRequest anywhere = nearest;
    anywhere.constraint = Istr();
    if (!asked.constraint.empty() && could(anywhere))
      error = {"bad_constraint",
               "no node of partition " + spec.partition.str() + " has the features " +
                   quote(asked.constraint) + " that may be used",
               "--constraint", "see bai-info -o \"%N %f\""};
    return error;
  }
  std::vector<std::string> remedies;
  auto knob = [&](auto ResourceRequest::*member, std::uint64_t wanted, std::string_view option, auto shown) {
    if (wanted == 0) return false;
    using T = std::remove_reference_t<decltype(nearest.*member)>;
    const auto most = largest(wanted, [&](std::uint64_t value) {
      ResourceRequest request = nearest;
      request.*member = static_cast<T>(value);
      return could(request);
    });
    if (most != 0) nearest.*member = static_cast<T>(most);
    if (most == wanted) return false;
    remedies.push_back(std::string(option) + "=" + shown(most));
    return true;
  };
  auto plain = [](std::uint64_t n) { return std::to_string(n); };
  auto memory = [](std::uint64_t mib) { return format_memory(mib); };
  const bool cpus = knob(&ResourceRequest::cpus_per_task, asked.cpus_per_task, "--cpus-per-task", plain);
  bool mem = false;
  if (asked.mem_per_node_mib != kAllMemory)
    mem = knob(&ResourceRequest::mem_per_node_mib, asked.mem_per_node_mib, "--mem", memory);
  if (asked.mem_per_cpu_mib != kAllMemory)
    mem |= knob(&ResourceRequest::mem_per_cpu_mib, asked.mem_per_cpu_mib, "--mem-per-cpu", memory);
  nearest.exclusive = asked.exclusive;
  nearest.tasks_per_node = asked.tasks_per_node;
  // Without --ntasks there is one task (or --ntasks-per-node of them) for each node.
  const bool tasks_follow =
      asked.tasks == std::uint64_t{asked.min_nodes} * std::max(1u, asked.tasks_per_node);
  const bool nodes = knob(&ResourceRequest::min_nodes, asked.min_nodes, "--nodes", plain);
  nearest.max_nodes = asked.max_nodes == 0 ? 0 : std::max(nearest.min_nodes, asked.max_nodes);
  if (!(nodes && tasks_follow)) knob(&ResourceRequest::tasks, asked.tasks, "--ntasks", plain);
  error.code = cpus ? "node_cpus" : mem ? "node_memory" : "node_config";
  // Together with whatever else was asked for; if that is too much still, no promise is made.
  ResourceRequest promised = asked;
  promised.cpus_per_task = nearest.cpus_per_task;
  promised.mem_per_node_mib = asked.mem_per_node_mib == kAllMemory ? kAllMemory : nearest.mem_per_node_mib;
  promised.mem_per_cpu_mib = asked.mem_per_cpu_mib == kAllMemory ? kAllMemory : nearest.mem_per_cpu_mib;
  promised.min_nodes = nearest.min_nodes;
  promised.max_nodes = nearest.max_nodes;
  promised.tasks =
      nodes && tasks_follow ? nearest.min_nodes * std::max(1u, asked.tasks_per_node) : nearest.tasks;
  if (remedies.empty() || !could(promised)) return error;
  error.remedy = "the most that could run: " + join(remedies, " ");
  return error;
}

}  // namespace bai::sokovan
