// TaskProlog and TaskEpilog: programs of the site's, or of a step's user, that run as the user around each task. What a prolog prints changes the
// task's environment (slurm.conf(5), srun(1) --task-prolog).
// In the task's process between fork and exec (single-threaded), but for apply_prolog(), which is pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bai::step {

constexpr size_t kMaxPrologOutput = 1u << 20;  // bytes of it that count

// The lines `export NAME=VALUE` and `unset NAME` are done to `env` ("K=V" entries); returns the text of its `print TEXT` lines. Others mean
// nothing. The mark by which the step's processes are found cannot be changed.
std::string apply_prolog(std::string_view output, std::vector<std::string>* env);

// Runs the programs one after the other, and does to `env` what each says. What they print for the task goes to standard output. Returns 0, or the exit status of the first that failed (128 + a signal's number; 127: it could not be run), which ends it.
int run_task_prologs(const std::vector<std::string>& programs, std::vector<std::string>* env);

// Runs the programs one after the other, whatever each ends with.
void run_task_epilogs(const std::vector<std::string>& programs, const std::vector<std::string>& env);

}  // namespace bai::step
