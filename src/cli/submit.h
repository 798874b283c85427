// bai-submit, and what its one-job and --bulk forms share. One thread.
#pragma once

#include <map>
#include <string>

#include "base/options.h"
#include "base/result.h"
#include "cli/dialect.h"
#include "cli/report.h"
#include "cli/script.h"
#include "cli/session.h"
#include "cli/signature.h"
#include "cli/submit_options.h"

namespace bai::cli {

// The whole command; its exit status.
int run_submit(const Dialect& dialect, int argc, const char* const* argv);

// Who submits from where, found once.
struct Submitter {
  SubmitContext context;
  const char* search_path = nullptr;
  const char* const* environment = nullptr;

  static Result<Submitter> here(const Dialect& dialect);
};

// Makes a job of a checked script and the options given for it (directives included), and adds it to the batch. Warnings go to
// the reporter.
Status add_job(const Submitter& submitter, const Parsed& parsed, const Script& script,
               std::vector<std::string> args, SubmitBatch& batch, const Reporter& reporter);

// --bulk: reads `path` (or standard input for "-") and prints a line for each. `given` are the command's other options,
// `from_environment` the variables'. The exit status.
int run_bulk(const std::string& path, const Parsed& given, std::vector<Given> from_environment,
             const OptionTable& table, const OptionParser& parser, const Submitter& submitter,
             Session& session, const Reporter& reporter);

// The sentence for outcome_unknown and other refusals goes to the caller; these are the prefixes of variables, strongest first.
std::vector<std::string> submit_env_prefixes();

}  // namespace bai::cli
