// The command bai-sim: options, and what its parts share. One thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/paths.h"
#include "cli/output.h"
#include "cli/report.h"
#include "sim/figures.h"
#include "sim/site.h"

namespace bai::sim {

// The whole command; its exit status.
int run_sim(int argc, const char* const* argv);
OptionTable sim_table();

// What was typed.
struct Call {
  using Clock = std::chrono::steady_clock;

  const Parsed& parsed;
  const cli::Reporter& reporter;
  std::vector<std::string> words;  // after the command
  Clock::time_point begun = Clock::now();

  bool strict() const { return parsed.has("strict"); }
  const std::string* value(std::string_view option) const;  // null: not given
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun).count(); }
  // Says what is wrong, and returns the exit status: 2 for what was typed wrong, else 1.
  int refuse(const Error& error) const;
  int mistyped(std::string message, std::string remedy) const;
  void tell(const Broken& broken) const;  // on standard error
};

// The commands.
int run(const Call& call);
int compare(const Call& call);
int fill(const Call& call);
int replay(const Call& call);

// Where plugins are: as typed, or else `dirs`.
std::string plugin_dirs(const Call& call, std::string_view dirs = kPluginDir);
Result<Rules> chosen_rules(const Call& call);
Result<Site> site_of_table(const Call& call, const std::string& path, const Rules& rules);  // openb's nodes
void put_json(cli::JsonWriter& json, const std::vector<Figure>& figures);  // as members of an object
int finish(cli::Output& out);                                              // writes what is left

}  // namespace bai::sim
