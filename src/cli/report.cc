#include "cli/report.h"

#include "base/fd.h"
#include "base/text.h"
#include "cli/output.h"

namespace bai::cli {
namespace {

void write_stderr(const std::string& text) { (void)write_all(2, text); }

struct Phrase {
  std::string_view code;
  std::string_view slurm;
};
// slurm_errno.c of 22.05, for the refusals that both know.
constexpr Phrase kPhrases[] = {
    {"bad_partition", "Invalid partition name specified"},
    {"no_default_partition", "No partition specified or system default partition"},
    {"partition_refuses", "Required partition not available (inactive or drain)"},
    {"no_such_partition", "Invalid partition name specified"},
    {"bad_node", "Invalid node name specified"},
    {"no_such_node", "Invalid node name specified"},
    {"no_such_job", "Invalid job id specified"},
    {"bad_license", "Invalid license specification"},
    {"not_permitted", "Access/permission denied"},
    {"queue_full", "Slurm temporarily unable to accept job, sleeping and retrying"},
    {"not_requeueable", "Requested operation is presently disabled"},
    {"bad_deadline", "Invalid time specified"},
    {"unknown_partition", "Invalid partition name specified"},
    {"unknown_job", "Invalid job id specified"},
    {"unknown_node", "Invalid node name specified"},
    {"unknown_user", "Invalid user id"},
    {"unknown_account", "Invalid account or account/partition combination specified"},
    {"unknown_qos", "Invalid qos specification"},
    {"unknown_feature", "Invalid feature specification"},
    {"bad_constraint", "Invalid feature specification"},
    {"unknown_license", "Invalid license specification"},
    {"bad_dependency", "Job dependency problem"},
    {"circular_dependency", "Circular job dependency"},
    {"bad_array", "Invalid job array specification"},
    {"array_too_large", "Invalid job array specification"},
    {"too_many_jobs", "Slurm temporarily unable to accept job, sleeping and retrying"},
    {"script_too_large", "Pathname of a file, directory or other parameter too long"},
    {"too_many_nodes", "Node count specification invalid"},
    {"not_enough_nodes", "Node count specification invalid"},
    {"not_satisfiable", "Requested node configuration is not available"},
    {"node_config", "Requested node configuration is not available"},
    {"time_limit", "Requested time limit is invalid (missing or exceeds some limit)"},
    {"partition_down", "Required partition not available (inactive or drain)"},
    {"begin_time", "Invalid time specified"},
    {"permission_denied", "Access/permission denied"},
    {"not_allowed", "Access/permission denied"},
    {"already_finished", "Job/step already completing or completed"},
    {"finished", "Job/step already completing or completed"},
    {"not_pending", "Job is no longer pending execution"},
    {"not_running", "Job/step not running"},
    {"unreachable", "Unable to contact slurm controller (connect failure)"},
    {"outcome_unknown", "Socket timed out on send/recv operation"},
};

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

std::string slurm_message(const Error& error) {
  for (const auto& phrase : kPhrases)
    if (error.code == phrase.code) return std::string(phrase.slurm);
  return error.text();
}

void Reporter::print(const Error& error, std::string_view what) const {
  if (json_) return write_stderr(error_json(error));
  std::string text;
  if (dialect_.slurm) {
    // Remedies are ours; Slurm's words stand alone. getopt's own sentence for an option that it does not know.
    const bool unknown = error.code == "bad_option" && error.message == "unknown option";
    if (unknown)
      return write_stderr(dialect_.program + ": unrecognized option '" + error.place + "'\nTry \"" +
                          dialect_.program + " --help\" for more information\n");
    const std::string sentence = what.empty() ? Error{error.code, error.message, error.place, ""}.text()
                                              : std::string(what) + ": " + slurm_message(error);
    // slurm_perror() names no program.
    const std::string before = what.starts_with("slurm") ? "" : dialect_.program + ": error: ";
    for (auto line : split(sentence, '\n')) text += before + std::string(line) + "\n";
  } else {
    text = dialect_.program + ": " + error.text() + "\n";
  }
  write_stderr(text);
}

int Reporter::mistyped(const Error& error) const {
  print(error, {});
  return dialect_.usage_status;
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

bool handle_common(const OptionTable& table, const Parsed& parsed, Reporter& reporter, int& status) {
  reporter.set_json(parsed.has("json"));
  status = 0;
  std::string text;
  if (parsed.has("help"))
    text = render_help(table);
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
