// What is said about those who wait. Said once: each entry knows what its record says or was last told.
#include <algorithm>

#include "base/hostlist.h"
#include "sokovan/impl.h"

namespace bai::sokovan {

void Scheduler::Impl::say(Entry& entry, Reason reason, const std::string& detail, Time expected,
                          Decisions& out) {
  if (entry.reported == reason && entry.expected == expected) return;
  entry.reported = reason;
  entry.expected = expected;
  out.waiting.push_back({entry.job->id, reason, detail, expected});
}

// All of the class that are not planned wait for `rest`. Only a change of that walks the class.
void Scheduler::Impl::say_class(JobClass& c, Reason rest, const std::string& detail) {
  if (rest != Reason::kPriority && c.first) unreported.push_back(std::exchange(c.first, 0));
  if (c.rest == rest && c.rest_detail == detail) return;
  for (const auto& key : c.queue) unreported.push_back(key.id);
  c.rest = rest;
  c.rest_detail = detail;
}

void Scheduler::Impl::flush_reports(Decisions& out) {
  std::vector<std::pair<JobId, const Plan*>> first;  // of each job that is planned
  if (!unreported.empty())
    for (const auto& plan : plans) first.emplace_back(plan.booking->job, &plan);
  std::stable_sort(first.begin(), first.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto plan_of = [&](JobId id) {
    const auto it = std::lower_bound(first.begin(), first.end(), id,
                                     [](const auto& item, JobId job) { return item.first < job; });
    return it != first.end() && it->first == id ? it->second : nullptr;
  };
  for (auto id : unreported) {
    auto it = jobs.find(id);
    if (it == jobs.end()) continue;
    auto& entry = it->second;
    const auto& job = *entry.job;
    switch (entry.kind) {
      case Kind::kActive:
      case Kind::kInFlight:
        break;
      case Kind::kQueued: {
        const auto& c = *classes[entry.job_class];
        const auto* plan = plan_of(id);
        if (plan) {
          const Time at = plan->booking->from;
          std::string detail;
          if (plan->reason == Reason::kResources && entry.reported != Reason::kResources) {
            std::vector<std::string> names;
            for (const auto& part : plan->booking->parts) names.push_back(nodes[part.node].name.str());
            detail = "next on " + compress_hostlist_sorted(std::move(names));
          }
          const bool known = at < kUnknownEnd && at > last_now;
          if (known && !job.array) estimates.told(id, at);
          say(entry, plan->reason, detail, known ? at : Time{}, out);
        } else if (c.first == id) {
          say(entry, c.first_reason, {}, {}, out);
        } else {
          say(entry, c.rest, c.rest_detail, {}, out);
        }
        break;
      }
      case Kind::kStopped:
        if (job.hold == Hold::kUser)
          say(entry, Reason::kJobHeldUser, {}, {}, out);
        else if (job.hold == Hold::kAdmin)
          say(entry, job.reason == Reason::kJobHoldMaxRequeue ? job.reason : Reason::kJobHeldAdmin, {}, {},
              out);
        else if (job.reason != Reason::kDependencyNeverSatisfied)
          say(entry, Reason::kDependency, {}, {}, out);
        break;
      case Kind::kBegin:
        say(entry, Reason::kBeginTime, {}, job.spec->extras().begin, out);
        break;
      case Kind::kParked:
        say(entry, Reason::kJobArrayTaskLimit, {}, {}, out);
        break;
    }
  }
  unreported.clear();
}

}  // namespace bai::sokovan
