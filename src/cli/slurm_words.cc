#include "cli/slurm_words.h"

#include "base/text.h"

namespace bai::cli {
namespace {

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
    {"no_such_step", "Invalid job id specified"},
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
    {"unknown_reservation", "Requested reservation is invalid"},
    {"partition_busy", "Partition is in use"},
    {"configured", "Partition is in use"},
    {"partition_exists", "Invalid partition name specified"},
    {"no_script", "Job has no batch script"},
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
    {"node_cpus", "Requested node configuration is not available"},
    {"node_memory", "Requested node configuration is not available"},
    {"node_config_unavailable", "Requested node configuration is not available"},
    {"bad_constraints", "Requested node configuration is not available"},
    {"time_limit", "Requested time limit is invalid (missing or exceeds some limit)"},
    {"partition_down", "Required partition not available (inactive or drain)"},
    {"begin_time", "Invalid time specified"},
    {"permission_denied", "Access/permission denied"},
    {"not_allowed", "Access/permission denied"},
    {"already_finished", "Job/step already completing or completed"},
    {"finished", "Job/step already completing or completed"},
    {"not_pending", "Job is no longer pending execution"},
    {"not_running", "Job/step not running"},
    {"not_suspended", "Job is not suspended"},
    {"in_transition", "Job can not be altered now, try again later"},
    {"not_batch", "Only batch jobs are accepted or processed"},
    {"unreachable", "Unable to contact slurm controller (connect failure)"},
    {"outcome_unknown", "Socket timed out on send/recv operation"},
};

// Options whose wrong value sbatch calls an "Invalid --NAME specification", and those of its parse_int().
constexpr std::string_view kSpecifications[] = {"begin",    "deadline",    "exclusive", "mail-type",
                                                "mem",      "mem-per-cpu", "nice",      "open-mode",
                                                "priority", "signal",      "time"};
constexpr std::string_view kNumbers[] = {"ntasks", "cpus-per-task", "ntasks-per-node"};

template <class List>
bool holds(const List& list, std::string_view word) {
  for (std::string_view one : list)
    if (one == word) return true;
  return false;
}

Error failed(std::string code, std::string_view why) {
  return Error{std::move(code), "Batch job submission failed: " + std::string(why), "", ""};
}

Error node_count(std::string_view value) {
  const auto dash = value.find('-');
  const std::string least(value.substr(0, dash)),
      most(dash == std::string_view::npos ? std::string_view() : value.substr(dash + 1));
  if (value == "0") return failed("bad_count", "Node count specification invalid");
  for (const auto& part : {least, most})
    if (!all_digits(part) && (&part != &most || dash != std::string_view::npos))
      return Error{"bad_value", "\"" + part + "\" is not a valid node count", "", ""};
  return Error{"bad_value", "Maximum node count " + most + " is less than minimum node count " + least, "",
               ""};
}

}  // namespace

std::string slurm_message(const Error& error) {
  if (error.place == "--nice") return "Invalid --nice value";
  for (const auto& phrase : kPhrases)
    if (error.code == phrase.code) return std::string(phrase.slurm);
  return error.text();
}

std::optional<std::string> slurm_foreword(const Error& error, std::string_view partition) {
  if (error.code == "node_cpus") return "CPU count per node can not be satisfied";
  if (error.code == "node_memory") return "Memory specification can not be satisfied";
  if (error.code == "bad_partition" && !partition.empty())
    return "invalid partition specified: " + std::string(partition);
  return {};
}

std::string slurm_control_message(const Error& error) {
  if (error.code == "already_finished") return "Job has already finished";
  const bool plain = error.place.empty() || error.place == "reason";
  return error.code == "not_permitted" && plain ? "Invalid user id" : slurm_message(error);
}

std::string slurm_standing_message(const Error& error) {
  for (std::string_view plain : {"Job is pending execution", "Job is not running"})
    if (error.message == plain) return error.message;
  return slurm_message(error);
}

