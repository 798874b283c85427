// Dependencies as people write them. A pure function; any thread.
#pragma once

#include <string_view>

#include "base/result.h"
#include "model/job.h"

namespace bai {

// "afterok:7:8_3,singleton" (all) or "afterok:7?afterany:8" (any); after:ID+MINUTES. Errors: bad_dependency.
Result<Dependencies> parse_dependencies(std::string_view text);

}  // namespace bai
