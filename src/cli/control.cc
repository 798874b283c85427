#include "cli/control.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <set>

#include "base/hostlist.h"
#include "base/suggest.h"
#include "base/text.h"
#include "cli/actions.h"
#include "cli/begin.h"
#include "cli/output.h"
#include "cli/slurm_options.h"
#include "cli/slurm_words.h"
#include "cli/values.h"

namespace bai::cli {
namespace {

struct Subcommand {
  std::string_view name;
  std::string_view words;
  std::string_view help;
  int (*run)(ControlCall&);
};

int hold(ControlCall& c) { return control_jobs(c, wire::JobAction::kHold, false); }
int uhold(ControlCall& c) { return control_jobs(c, wire::JobAction::kHold, true); }
int release(ControlCall& c) { return control_jobs(c, wire::JobAction::kRelease, false); }
int requeue(ControlCall& c) { return control_jobs(c, wire::JobAction::kRequeue, false); }
int requeue_hold(ControlCall& c) { return control_jobs(c, wire::JobAction::kRequeueHold, false); }
int drain(ControlCall& c) { return c.parsed.has("plan") ? control_drain_plan(c) : control_nodes(c, "DRAIN"); }
int suspend(ControlCall& c) { return control_jobs(c, wire::JobAction::kSuspend, false); }
// Slurm's resumes jobs; ours also nodes, which no numbers are.
int resume(ControlCall& c) {
  const bool nodes = !c.reporter.dialect().slurm && !c.words.empty() && !job_words(c.words).ok();
  return nodes ? control_nodes(c, "RESUME") : control_jobs(c, wire::JobAction::kResume, false);
}
int reconfigure(ControlCall& c) { return control_plain(c, wire::ReconfigureRequest{}); }
int shutdown(ControlCall& c) {
  const bool only =
      !c.words.empty() && (c.words[0] == "ctld" || c.words[0] == "slurmctld" || c.words[0] == "controller");
  return control_plain(c, wire::ShutdownRequest{!only});
}
// scontrol's levels, by name or number, are more than ours.
std::string log_level(std::string_view word) {
  for (auto [slurm, ours] :
       {std::pair{"quiet", "error"}, std::pair{"fatal", "error"}, std::pair{"verbose", "info"},
        std::pair{"debug2", "debug"}, std::pair{"debug3", "trace"}, std::pair{"debug4", "trace"},
        std::pair{"debug5", "trace"}, std::pair{"0", "error"}, std::pair{"1", "error"},
        std::pair{"2", "error"}, std::pair{"3", "info"}, std::pair{"4", "info"}, std::pair{"5", "debug"},
        std::pair{"6", "debug"}, std::pair{"7", "trace"}, std::pair{"8", "trace"}, std::pair{"9", "trace"}})
    if (iequals(word, slurm)) return ours;
  return std::string(word);
}
int set_debug(ControlCall& c) {
  if (c.reporter.dialect().slurm) {
    if (c.words.size() != 1)
      return c.reporter.said(std::string("too ") + (c.words.empty() ? "few" : "many") +
                             " arguments for keyword:setdebug");
    c.reporter.set_quiet(true);
    return control_plain(c, wire::LogLevelRequest{log_level(c.words[0])});
  }
  if (c.words.size() != 1)
    return c.reporter.mistyped(
        {"bad_option", "setdebug takes a level", "", "error, warn, info, debug or trace"});
  return control_plain(c, wire::LogLevelRequest{c.words[0]});
}
int print_version(ControlCall& c) {
  const Dialect& dialect = c.reporter.dialect();
  Output().put(dialect.slurm ? "" : dialect.program + " ").put(dialect.version).put("\n");
  return 0;
}

constexpr Subcommand kSubcommands[] = {
    {"show", "ENTITY [NAME]", "job, step, node, partition, config, hostnames, hostlist", control_show},
    {"update", "KEY=VALUE...", "JobId=, NodeName= or PartitionName= and what shall change", control_update},
    {"hold", "JOB...", "Keep waiting jobs from starting", hold},
    {"uhold", "JOB...", "The same, so that the owner may release them", uhold},
    {"release", "JOB...", "Let held jobs go", release},
    {"requeue", "JOB...", "Put started jobs back into the queue", requeue},
    {"requeuehold", "JOB...", "The same, held", requeue_hold},
    {"suspend", "JOB...", "Have running jobs stand still", suspend},
    {"resume", "JOB...|NODES", "Let suspended jobs go on; put drained nodes back to work", resume},
    {"drain", "NODES [REASON]", "Start nothing more on these nodes (--reason)", drain},
    {"ping", "", "Whether the controller answers", control_ping},
    {"reconfigure", "", "Have the controller read bai.conf again", reconfigure},
    {"check-config", "[FILE]", "Judge a configuration without a daemon", control_check_config},
    {"setdebug", "LEVEL", "Change the controller's log level", set_debug},
    {"shutdown", "[ctld]", "Stop the agents and the controller; jobs go on", shutdown},
    {"create", "PartitionName=NAME KEY=VALUE...", "Make a partition, until it is deleted", control_create},
    {"delete", "PartitionName=NAME", "Delete one that was made so", control_delete},
    {"wait_job", "JOB", "Wait until it has its nodes", control_wait_job},
    {"completing", "", "Jobs that are being ended, and where", control_completing},
    {"listpids", "[JOB[.STEP] [NODE]]", "The processes of running steps", control_list_pids},
    {"write", "batch_script JOB [FILE]", "Its script as it was submitted; - is standard output",
     control_write},
    {"version", "", "Show the version", print_version},
};

// By name, or by a beginning that no other has.
const Subcommand* find_subcommand(std::string_view word) {
  const Subcommand* found = nullptr;
  for (const auto& sub : kSubcommands) {
    if (iequals(sub.name, word)) return &sub;
    if (word.empty() || !istarts_with(sub.name, word)) continue;
    if (found) return nullptr;
    found = &sub;
  }
  return found;
}

}  // namespace

// clang-format off
OptionTable control_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] COMMAND [WORD...]";
  table.description = "Look at and change jobs, nodes, partitions and the controller.";
  table.permute = true;
  table.options = {
      {.name = "all", .letter = 'a', .help = "Hidden partitions, too"},
      {.name = "details", .letter = 'd', .help = "Show more"},
      {.name = "history", .help = "With show job: every move of its life"},
      {.name = "oneliner", .letter = 'o', .help = "One line for each record"},
      {.name = "plan", .help = "With drain: only say which planned starts it would delay"},
      {.name = "quiet", .letter = 'Q', .help = "Only errors"},
      {.name = "reason", .letter = 'r', .arg = ArgKind::required, .value_name = "TEXT", .help = "With drain: why"},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
  };
  table.options.push_back(request_id_option());
  add_list_options(table, dialect);
  add_common_options(table, 'h', 'V');
  table.epilog = "Commands:\n";
  for (const auto& sub : kSubcommands) {
    std::string left = "  " + std::string(sub.name) + (sub.words.empty() ? "" : " ") + std::string(sub.words);
    table.epilog += pad_right(left, 24) + " " + std::string(sub.help) + "\n";
  }
  return table;
}
// clang-format on

