// Changing jobs: what bai-cancel and bai-control share. One thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/options.h"
#include "cli/report.h"
#include "cli/session.h"

namespace bai::cli {

// "7" or "7_3".
std::string ref_text(const wire::JobRef& ref);

// --request-id, where it was given. Error: bad_id.
Result<std::optional<RequestId>> request_id(const Parsed& parsed);
Option request_id_option();

// Prints what became of each job: nothing, or an error line made by `sentence` (of a job and what was wrong), or JSON.
// 0 when all went well.
int show_results(const wire::ActionReply& reply, const Reporter& reporter,
                 const std::function<std::string(const std::string& job, const Error& why)>& sentence);

}  // namespace bai::cli
