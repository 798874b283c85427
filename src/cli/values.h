// Values of options that several commands read: dependencies, signals, mail events, jobs' names. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/dependency_text.h"
#include "model/job.h"
#include "wire/messages.h"

namespace bai::cli {

// "[B:]SIGNAL[@SECONDS]". Errors: bad_signal.
Result<WarningSignal> parse_warning_signal(std::string_view text);
// "BEGIN,END" as MailEvent bits; NONE is 0. Errors: bad_mail_type.
Result<std::uint16_t> parse_mail_events(std::string_view text);
std::string format_mail_events(std::uint16_t events);
// "USR1", "SIGUSR1", "10". Errors: bad_signal.
Result<std::uint16_t> parse_signal(std::string_view text);
// "USR1" for 10; the number where it has no name.
std::string signal_name(std::uint16_t number);

// Whether a step may stand behind a job: "7.0", "7_3.batch".
enum class StepRefs : bool { kRefused, kAllowed };
// "7", "7_3", "7_[1-9:2,12]", several with commas: for bai-cancel, bai-queue -j, bai-control. A plain number of an array
// means all of it. Errors: bad_job_id.
Result<std::vector<wire::JobRef>> parse_job_refs(std::string_view text, StepRefs steps = StepRefs::kRefused);

// Comma-separated job states, names or letters. Errors: bad_state, with what was perhaps meant.
Result<std::vector<JobState>> parse_job_states(std::string_view text);

}  // namespace bai::cli