Result<std::vector<wire::JobRef>> job_words(const std::vector<std::string>& words) {
  std::vector<wire::JobRef> out;
  for (std::string_view word : words) {
    for (std::string_view prefix : {"jobid=", "job="})
      if (istarts_with(word, prefix)) word.remove_prefix(prefix.size());
    auto refs = parse_job_refs(word);
    if (!refs.ok()) return refs.error();
    out.insert(out.end(), refs->begin(), refs->end());
  }
  if (out.empty()) return Error{"no_job", "no job is named", "", "name one or more jobs"};
  return out;
}

int control_jobs(ControlCall& call, wire::JobAction action, bool user_hold) {
  const bool slurm = call.reporter.dialect().slurm;
  const std::string_view name = action == wire::JobAction::kHold          ? (user_hold ? "uhold" : "hold")
                                : action == wire::JobAction::kRelease     ? "release"
                                : action == wire::JobAction::kRequeueHold ? "requeuehold"
                                : action == wire::JobAction::kSuspend     ? "suspend"
                                : action == wire::JobAction::kResume      ? "resume"
                                                                          : "requeue";
  const bool holds = action == wire::JobAction::kHold || action == wire::JobAction::kRelease;
  const bool stands = action == wire::JobAction::kSuspend || action == wire::JobAction::kResume;
  std::vector<std::string> names;  // "jobname=NAME"
  for (std::string_view word : call.words)
    for (std::string_view prefix : {"jobname=", "name="})
      if (istarts_with(word, prefix)) names.emplace_back(word.substr(prefix.size()));
  const bool incomplete = !holds && !stands && !call.words.empty() &&
                          istarts_with("incomplete", call.words[0]) && !call.words[0].empty();
  if (incomplete) call.words.erase(call.words.begin());  // those that have ended are not requeued here anyway
  auto refs = names.empty() ? job_words(call.words) : std::vector<wire::JobRef>();
  if (!refs.ok() && slurm) {
    if (call.words.empty()) return call.reporter.said("too few arguments for keyword:" + std::string(name));
    return call.reporter.said("Invalid job id specified for job " + call.words[0] +
                              (holds ? "\nslurm_suspend error: Invalid job id specified" : ""));
  }
  if (!refs.ok()) return call.reporter.mistyped(refs.error());
  auto id = request_id(call.parsed);
  if (!id.ok()) return call.reporter.mistyped(id.error());
  wire::ActionRequest request;
  request.action = action;
  request.filter.jobs = std::move(*refs);
  request.filter.names = std::move(names);
  request.user_hold = user_hold;
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto reply = session->get<wire::ActionReply>(std::move(request), *id);
  if (!reply.ok()) return call.reporter.refused(reply.error(), "slurm_suspend error");
  // Slurm holds and releases running jobs without a word.
  if (slurm && holds)
    std::erase_if(reply->results,
                  [](const wire::JobResult& r) { return r.error && r.error->error.code == "not_pending"; });
  std::string last;
  const int status_of_all =
      show_results(*reply, call.reporter, [&](const std::string& job, const Error& error) {
        if (!slurm) return "job " + job + ": " + error.text();
        last = stands                        ? slurm_standing_message(error)
               : error.code == "not_running" ? "Job is pending execution"
                                             : slurm_control_message(error);
        return last + " for job " + job;
      });
  if (!last.empty() && holds) call.reporter.said("slurm_suspend error: " + last);
  return status_of_all;
}

