// Reads, answered from a view on whatever thread asks. Pure, save that answers are handed on one frame at a time.
#pragma once

#include <functional>

#include "controller/view.h"
#include "wire/messages.h"

namespace bai::controller {

using SendReply = std::function<bool(wire::ReplyBody)>;  // false: the caller is gone

inline constexpr std::size_t kRowsPerFrame = 8192;

void answer_queue(const View& view, const Caller& caller, const wire::QueueRequest& request, Time now,
                  std::vector<std::string> unknown_users, const SendReply& send);
wire::ClusterReply answer_cluster(const View& view, Time now);
wire::ConfigReply answer_config(const View& view, Time now);
// What a view can say of WhyRequest; the scheduler explains `job`, unless that is 0.
struct WhyAnswer {
  wire::WhyReply reply;
  JobId job = 0;
};
Result<WhyAnswer> begin_why(const View& view, wire::JobRef ref, Time now);
// And of DrainPlanRequest; the scheduler tells the delays.
struct DrainPlanAnswer {
  wire::DrainPlanReply reply;
  std::vector<Istr> nodes;
};
Result<DrainPlanAnswer> begin_drain_plan(const View& view, const wire::DrainPlanRequest& request, Time now);
// The batch host, for rows.
std::string_view batch_host(const Job& job);

}  // namespace bai::controller
