#include "cli/script.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

namespace bai::cli {
namespace {

Error too_large(const std::string& place, std::uint64_t max_bytes) {
  return Error{"script_too_large", "the script is larger than " + std::to_string(max_bytes) + " bytes", place,
               "shorten it, or have the administrator raise MaxScriptSize"};
}

std::string base_name(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string under(const std::string& dir, const std::string& name) {
  return dir == "/" ? dir + name : dir + "/" + name;
}

std::string search(const std::string& path, const std::string& cwd, const char* search_path) {
  if (path.starts_with('/') || path.starts_with('.')) return path;
  std::string here = under(cwd, path);
  if (path.find('/') != std::string::npos || access(here.c_str(), R_OK) == 0 || !search_path) return here;
  for (auto dir : split(search_path, ':')) {
    std::string candidate = under(dir.empty() ? cwd : std::string(dir), path);
    if (candidate.starts_with('/') && access(candidate.c_str(), R_OK) == 0) return candidate;
  }
  return here;
}

}  // namespace

Result<Script> read_script_file(const std::string& path, const std::string& cwd, const char* search_path,
                                std::uint64_t max_bytes) {
  Script out;
  out.place = path;
  out.path = search(path, cwd, search_path);
  out.name = base_name(out.path);
  auto text = read_all(out.path, max_bytes);
  if (!text.ok()) {
    if (text.error().code == "too_large") return too_large(path, max_bytes);
    const std::string& found = access(out.path.c_str(), F_OK) == 0 ? out.path : path;
    return Error{"no_script", "Unable to open file " + found, "", text.error().message};
  }
  out.text = std::move(*text);
  return out;
}

Result<Script> read_script_stdin(const Dialect& dialect, std::uint64_t max_bytes) {
  Script out;
  out.place = "(stdin)";
  out.name = dialect.slurm ? "sbatch" : "stdin";
  auto text = read_all(0, max_bytes);
  if (!text.ok()) {
    if (text.error().code == "too_large") return too_large(out.place, max_bytes);
    return Error{"no_script", "cannot read the script from standard input", "", text.error().message};
  }
  out.text = std::move(*text);
  return out;
}

Script wrap_script(const Dialect& dialect, std::string_view command) {
  Script out;
  out.place = "--wrap";
  out.name = "wrap";
  out.text = "#!/bin/sh\n# This script was created by " + dialect.program + " --wrap.\n\n" +
             std::string(command) + "\n";
  return out;
}

Status check_script(const Script& script, std::uint64_t max_bytes) {
  const std::string& text = script.text;
  auto bad = [&](std::string message, std::string remedy) {
    return Error{"bad_script", std::move(message), "", std::move(remedy)};
  };
  if (text.size() > max_bytes) return too_large(script.place, max_bytes);
  if (text.empty()) return bad("Batch script is empty!", "");
  if (!text.starts_with("#!"))
    return bad(
        "This does not look like a batch script.  The first\nline must start with #! followed by the path to "
        "an interpreter.\n"
        "For instance: #!/bin/sh",
        "");
  if (text.find('\0') != std::string::npos)
    return bad("The batch script contains a NULL character '\\0'", "submit a text file");
  if (text.find("\r\n") != std::string::npos)
    return bad("Batch script contains DOS line breaks (\\r\\n)\ninstead of expected UNIX line breaks (\\n).",
               "");
  return {};
}

Result<std::vector<Given>> read_directives(const Script& script, const OptionParser& parser) {
  std::vector<Given> ours, theirs;
  std::string_view text = script.text;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    std::vector<Given>* into = nullptr;
    for (auto [word, list] :
         {std::pair<std::string_view, std::vector<Given>*>{"#BAI", &ours}, {"#SBATCH", &theirs}}) {
      if (!line.starts_with(word)) continue;
      const std::string_view rest = line.substr(word.size());
      if (!rest.empty() && !is_blank(rest[0]) && rest[0] != '-') continue;
      into = list;
      line = rest;
    }
    if (!into) {
      const auto word = trim(line);
      if (!word.empty() && word[0] != '#') break;
      continue;
    }
    const std::string place = script.place + ":" + std::to_string(line_number);
    auto words = split_shell_words(line);
    if (!words.ok()) {
      Error error = words.error();
      error.place = place;
      return error;
    }
    if (words->empty()) continue;
    auto given = parser.parse_directive_words(*words, place);
    if (!given.ok()) return given.error();
    for (auto& one : *given) into->push_back(std::move(one));
  }
  for (auto& one : ours) theirs.push_back(std::move(one));
  return theirs;
}

}  // namespace bai::cli