int control_nodes(ControlCall& call, std::string_view state) {
  if (call.words.empty())
    return call.reporter.mistyped({"bad_option", "no node is named", "", "name nodes, as in n[1-4]"});
  auto names = expand_hostlist(call.words[0]);
  if (!names.ok()) return call.reporter.mistyped(names.error());
  auto id = request_id(call.parsed);
  if (!id.ok()) return call.reporter.mistyped(id.error());
  wire::UpdateRequest request;
  request.kind = wire::UpdateKind::kNode;
  request.names = std::move(*names);
  request.values.emplace_back("state", state);
  std::string reason = call.parsed.value_or("reason", "");
  if (reason.empty() && call.words.size() > 1)
    reason = join(std::vector<std::string>(call.words.begin() + 1, call.words.end()), " ");
  if (state == "DRAIN" && reason.empty())
    return call.reporter.mistyped(
        {"no_reason", "draining needs a reason", "", "add it, as in drain n1 bad disk"});
  if (!reason.empty()) request.values.emplace_back("reason", reason);
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto reply = session->get<wire::ActionReply>(std::move(request), *id);
  if (!reply.ok()) return call.reporter.refused(reply.error(), "slurm_update error");
  return show_results(*reply, call.reporter, [](const std::string& node, const Error& error) {
    return "node " + node + ": " + error.text();
  });
}

int control_plain(ControlCall& call, wire::RequestBody request) {
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  const std::string name(wire::request_name(request));
  auto reply = session->get<wire::DoneReply>(std::move(request));
  if (!reply.ok() && call.reporter.dialect().slurm)
    return call.reporter.said("slurm_" + name + " error: " + slurm_control_message(reply.error()));
  if (!reply.ok()) return call.reporter.refused(reply.error());
  if (call.reporter.json()) {
    Output out;
    JsonWriter json(out.buffer());
    json.begin_object().key("notes").begin_array();
    for (const auto& note : reply->notes) json.string(note);
    json.end_array().end_object();
    out.put("\n");
  } else {
    for (const auto& note : reply->notes) call.reporter.note(note);
  }
  return 0;
}

