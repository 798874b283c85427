#include "controller/select.h"

#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "base/units.h"

namespace bai::controller {
namespace {

// Names that the host lists of one filter may expand to, all together; lists beyond that find nothing.
constexpr std::size_t kMaxNodes = 4 * kMaxHosts;

}  // namespace

Selector::Selector(const wire::JobFilter& filter, const Caller& caller)
    : users_(set_of(filter.users)),
      names_(set_of(filter.names)),
      accounts_(set_of(filter.accounts)),
      partitions_(set_of(filter.partitions)),
      caller_uid_(caller.uid),
      any_job_(filter.jobs.empty()),
      any_node_(filter.nodes.empty()),
      mine_(filter.mine) {
  for (const auto& user : filter.users)
    if (auto uid = parse_int(user, 0, 0xffffffff); uid && all_digits(user))
      uids_.insert(static_cast<std::uint32_t>(*uid));
  std::size_t room = kMaxNodes;
  for (const auto& list : filter.nodes) {
    auto names = expand_hostlist(list, std::min(room, kMaxHosts));
    if (!names) continue;
    room -= names->size();
    nodes_.insert(names->begin(), names->end());
  }
  for (const auto& ref : filter.jobs) {
    if (ref.task == kNoTask)
      plain_ids_.insert(ref.job);
    else
      tasks_[ref.job].push_back(ref.task);
  }
  for (auto& [id, tasks] : tasks_) std::sort(tasks.begin(), tasks.end());
  for (auto state : filter.states) states_ |= 1u << static_cast<unsigned>(state);
}

bool Selector::is_named(const Job& job) const {
  if (any_job_ || plain_ids_.contains(job.id)) return true;
  if (job.array_id == 0) return false;
  if (plain_ids_.contains(job.array_id)) return true;
  const auto found = tasks_.find(job.array_id);
  if (found == tasks_.end()) return false;
  const auto& tasks = found->second;
  if (!job.array) return std::binary_search(tasks.begin(), tasks.end(), job.array_task);
  return std::any_of(tasks.begin(), tasks.end(),
                     [&](auto task) { return job.array->waiting.contains(task); });
}

bool Selector::matches(const Job& job) const {
  if (!is_named(job)) return false;
  if (states_ && !(states_ & 1u << static_cast<unsigned>(job.state))) return false;
  const JobSpec& spec = *job.spec;
  if (mine_ && spec.uid != caller_uid_) return false;
  if (!among(users_, spec.user.view()) && !uids_.contains(spec.uid)) return false;
  if (!among(names_, spec.name.view()) || !among(accounts_, spec.account.view())) return false;
  if (!partitions_.empty()) {
    auto wanted = job.allocation ? job.allocation->partition.view() : spec.partition.view();
    auto parts = split_list(wanted);
    if (std::none_of(parts.begin(), parts.end(), [&](auto part) { return partitions_.contains(part); }))
      return false;
  }
  if (!any_node_) {
    if (!job.allocation) return false;
    const auto& shares = job.allocation->nodes;
    if (std::none_of(shares.begin(), shares.end(),
                     [&](const NodeShare& share) { return nodes_.contains(share.node.view()); }))
      return false;
  }
  return true;
}

}  // namespace bai::controller
