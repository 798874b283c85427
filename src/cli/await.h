// Waiting for a reply on a session that several requests share, while signals may come. One thread.
#pragma once

#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "cli/session.h"

namespace bai::cli {

// Blocks SIGINT, SIGTERM, SIGHUP and SIGQUIT in this thread; readable when one came.
Fd interruptions();

// The next reply to this request; an ErrorBody is an Error. Nothing when `until` came first, or a signal did (`interrupted`). Replies to
// other requests are dropped. Errors: a refusal, "lost".
Result<std::optional<wire::ReplyBody>> await_reply(Session& session, const RequestId& id, int signals,
                                                   std::optional<wire::Client::Clock::time_point> until,
                                                   bool& interrupted);

}  // namespace bai::cli