int control_ping(ControlCall& call) {
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto pong = session->get<wire::PongReply>(wire::PingRequest{});
  const Dialect& dialect = call.reporter.dialect();
  const std::string daemon = dialect.slurm ? "Slurmctld(primary)" : "bai-ctld";
  Output out;
  if (!pong.ok()) {
    if (call.reporter.json()) return call.reporter.refused(pong.error());
    const std::string host =
        session->config().ctld_hosts.empty() ? session->endpoint() : session->config().ctld_hosts[0].name;
    if (dialect.slurm || pong.error().code == "unreachable") out.put(daemon + " at " + host + " is DOWN\n");
    return dialect.slurm ? kRefused : call.reporter.refused(pong.error());
  }
  if (call.reporter.json()) {
    JsonWriter json(out.buffer());
    json.begin_object()
        .field("cluster", pong->cluster)
        .field("host", pong->host)
        .field("version", pong->version);
    json.field("cluster_uuid", pong->lineage.cluster.hex())
        .field("epoch", static_cast<std::int64_t>(pong->lineage.epoch));
    json.field("lsn", static_cast<std::int64_t>(pong->lineage.lsn))
        .time("now_at", pong->now)
        .time("started_at", pong->started);
    json.flag("admitting", pong->admitting).field("trouble", pong->trouble);
    json.field("nodes", std::int64_t{pong->nodes})
        .field("nodes_ready", std::int64_t{pong->nodes_ready})
        .end_object();
    out.put("\n");
    return 0;
  }
  out.put(daemon + " at " + pong->host + " is UP\n");
  if (!pong->admitting) call.reporter.note("it takes no changes now: " + pong->trouble);
  return 0;
}

namespace {

// scontrol without a command: a prompt, and a command a line, until it is left.
int converse(const Dialect& dialect) {
  std::set<std::string> options;
  std::string last;
  int status = 0;
  for (;;) {
    Output().put("scontrol: ");
    char typed[4096];
    if (!std::fgets(typed, sizeof typed, stdin)) {
      Output().put("\n");
      return status;
    }
    std::string line(trim(typed));
    if (line == "!!") line = last;
    auto words = split_shell_words(line);
    if (!words.ok() || words->empty()) continue;
    last = line;
    const std::string& word = (*words)[0];
    if (word == "exit" || word == "quit" || word == "q") return status;
    if (word == "hide") options.erase("--all");
    for (auto [name, option] : {std::pair{"all", "--all"}, std::pair{"oneliner", "--oneliner"},
                                std::pair{"details", "--details"}, std::pair{"quiet", "--quiet"}})
      if (word == name) options.insert(option);
    std::vector<const char*> argv = {dialect.program.c_str()};
    for (const auto& option : options) argv.push_back(option.c_str());
    for (const auto& one : *words) argv.push_back(one.c_str());
    status = run_control(dialect, static_cast<int>(argv.size()), argv.data());
  }
}

}  // namespace

int run_control(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = control_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  reporter.set_quiet(parsed.has("quiet"));
  if (parsed.rest.empty() && dialect.slurm) return converse(dialect);
  // Words for the prompt; here they change nothing.
  static constexpr std::string_view kForPrompt[] = {"exit", "quit", "verbose", "oneliner",
                                                    "all",  "hide", "details", "cluster"};
  if (dialect.slurm &&
      std::find(std::begin(kForPrompt), std::end(kForPrompt), parsed.rest[0]) != std::end(kForPrompt))
    return 0;
  if (parsed.rest.empty())
    return reporter.mistyped(
        {"bad_option", "a command is missing", "", "see " + dialect.program + " --help"});
  const Subcommand* sub = find_subcommand(parsed.rest[0]);
  if (!sub) {
    std::vector<std::string_view> names;
    for (const auto& one : kSubcommands) names.push_back(one.name);
    if (dialect.slurm) {
      return reporter.said("invalid keyword: " + parsed.rest[0]);
    }
    return reporter.mistyped({"bad_command", quote(parsed.rest[0]) + " is not a command", "",
                              did_you_mean(parsed.rest[0], names)});
  }
  std::optional<Session> session;
  ControlCall call{
      parsed, {parsed.rest.begin() + 1, parsed.rest.end()}, reporter, [&](int& failed) -> Session* {
        if (session) return &*session;
        auto opened = Session::open(parsed, reporter);
        if (!opened.ok()) {
          failed = reporter.refused(opened.error());
          return nullptr;
        }
        session.emplace(std::move(*opened));
        return &*session;
      }};
  return sub->run(call);
}

}  // namespace bai::cli
