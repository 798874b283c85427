#include "sim/fill.h"

#include <algorithm>
#include <chrono>

#include "base/rand.h"

namespace bai::sim {
namespace {

constexpr std::uint64_t kGoalPercent = 130;
const Time kNow = Time::from_seconds(1'000'000'000);

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t below(std::uint64_t n) {
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(splitmix64(state_)) * n >> 64);
  }

 private:
  std::uint64_t state_;
};

std::uint64_t gpu_milli(const Workload& workload, std::uint32_t job) {
  const auto& shape = workload.shapes[workload.jobs[job].shape];
  return std::uint64_t{shape.gpus} * shape.gpu_milli;
}

}  // namespace

std::vector<std::uint32_t> fill_order(const Workload& workload, std::uint64_t capacity_milli,
                                      std::uint64_t seed) {
  Dice dice(seed);
  std::vector<std::uint32_t> order(workload.jobs.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[dice.below(i)]);
  const std::uint64_t goal = capacity_milli * kGoalPercent / 100;
  std::uint64_t demand = 0;
  for (auto job : order) demand += gpu_milli(workload, job);
  while (demand < goal) {
    order.push_back(static_cast<std::uint32_t>(dice.below(workload.jobs.size())));
    demand += gpu_milli(workload, order.back());
  }
  return order;
}

Status check_fill(const Site& site, const Workload& workload) {
  std::uint64_t asked = 0;
  for (std::uint32_t i = 0; i < workload.jobs.size(); ++i) asked += gpu_milli(workload, i);
  if (site.gpu_milli == 0) return Error{"bad_trace", "no node has a GPU", "--nodes"};
  if (asked == 0) return Error{"bad_trace", "no pod asks for a GPU", "--pods"};
  // Clones are drawn until as much is asked for as the cluster has: from pods that hardly ask for anything that would take for ever.
  if (site.gpu_milli / asked * workload.jobs.size() > Workload::kMaxJobs)
    return Error{"bad_trace", "the pods ask for too little of so many GPUs", "--pods"};
  return {};
}

Filled fill_once(const Site& site, const Workload& workload, std::uint64_t seed) {
  const auto begun = std::chrono::steady_clock::now();
  const auto order = fill_order(workload, site.gpu_milli, seed);
  std::vector<std::shared_ptr<const JobSpec>> specs(workload.shapes.size());
  sokovan::Scheduler scheduler(site.plugins);
  for (const auto& change : site.changes) scheduler.apply(change);
  Filled out;
  std::uint64_t demand = 0;
  bool all_came = false;
  for (auto index : order) {
    const auto shape = workload.jobs[index].shape;
    if (!specs[shape]) specs[shape] = request(site, workload.shapes[shape], 1, kUnlimited, 0);
    auto job = std::make_shared<Job>();
    job->id = ++out.tasks;
    job->priority = 1;
    job->submitted = job->eligible = kNow;
    job->spec = specs[shape];
    scheduler.apply(sokovan::JobSet{job});
    auto decisions = scheduler.decide(kNow, {});
    if (decisions.starts.empty()) {
      scheduler.apply(sokovan::JobGone{job->id});
      ++out.dropped;
    } else {
      auto started = std::make_shared<Job>(*job);
      started->state = JobState::kRunning;
      started->started = kNow;
      started->allocation = decisions.starts.front().allocation;
      scheduler.apply(sokovan::JobSet{std::move(started)});
      out.at_130 += gpu_milli(workload, index);
    }
    const bool had_come = all_came;
    demand += gpu_milli(workload, index);
    all_came = demand >= site.gpu_milli;
    if (all_came && !had_come) out.at_100 = out.at_130;
    if (demand >= site.gpu_milli * kGoalPercent / 100) break;
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return out;
}

}  // namespace bai::sim
