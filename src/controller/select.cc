#include "controller/select.h"

#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"

namespace bai::controller {
namespace {

bool among(const std::vector<std::string>& list, std::string_view value) {
  return list.empty() || std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

Selector::Selector(const wire::JobFilter& filter, const Caller& caller)
    : filter_(filter), caller_uid_(caller.uid) {
  for (const auto& user : filter.users)
    if (all_digits(user) && user.size() <= 10) uids_.push_back(static_cast<std::uint32_t>(std::stoull(user)));
  for (const auto& list : filter.nodes)
    if (auto names = expand_hostlist(list)) nodes_.insert(names->begin(), names->end());
  for (const auto& ref : filter.jobs)
    if (ref.task == kNoTask) plain_ids_.insert(ref.job);
  for (auto state : filter.states) states_ |= 1u << static_cast<unsigned>(state);
}

bool Selector::matches(const Job& job) const {
  if (!filter_.jobs.empty() && !plain_ids_.contains(job.id) &&
      !(job.array_id && plain_ids_.contains(job.array_id))) {
    bool named = std::any_of(filter_.jobs.begin(), filter_.jobs.end(), [&](const wire::JobRef& ref) {
      if (ref.task == kNoTask || ref.job != job.array_id) return false;
      return job.array ? job.array->waiting.contains(ref.task) : job.array_task == ref.task;
    });
    if (!named) return false;
  }
  if (states_ && !(states_ & 1u << static_cast<unsigned>(job.state))) return false;
  const JobSpec& spec = *job.spec;
  if (filter_.mine && spec.uid != caller_uid_) return false;
  if (!filter_.users.empty() && !among(filter_.users, spec.user.view()) &&
      std::find(uids_.begin(), uids_.end(), spec.uid) == uids_.end())
    return false;
  if (!among(filter_.names, spec.name.view()) || !among(filter_.accounts, spec.account.view())) return false;
  if (!filter_.partitions.empty()) {
    auto wanted = job.allocation ? job.allocation->partition.view() : spec.partition.view();
    auto parts = split_list(wanted);
    if (std::none_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return among(filter_.partitions, part); }))
      return false;
  }
  if (!filter_.nodes.empty()) {
    if (!job.allocation) return false;
    const auto& shares = job.allocation->nodes;
    if (std::none_of(shares.begin(), shares.end(),
                     [&](const NodeShare& share) { return nodes_.contains(share.node.str()); }))
      return false;
  }
  return true;
}

}  // namespace bai::controller
