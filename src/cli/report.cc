#include "cli/report.h"

#include "base/fd.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/slurm_words.h"

namespace bai::cli {
namespace {

void write_stderr(const std::string& text) { (void)write_all(2, text); }

}  // namespace

std::string error_json(const Error& error) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("error").begin_object();
  json.field("code", error.code).field("message", error.message);
  if (!error.place.empty()) json.field("place", error.place);
  json.field("remedy", error.remedy).end_object().end_object();
  return out + "\n";
}

void Reporter::print(const Error& error, std::string_view what) const {
  if (json_) return write_stderr(error_json(error));
  std::string text;
  if (dialect_.slurm) {
    // Remedies are ours; Slurm's words stand alone.
    if (const auto getopt = slurm_getopt_text(dialect_.program, error)) return write_stderr(*getopt);
    const std::string sentence = what.empty() ? Error{error.code, error.message, error.place, ""}.text()
                                              : std::string(what) + ": " + slurm_message(error);
    for (auto line : split(sentence, '\n')) {
      // slurm_perror() and the reader of times name no program.
      const bool bare = line.empty() || what.starts_with("slurm") || what == "allocation failure" ||
                        line.starts_with("Invalid time specification (pos=");
      text += (bare                          ? ""
               : line.starts_with("fatal: ") ? dialect_.program + ": "
                                             : dialect_.program + ": error: ") +
              std::string(line) + "\n";
    }
  } else {
    text = dialect_.program + ": " + error.text() + "\n";
  }
  write_stderr(text);
}

int Reporter::mistyped(const Error& error) const {
  print(error, {});
  return error.code == "bad_option" || error.code == "bad_value" ? dialect_.option_status
                                                                 : dialect_.usage_status;
}

int Reporter::refused(const Error& error, std::string_view what) const {
  print(error, what);
  return kRefused;
}

void Reporter::note(std::string_view text) const {
  if (!quiet_) write_stderr(dialect_.program + ": " + std::string(text) + "\n");
}

void Reporter::error_line(std::string_view text) const {
  write_stderr(dialect_.program + (dialect_.slurm ? ": error: " : ": ") + std::string(text) + "\n");
}

int Reporter::said(std::string_view text) const {
  write_stderr(std::string(text) + "\n");
  return dialect_.usage_status;
}

bool handle_common(const OptionTable& table, const Parsed& parsed, Reporter& reporter, int& status) {
  reporter.set_json(parsed.has("json"));
  status = 0;
  std::string text;
  if (parsed.has("help"))
    text = render_help(table);
  else if (parsed.has("usage"))
    text = "Usage: " + table.program + " " + table.synopsis + "\n";
  else if (parsed.has("version"))
    text = reporter.dialect().slurm
               ? std::string(reporter.dialect().version) + "\n"
               : reporter.dialect().program + " " + std::string(reporter.dialect().version) + "\n";
  else
    return false;
  if (!write_all(1, text).ok()) status = kRefused;
  return true;
}

void add_common_options(OptionTable& table, char help_letter, char version_letter, bool json) {
  table.options.push_back({.name = "conf",
                           .arg = ArgKind::required,
                           .value_name = "FILE",
                           .help = "Read this configuration instead of bai.conf"});
  if (json) table.options.push_back({.name = "json", .help = "Print JSON, errors too"});
  table.options.push_back({.name = "help", .letter = help_letter, .help = "Show this help"});
  table.options.push_back({.name = "version", .letter = version_letter, .help = "Show the version"});
}

}  // namespace bai::cli