std::optional<std::string> slurm_getopt_text(std::string_view program, const Error& error) {
  if (error.code != "bad_option") return {};
  // "job.sh:3" and "--time: needs a value" of a directive say the same as "--time" and "needs a value".
  std::string typed = error.place, message = error.message;
  if (const auto colon = message.find(": "); message.starts_with("-") && colon != std::string::npos) {
    typed = message.substr(0, colon);
    message = message.substr(colon + 2);
  }
  if (!typed.starts_with("-")) return {};
  const bool letter = typed.size() == 2;
  const std::string quoted = letter ? "'" + typed.substr(1) + "'" : "'" + typed + "'";
  std::string out(program);
  if (message == "unknown option") {
    out += (letter ? ": invalid option -- " : ": unrecognized option ") + quoted;
  } else if (message == "needs a value") {
    out += letter ? ": option requires an argument -- " + quoted
                  : ": option " + quoted + " requires an argument";
  } else if (message == "takes no value") {
    out += ": option " + quoted + " doesn't allow an argument";
  } else if (message.starts_with("could be any of ")) {
    out += ": option " + quoted + " is ambiguous; possibilities:";
    for (auto name : split_list(std::string_view(message).substr(16))) out += " '" + std::string(name) + "'";
  } else {
    return {};
  }
  return out + "\nTry \"" + std::string(program) + " --help\" for more information\n";
}

Error slurm_value_error(const Given& given, const Error& error) {
  const std::string name = given.option->name;
  if (holds(kNumbers, name))
    return Error{"bad_count", "Invalid numeric value \"" + given.value + "\" for --" + name + ".", "", ""};
  if (error.code == "bad_nodes") return Error{error.code, error.message, "", ""};
  if (name == "nodes") return node_count(given.value);
  if (name == "array") return failed("bad_array", "Invalid job array specification");
  if (name == "dependency") return failed("bad_dependency", "Job dependency problem");
  if (name == "nodelist" || name == "exclude") return failed("bad_node", "Invalid node name specified");
  if (error.message == "the deadline has passed")
    return failed("bad_deadline", "Requested time limit is invalid (missing or exceeds some limit)");
  if (error.message == "--mem and --mem-per-cpu exclude each other")
    return Error{"bad_memory", "fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.", "",
                 ""};
  if (!holds(kSpecifications, name)) return Error{error.code, error.message, given.place, ""};
  std::string message = "Invalid --" + name + " specification";
  if (name == "begin" || name == "deadline")
    message = "Invalid time specification (pos=0): " + given.value + "\n" + message;
  return Error{"bad_value", std::move(message), "", ""};
}

Error slurm_directive_error(const Error& error) {
  constexpr std::string_view kEnd = "' is not an option";
  if (!error.message.starts_with("'") || !error.message.ends_with(kEnd)) return error;
  const std::string word = error.message.substr(1, error.message.size() - 1 - kEnd.size());
  return Error{"bad_value", "Invalid directive found in batch script: " + word, "", ""};
}

std::string slurm_bad_job_state(std::string_view state) {
  return "Invalid job state specified: " + std::string(state) +
         "\nValid job states include: PENDING,RUNNING,SUSPENDED,COMPLETED,CANCELLED,FAILED,TIMEOUT,NODE_FAIL,"
         "PREEMPTED,BOOT_FAIL,DEADLINE,OUT_OF_MEMORY,COMPLETING,CONFIGURING";
}

std::string slurm_bad_node_state(std::string_view state) {
  return "Bad state string: \"" + std::string(state) +
         "\"\nvalid states: "
         "unknown,down,idle,allocated,mixed,future,drain,drained,draining,no_respond,completing,"
         "fail";
}

int slurm_status(const Error& error) {
  if (error.code == "no_such_step") return 2017 & 255;
  return error.code == "not_permitted" || error.code == "permission_denied" ? 2002 & 255 : 1;
}

}  // namespace bai::cli
