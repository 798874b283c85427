// How commands say that something went wrong: one sentence, or one JSON object, on standard error; and the exit status.
// One thread.
#pragma once

#include <string>
#include <string_view>

#include "base/options.h"
#include "base/result.h"
#include "cli/dialect.h"

namespace bai::cli {

inline constexpr int kRefused = 1;  // the cluster said no, or could not be asked

class Reporter {
 public:
  explicit Reporter(const Dialect& dialect) : dialect_(dialect) {}
  void set_json(bool json) { json_ = json; }
  void set_quiet(bool quiet) { quiet_ = quiet; }
  bool json() const { return json_; }
  const Dialect& dialect() const { return dialect_; }

  // Both print and return the exit status.
  int mistyped(const Error& error) const;
  int refused(const Error& error) const { return refused(error, {}); }
  // Slurm's form is "sbatch: error: WHAT: MESSAGE"; `what` is "Batch job submission failed" and is printed only there.
  int refused(const Error& error, std::string_view what) const;
  // "PROGRAM: TEXT", unless --quiet.
  void note(std::string_view text) const;
  // "PROGRAM: error: TEXT" of Slurm's, "PROGRAM: TEXT" of ours, whatever --quiet says.
  void error_line(std::string_view text) const;
  // The text as it is, for the lines of Slurm's that name no program. Returns the status of what was typed wrong.
  int said(std::string_view text) const;

 private:
  void print(const Error& error, std::string_view what) const;
  const Dialect& dialect_;
  bool json_ = false;
  bool quiet_ = false;
};

// {"error":{...}} and a newline.
std::string error_json(const Error& error);

// Options that every command has: --help, --version, --conf, --json. True when the command is done (`status` is its
// exit status): help or version was asked for.
bool handle_common(const OptionTable& table, const Parsed& parsed, Reporter& reporter, int& status);
// Those options, to be appended to a table. `help_letter` and `version_letter` may be 0 where a command needs them.
void add_common_options(OptionTable& table, char help_letter, char version_letter, bool json = true);

}  // namespace bai::cli
