// bai-why: why a job waits, and what would let it start sooner.
#pragma once

#include <string>

#include "cli/dialect.h"
#include "cli/report.h"
#include "wire/messages.h"

namespace bai::cli {

OptionTable why_table(const Dialect& dialect);
int run_why(const Dialect& dialect, int argc, const char* const* argv);

// The answer as a person reads it, at most a screen; pure.
std::string why_text(const wire::WhyReply& reply);
std::string why_json(const wire::WhyReply& reply);

}  // namespace bai::cli
