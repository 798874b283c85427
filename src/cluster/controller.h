// What bai-cluster asks of the controller. Blocking calls; one thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/layout.h"
#include "model/node.h"
#include "wire/messages.h"

namespace bai::cluster {

// Errors: wire::Client's, and the controller's refusals.
Result<wire::PongReply> ping(const Settings& settings, std::chrono::milliseconds limit);
// The nodes as the controller knows them.
Result<std::vector<Node>> nodes(const Settings& settings, std::chrono::milliseconds limit);
// Cancels every job of everybody.
Status cancel_all(const Settings& settings, std::chrono::milliseconds limit);
// Jobs that have not ended.
Result<std::size_t> unfinished_jobs(const Settings& settings, std::chrono::milliseconds limit);

}  // namespace bai::cluster
