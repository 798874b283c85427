// The default policy in a pass: who is due when, and who may pass on a prediction. See policy.h.
#include <algorithm>

#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

constexpr std::uint32_t kMostGuesses = 10'000;  // jobs of a pass

}  // namespace

std::uint64_t cpus_asked(const ResourceRequest& request) {
  return std::uint64_t{std::max({1u, request.tasks, request.min_nodes})} *
         std::max(1u, request.cpus_per_task);
}

Share Scheduler::Impl::share_asked(const ResourceRequest& request, Queue& q) {
  if (q.generation != generation) {
    q.generation = generation;
    q.nodes = q.cpus = q.gpu_milli = 0;
    for (const auto& name : q.partition->nodes) {
      const auto* slot = nodes.find(name.view());
      if (!slot || !slot->exists) continue;
      ++q.nodes;
      q.cpus += std::max(0, slot->total.cpus());
      q.gpu_milli += static_cast<std::int64_t>(total_of(slot->devices, Istr("gpu")));
    }
  }
  const std::int64_t node_count = std::max(1u, request.min_nodes);
  Share out{static_cast<std::int64_t>(std::min<std::uint64_t>(cpus_asked(request), INT64_MAX)), q.cpus};
  auto consider = [&](std::int64_t asked, std::int64_t total) {
    if (total > 0 && static_cast<__int128>(std::min(asked, total)) * out.total >
                         static_cast<__int128>(std::min(out.asked, out.total)) * total)
      out = {asked, total};
  };
  if (request.exclusive) consider(node_count, q.nodes);
  for (const auto& device : request.extras().devices) {
    if (device.kind != "gpu") continue;
    std::uint64_t times = 1;
    if (device.per == DevicePer::kNode || device.per == DevicePer::kSocket)
      times = static_cast<std::uint64_t>(node_count);
    if (device.per == DevicePer::kTask) times = std::max({1u, request.tasks, request.min_nodes});
    std::uint64_t asked = 0;
    if (__builtin_mul_overflow(std::uint64_t{device.amount}, times, &asked) || asked > INT64_MAX)
      asked = INT64_MAX;
    consider(static_cast<std::int64_t>(asked), q.gpu_milli);
  }
  return out;
}

void Scheduler::Impl::set_due(Entry& entry) {
  const auto& job = *entry.job;
  entry.due = job.submitted;
  entry.predicted = kUnlimited;
  const auto where = queues_of(*classes[entry.job_class]);
  if (where.empty() || !queues[where.front()].rules.by_due) return;
  auto& q = queues[where.front()];
  entry.predicted =
      predictor.predict(job.spec->uid, cpus_asked(job.spec->request), limit_in(*job.spec, *q.partition));
  entry.due = due(job.submitted, entry.predicted, share_asked(job.spec->request, q));
}

bool Scheduler::Impl::is_cheap() const {
  return settings.backfill_interval <= 0 || pass_steps < settings.cheap_pass_steps;
}

bool Scheduler::Impl::by_due(const JobClass& c) const {
  return std::any_of(c.options.begin(), c.options.end(), [&](const Option& o) {
    return o.reason == Reason::kNone && queues[o.queue].rules.by_due;
  });
}

// It comes right behind the first of some queue that waits.
void Scheduler::Impl::note_second(const JobClass& c, const Entry& entry) {
  for (const auto& option : c.options) {
    auto& q = queues[option.queue];
    if (!q.blocked || q.seconded || option.reason != Reason::kNone) continue;
    q.seconded = true;
    q.oldest = std::min(q.oldest, entry.job->submitted);
  }
}

bool Scheduler::Impl::may_guess(const JobClass& c, const Option& option, const Entry& entry, Time now) const {
  const auto& q = queues[option.queue];
  return full_pass && !c.no_guess && q.rules.by_due && q.blocked && option.licenses.empty() &&
         option.limit != kUnlimited && entry.predicted != kUnlimited && entry.predicted < option.limit &&
         now + option.limit <= q.oldest + kPatience;
}

// Whether jobs behind the first of the class that did not fit are worth a look.
bool Scheduler::Impl::goes_on_guessing(const JobClass& c) const {
  return full_pass && !c.no_guess && guesses < kMostGuesses && by_due(c);
}

// Whether it would have some of these nodes still at `end`, when others than the first of such a queue count on them.
bool Scheduler::Impl::endangers(const std::vector<Pick>& picks, Time end) const {
  return std::any_of(plans.begin(), plans.end(), [&](const Plan& plan) {
    if (queues[plan.queue].rules.by_due || plan.booking->from >= end) return false;
    const auto& parts = plan.booking->parts;
    return std::any_of(parts.begin(), parts.end(), [&](const Booking::Part& part) {
      return std::any_of(picks.begin(), picks.end(), [&](const Pick& p) { return p.node == part.node; });
    });
  });
}

// The first option that has nodes now for as long as the job is predicted to run, or null.
const Option* Scheduler::Impl::guessed(JobClass& c, const Entry& entry, Time now, std::vector<Pick>& picks,
                                       Decisions& out) {
  bool fits_at_all = false, tried = false, hopeless = true;
  for (auto& option : c.options) {
    const auto& q = queues[option.queue];
    hopeless &= q.blocked && (option.limit == kUnlimited || now + option.limit > q.oldest + kPatience);
    if (!usable(option) || !may_guess(c, option, entry, now)) continue;
    if (!tried) ++out.jobs_tried;
    tried = true;
    picks = finder.find_now(option, now, now + entry.predicted);
    if (!picks.empty() && !endangers(picks, now + option.limit) &&
        holds(option, *allocation_of(option, picks), picks))
      return &option;
    fits_at_all = fits_at_all || !finder.find_now(option, now, now + 1).empty();
  }
  picks.clear();
  c.no_guess |= hopeless || (tried && !fits_at_all);
  return nullptr;
}

}  // namespace bai::sokovan
