// Job scripts: where they come from, what a script must look like, and the #BAI and #SBATCH lines in it. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/options.h"
#include "base/result.h"
#include "cli/dialect.h"

namespace bai::cli {

struct Script {
  std::string text;
  std::string path;   // absolute, as shown with the job; empty for stdin and --wrap
  std::string name;   // the job's name unless it was given one
  std::string place;  // for errors: the path as typed, "(stdin)"
};

// A file, searched in `cwd` and then along `search_path` (PATH) when its name has no slash, as sbatch does.
// Errors: no_script, script_too_large.
Result<Script> read_script_file(const std::string& path, const std::string& cwd, const char* search_path,
                                std::uint64_t max_bytes);
Result<Script> read_script_stdin(const Dialect& dialect, std::uint64_t max_bytes);
Script wrap_script(const Dialect& dialect, std::string_view command);

// Not empty, begins with #!, no NUL byte, no DOS line ends. Errors: bad_script, with sbatch's sentences.
Status check_script(const Script& script, std::uint64_t max_bytes);

// The options of the directives, up to the first line that is neither blank nor a comment; those of #BAI after (and so
// stronger than) those of #SBATCH. Errors: bad_option, bad_quoting with FILE:LINE.
Result<std::vector<Given>> read_directives(const Script& script, const OptionParser& parser);

}  // namespace bai::cli
