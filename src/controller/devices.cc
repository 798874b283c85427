// What agents say of their nodes' devices: one that is not healthy drains alone, and the jobs that have it are told.
#include <algorithm>

#include "base/log.h"
#include "controller/machine.h"

namespace bai::controller {
namespace {

std::string device_name(const Istr& kind, std::uint32_t index, const Istr& node) {
  return kind.str() + " " + std::to_string(index) + " of " + node.str();
}

bool has_device(const Job& job, const Istr& node, const Istr& kind, std::uint32_t index) {
  if (!job.allocation) return false;
  for (const auto& share : job.allocation->nodes)
    if (share.node == node)
      for (const auto& device : share.devices)
        if (device.kind == kind && device.index == index) return true;
  return false;
}

}  // namespace

bool Machine::devices_reported(NodeEntry& entry, const DeviceReport& report) {
  auto& n = *entry.node;
  if (n.devices == report) return false;
  std::vector<std::string> was, is;
  const auto before = with_findings(n.declared.devices, n.devices, &was);
  n.devices = report;
  // A node that the configuration does not name has what was found.
  if (!entry.configured && !report.devices.empty()) n.declared.devices = groups_of(report);
  const auto after = with_findings(n.declared.devices, n.devices, &is);
  const auto matches = match_devices(n.declared.devices, n.devices);
  was.resize(is.size());
  for (std::size_t i = 0; i < is.size(); ++i) {
    if (was[i] == is[i]) continue;
    const auto& match = matches[i];
    const Istr& kind = n.declared.devices[match.group].kind;
    if (is[i].empty())
      log::info("a device can be given to jobs again",
                {{"node", n.name.view()}, {"device", kind.view()}, {"index", match.index}});
    else
      log::warning(
          "a device is not given to jobs",
          {{"node", n.name.view()}, {"device", kind.view()}, {"index", match.index}, {"why", is[i]}});
    device_changed(entry, kind, match.index, is[i]);
  }
  return before != after;
}

// Jobs are told, and go on unless the site says otherwise: whether a job can bear it, it knows itself. Told once, by what it was told last: a controller that
// starts anew hears of it again.
void Machine::device_changed(NodeEntry& entry, const Istr& kind, std::uint32_t index,
                             const std::string& why) {
  using Site = UnhealthyDeviceJobs;
  const std::string device = device_name(kind, index, entry.node->name);
  const std::string ill = device + " is not healthy: ";
  const std::vector<JobId> here(entry.jobs.begin(), entry.jobs.end());
  for (const JobId id : here) {
    const JobPtr job = find(id);
    if (!job || !is_active(job->state) || !has_device(*job, entry.node->name, kind, index)) continue;
    const bool knew = job->detail.view().starts_with(ill);
    Job copy = *job;
    if (why.empty()) {
      if (!knew) continue;
      copy.detail = Istr();
      event(*job, copy, device + " is healthy again", 0);
      put_job(std::move(copy));
      continue;
    }
    const std::string said = ill + why;
    if (job->detail == said) continue;
    if (!(job->detail == kPrologRuns)) copy.detail = said;  // which must outlive this controller
    event(*job, copy, said, 0);
    const bool ending =
        copy.state == JobState::kCompleting || copy.cancel_requested || copy.requeue_requested;
    const Site site = config_->unhealthy_device_jobs;
    const bool requeue = site == Site::kRequeue && may_requeue(copy);
    if (knew || ending || (site != Site::kCancel && !requeue)) {
      put_job(std::move(copy));
      continue;
    }
    copy.ended_by_uid = 0;
    (requeue ? copy.requeue_requested : copy.cancel_requested) = true;
    move(std::move(copy), JobState::kCompleting, (requeue ? "requeued: " : "cancelled: ") + said, 0);
    terminate(find(id), false, wire::AttemptEnd::kCancelled);
  }
}

}  // namespace bai::controller
