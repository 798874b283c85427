// bai-run's options: those of the job that it makes when it runs outside of one, and those of its step (srun(1)). Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "cli/dialect.h"
#include "model/step.h"

namespace bai::cli {

OptionTable run_table(const Dialect& dialect);
// bai-alloc's: the job's options that make sense without a script.
std::vector<Option> allocation_options();

// A step as it was asked for; what only the client itself needs stands beside it.
struct WantedStep {
  std::optional<JobId> job;  // --jobid, or the job that the command runs in
  StepSpec spec;
  StepRun run;
  std::string input, output, error;  // -i, -o, -e, in srun's words
  bool label = false, unbuffered = false, append = false;
  bool immediate = false;
  bool quit_on_interrupt = false;
  std::optional<std::string> prolog, epilog;  // beside the command; not said: the configuration's
  std::string multi_prog;                     // the file's name; empty: words are the program
};

// `cwd`: the current directory. Errors: bad_option and the value parsers' codes, with the place where it was given.
Result<WantedStep> make_step(const Parsed& parsed, const Dialect& dialect, const std::string& cwd);

}  // namespace bai::cli
