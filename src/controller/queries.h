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
// The batch host, for rows.
std::string_view batch_host(const Job& job);

}  // namespace bai::controller
