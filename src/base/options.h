// One table per command that makes its parser, its #SBATCH/#BAI directive reader, its variables, its --help and its
// completion. Boost.Program_options parses, in getopt_long's manner: -hn 4, -hn4, --name=V, --name V, unique prefixes;
// parsing ends at the first word that is no option; optional values need `=` (or stand against their letter: -e5).
// Plain values and const functions; any thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai {

enum class ArgKind { none, required, optional };

// One option. Text is literals, which outlive everything.
struct Option {
  const char* name = "";  // long name without dashes; every option has one
  char letter = 0;
  ArgKind arg = ArgKind::none;
  const char* value_name = "";  // "N", "[user|mcs]"; for help
  const char* help = "";        // one sentence, no full stop
  bool directive = false;       // may stand in #BAI and #SBATCH lines
  const char* env = "";         // suffix: "PARTITION" is read as BAI_SUBMIT_PARTITION, SBATCH_PARTITION
  bool repeatable = false;      // all of them count; otherwise the last one does
  bool hidden = false;          // not in help and completion
  std::vector<const char*> aliases = {};  // other long names
};

struct OptionTable {
  std::string program;      // "bai-submit"
  std::string synopsis;     // "[OPTION...] [SCRIPT [ARGUMENT...]]"
  std::string description;  // a sentence or two
  std::vector<Option> options;
  bool permute =
      false;  // options may follow other words, as in `scancel 7 -u ada`; not where words are a script's
  std::string epilog = {};  // after the options in --help

  // By exact name or alias; nullptr if there is none.
  const Option* find(std::string_view name) const;
  // A name or letter that is there twice, which must not be; empty if there is none.
  std::string repeated() const;
};

// From weakest to strongest.
enum class Source { directive, environment, command_line };

// One option as it was given. `option` points into the OptionTable, which must outlive it.
struct Given {
  const Option* option = nullptr;
  std::string value;  // empty for ArgKind::none
  bool has_value = false;
  Source source = Source::command_line;
  std::string place;  // for errors: "--time", "-t", "BAI_SUBMIT_TIMELIMIT", "job.sh:3"
};

// All that was given, from all sources, in the order in which it was added.
struct Parsed {
  std::vector<Given> given;
  std::vector<std::string> rest;  // words that are no options

  void add(std::vector<Given> more);
  // What counts for this option: of the strongest source the last one; nullptr if it was not given.
  const Given* find(std::string_view name) const;
  // The same over several that exclude each other, such as requeue and no-requeue.
  const Given* find_last(std::initializer_list<std::string_view> names) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // The value that counts, or `otherwise`.
  std::string value_or(std::string_view name, std::string_view otherwise) const;
  // For repeatable options: all of the strongest source that gave any.
  std::vector<const Given*> all(std::string_view name) const;
};

// Errors have the code bad_option (exit status 2), the option as typed as place, and a suggestion where one is near.
class OptionParser {
 public:
  // `table` must outlive the parser.
  explicit OptionParser(const OptionTable& table) : table_(table) {}

  // A command line; argv[0] is skipped.
  Result<Parsed> parse(int argc, const char* const* argv) const;
  Result<Parsed> parse(const std::vector<std::string>& words) const;

  // The words of one directive line, already split and unquoted. `place` is "job.sh:3". An option that may not stand
  // in a directive and a word that is no option are errors.
  Result<std::vector<Given>> parse_directive_words(const std::vector<std::string>& words,
                                                   const std::string& place) const;

  // Variables PREFIX + Option::env; of several prefixes the first that is set wins. A variable for an option without a
  // value counts when it is set; an empty one for an option that needs a value does not.
  // `environment` is environ(7)'s list.
  Result<std::vector<Given>> from_environment(const std::vector<std::string>& prefixes,
                                              const char* const* environment) const;

 private:
  const OptionTable& table_;
};

// For a command with nothing but a command line.
Result<Parsed> parse_options(const OptionTable& table, int argc, const char* const* argv);

// --help, at most 80 columns wide, ending with a newline.
std::string render_help(const OptionTable& table);

// The words that bash completion offers ("--name", "--name=" where a value is needed, "-x"), sorted.
std::vector<std::string> completion_words(const OptionTable& table);

}  // namespace bai
