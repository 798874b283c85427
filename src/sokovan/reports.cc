// What is said about those who wait. Said once: each entry knows what its record says or was last told.
#include "sokovan/impl.h"

namespace bai::sokovan {

void Scheduler::Impl::say(Entry& entry, Reason reason, const std::string& detail, Time expected,
                          Decisions& out) {
  if (entry.reported == reason && entry.job->expected_start == expected) return;
  entry.reported = reason;
  out.waiting.push_back({entry.job->id, reason, detail, expected});
}

void Scheduler::Impl::say_head(JobClass& c, Entry& entry, Reason reason, const std::string& detail,
                               Time expected, Decisions& out) {
  if (c.head_reason == reason && c.head_expected == expected && entry.reported == reason) return;
  c.head_reason = reason;
  c.head_expected = expected;
  say(entry, reason, detail, expected, out);
}

// All of the class but `head` (0: all of it) wait for `rest`. Only a change of that walks the class.
void Scheduler::Impl::say_class(JobClass& c, JobId head, Reason rest, const std::string& detail, Decisions&) {
  if (c.rest != rest || c.rest_detail != detail)
    for (const auto& key : c.queue) unreported.push_back(key.id);
  c.rest = rest;
  c.rest_detail = detail;
  if (c.head == head) {
    if (head == 0 && !c.queue.empty()) unreported.push_back(c.queue.begin()->id);
    return;
  }
  if (c.head) unreported.push_back(c.head);
  c.head = head;
  c.head_reason = Reason::kNone;
}

void Scheduler::Impl::flush_reports(Decisions& out) {
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
        if (c.head != id)
          say(entry, c.rest, c.rest_detail, {}, out);
        else
          say(entry, c.head_reason, {}, c.head_expected, out);
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
