#include "cli/attach.h"

#include "base/text.h"
#include "base/units.h"
#include "cli/begin.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/step_client.h"
#include "cli/step_watch.h"

namespace bai::cli {
namespace {

OptionTable attach_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] JOB.STEP";
  table.description = "Attach to the streams of a running step. Ctrl-C leaves it, and the step goes on.";
  table.permute = true;
  constexpr auto kReq = ArgKind::required;
  table.options = {
      {.name = "error-filter", .arg = kReq, .value_name = "TASK", .help = "Only this task's standard error"},
      {.name = "input-filter",
       .arg = kReq,
       .value_name = "TASK",
       .help = "Standard input goes to this task only"},
      {.name = "label", .letter = 'l', .help = "Begin each line with its task's number"},
      {.name = "layout", .help = "Show which tasks are where, and leave"},
      {.name = "output-filter",
       .arg = kReq,
       .value_name = "TASK",
       .help = "Only this task's standard output"},
      {.name = "pty", .help = "The step has a terminal: use this one as it"},
      {.name = "quiet", .letter = 'Q', .help = "Say nothing but errors"},
      {.name = "read-only", .help = "Only watch"},
      {.name = "verbose", .letter = 'v', .help = "Say more", .hidden = true},
  };
  add_common_options(table, 'h', 'V', false);
  return table;
}

// "7.0"; "7" is its first step.
Result<std::pair<JobId, StepId>> parse_step(std::string_view text) {
  const auto dot = text.find('.');
  auto job = parse_count(text.substr(0, dot), 1, 0xffffffff);
  Result<std::int64_t> step = std::int64_t{0};
  if (dot != text.npos) step = parse_count(text.substr(dot + 1), 0, 0xfffffff0);
  if (!job.ok() || !step.ok())
    return Error{"bad_value", quote(text) + " is no step", "",
                 "write JOB.STEP, as in 7.0; bai-queue --steps shows them"};
  return std::pair{static_cast<JobId>(*job), static_cast<StepId>(*step)};
}

void show_layout(const Step& step) {
  std::string out = "Job step layout:\n  " + std::to_string(step.tasks()) + " tasks, " +
                    std::to_string(step.nodes.size()) + " nodes (" + step.hostlist() + ")\n\n";
  for (std::size_t i = 0; i < step.nodes.size(); ++i) {
    out += "  Node " + std::to_string(i) + " (" + step.nodes[i].node.str() + "), " +
           std::to_string(step.nodes[i].ranks.size()) + " task(s):";
    for (const auto rank : step.nodes[i].ranks) out += " " + std::to_string(rank);
    out += "\n";
  }
  Output().put(out);
}

}  // namespace

int run_attach(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = attach_table(dialect);
  int status = 0;
  auto begun = begin(table, argc, argv, {"BAI_ATTACH_", "SATTACH_"}, reporter, status);
  if (!begun) return status;
  const Parsed parsed = std::move(*begun);
  reporter.set_quiet(parsed.has("quiet"));
  if (parsed.rest.size() != 1)
    return reporter.mistyped({"bad_option", "one step is needed", "", "write JOB.STEP, as in 7.0"});
  auto which = parse_step(parsed.rest[0]);
  if (!which.ok()) return reporter.mistyped(which.error());
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  if (auto connected = session->connect(); !connected.ok()) return reporter.refused(connected.error());
  if (parsed.has("layout")) {
    auto reply = session->get<wire::StepsReply>(wire::StepsRequest{{which->first}});
    if (!reply.ok()) return reporter.refused(reply.error());
    for (const auto& step : reply->steps)
      if (step.id == which->second) {
        show_layout(step);
        return 0;
      }
    return reporter.refused(
        {"no_such_step", "there is no step " + parsed.rest[0], "", "see bai-queue --steps"});
  }
  StepClientOptions options;
  options.output.output = parsed.value_or("output-filter", "");
  options.output.error = parsed.value_or("error-filter", parsed.has("output-filter") ? "none" : "");
  options.output.label = parsed.has("label");
  options.input = parsed.has("read-only") ? "none" : parsed.value_or("input-filter", "");
  options.pty = parsed.has("pty");
  options.attached = true;
  StepClient client(std::move(options), reporter);
  const std::string address = session->own_address();
  if (auto listening = client.listen(address.empty() ? std::vector<std::string>() : std::vector{address});
      !listening.ok())
    return reporter.refused(listening.error());
  const RequestId id = RequestId::ordered();
  const wire::AttachRequest request{
      which->first, which->second, {client.endpoints(), client.key()}, !parsed.has("read-only")};
  auto reply = session->get<wire::StepReply>(request, id);
  if (!reply.ok()) return reporter.refused(reply.error(), "Unable to attach to step " + parsed.rest[0]);
  StepLayout layout;
  layout.job = reply->step.job;
  layout.step = step_name(reply->step.id);
  for (const auto& share : reply->step.nodes) {
    layout.nodes.push_back(share.node.str());
    layout.ranks.push_back(share.ranks);
  }
  if (auto ready = client.begin(std::move(layout)); !ready.ok()) return reporter.refused(ready.error());
  StepWatch watch(*session, client, reporter, id, [] { return Error{"no_such_step", "", "", ""}; });
  if (auto watching = watch.start(); !watching.ok()) return reporter.refused(watching.error());
  return client.run();
}

}  // namespace bai::cli
