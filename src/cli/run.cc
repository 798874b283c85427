#include "cli/run.h"

#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/env.h"
#include "base/text.h"
#include "cli/allocation.h"
#include "cli/await.h"
#include "cli/begin.h"
#include "cli/cast.h"
#include "cli/environment.h"
#include "cli/limits.h"
#include "cli/run_hooks.h"
#include "cli/run_options.h"
#include "cli/slurm_words.h"
#include "cli/step_client.h"
#include "cli/step_watch.h"
#include "model/multi_prog.h"
#include "wire/munge.h"

namespace bai::cli {
namespace {

using Clock = wire::Client::Clock;
constexpr std::chrono::milliseconds kSoon{1000};  // a step that begins within this time has not waited
constexpr std::chrono::milliseconds kAgain{100};  // before a lost connection is made anew

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Status sign(wire::StepRequest& request, const Uuid& cluster, const std::string& munge_socket) {
  if (getrandom(request.launch.nonce.bytes.data(), request.launch.nonce.bytes.size(), 0) !=
      static_cast<ssize_t>(request.launch.nonce.bytes.size()))
    return Error{"no_random", "the system gives no random numbers"};
  request.launch.script = hash256(request.script);
  request.launch.environment = hash256(request.environment);
  const Hash256 leaf = request.launch.digest(as_signed(geteuid(), getegid(), request.run), cluster);
  auto tree = sign_together({leaf});
  auto credential = wire::munge_encode(tree.root.view(), {.socket = munge_socket});
  if (!credential.ok()) return credential.error();
  request.launch.credential = std::move(*credential);
  request.launch.path = std::move(tree.paths[0]);
  return {};
}

StepLayout layout_of(const Step& step) {
  StepLayout out;
  out.job = step.job;
  out.step = step_name(step.id);
  for (const auto& share : step.nodes) {
    out.nodes.push_back(share.node.str());
    out.ranks.push_back(share.ranks);
  }
  return out;
}

ExitStatus as_exit(int status) {
  if (status > 128) return {0, static_cast<std::uint8_t>(status - 128)};
  return {static_cast<std::uint8_t>(status), 0};
}

// The program and what it is started with.
Result<wire::StepRequest> make_request(const WantedStep& wanted, const Parsed& parsed,
                                       const Submitter& submitter, const std::optional<Allocation>& own,
                                       const Dialect& dialect) {
  wire::StepRequest request;
  request.spec = wanted.spec;
  request.run = wanted.run;
  request.immediate = wanted.immediate;
  request.launch.args = parsed.rest;
  if (request.spec.name.empty()) request.spec.name = Istr(base_name(parsed.rest[0]));
  const mode_t mask = umask(0);
  umask(mask);
  request.run.umask = mask;
  if (dialect.slurm) request.run.speaker = Istr("slurmstepd");
  if (!wanted.multi_prog.empty()) {
    auto text = Env::real().read_file(wanted.multi_prog, wire::kMaxScriptBytes);
    if (!text.ok()) return text.error();
    request.script = std::move(*text);
    if (wanted.spec.tasks > 0)
      if (auto parsed_text = MultiProg::parse(request.script, wanted.spec.tasks); !parsed_text.ok())
        return parsed_text.error();
  }
  if (request.run.pty) {
    winsize size{};
    if (ioctl(0, TIOCGWINSZ, &size) == 0) {
      request.run.rows = size.ws_row;
      request.run.columns = size.ws_col;
    }
  }
  std::vector<std::string> added;
  if (own) added = allocation_variables(own->job(), own->time_limit());
  auto limits = passed_limits(parsed, submitter.context.propagated_limits);
  if (!limits.ok()) return limits.error();
  added.insert(added.end(), limits->begin(), limits->end());
  const Given* exported = parsed.find("export");
  auto environment = make_environment(exported ? exported->value : "", submitter.environment, added);
  if (!environment.ok()) return environment.error();
  request.environment = std::move(*environment);
  return request;
}

// Asks for the step and waits until it has begun. A controller that goes away meanwhile is asked again when it is back: the id settles whether
// the step was made.
Result<Step> create(Session& session, const wire::StepRequest& request, const RequestId& id,
                    std::optional<Allocation>& own, const Reporter& reporter) {
  const std::string job = std::to_string(request.job);
  const Fd signals = interruptions();
  bool interrupted = false, repeat = false;
  auto ask = [&](std::optional<Clock::time_point> until) -> Result<std::optional<wire::ReplyBody>> {
    for (;; repeat = true) {
      if (repeat) {
        std::this_thread::sleep_for(kAgain);
        if (auto back = session.connect(); !back.ok()) return back.error();
        if (own)
          if (auto held = own->hold_again(session); !held.ok()) return held.error();
      }
      auto sent = session.send({id, repeat, request});
      if (!sent.ok()) continue;
      auto reply = await_reply(session, id, signals.get(), until, interrupted);
      if (reply.ok() || reply.error().code != "lost") return reply;
    }
  };
  auto reply = ask(Clock::now() + kSoon);
  const bool waits = reply.ok() && !*reply && !interrupted;
  if (waits)
    reporter.note("Job " + job + " step creation temporarily disabled, retrying (Requested nodes are busy)");
  while (reply.ok() && !*reply && !interrupted) {
    reply = await_reply(session, id, signals.get(), {}, interrupted);
    if (!reply.ok() && reply.error().code == "lost" && !interrupted) {
      repeat = true;
      reply = ask({});
    }
  }
  if (interrupted) return Error{"interrupted", "Cancelled pending step for job " + job, "", ""};
  if (!reply.ok()) return reply.error();
  auto* begun = std::get_if<wire::StepReply>(&**reply);
  if (!begun) return Error{"bad_message", "the controller told no step", "", "upgrade this command"};
  if (waits) reporter.note("Step created for job " + job);
  return std::move(begun->step);
}

// Copies the program to the job's nodes (--bcast): from then on it is what runs. Returns 0, or the exit status.
int bring(const std::string& where, JobId job, Parsed& parsed, const std::string& cwd,
          const Reporter& reporter) {
  std::string& program = parsed.rest[0];
  CastRequest request;
  request.job = job;
  request.file = program;
  if (program.find('/') == program.npos) {
    const char* path = getenv("PATH");
    for (const std::string_view dir : split(path ? path : "", ':')) {
      const std::string candidate = std::string(dir) + "/" + program;
      if (access(candidate.c_str(), X_OK) != 0) continue;
      request.file = candidate;
      break;
    }
  }
  request.path = where.empty() ? cwd + "/" : where.starts_with('/') ? where : cwd + "/" + where;
  if (request.path.ends_with('/'))
    request.path += "bai_bcast_" + std::to_string(job) + "_" + base_name(program);
  request.replace = true;
  request.conf = parsed.value_or("conf", "");
  const int status = cast_file(request, reporter);
  program = request.path;
  return status;
}

// The step in a job that runs. Returns the exit status.
int run_step(Session& session, WantedStep wanted, const Parsed& parsed, const Submitter& submitter,
             std::optional<Allocation>& own, const Reporter& reporter) {
  const auto failed = [&](const Error& error) {
    return reporter.refused(error, "Unable to create step for job " + std::to_string(*wanted.job));
  };
  auto request = make_request(wanted, parsed, submitter, own, reporter.dialect());
  if (!request.ok()) return reporter.mistyped(request.error());
  request->job = *wanted.job;
  auto cluster = session.cluster();
  if (cluster.ok() && session.fd() < 0)  // nothing was asked yet
    if (auto connected = session.connect(); !connected.ok()) return failed(connected.error());
  if (!cluster.ok()) return failed(cluster.error());

  std::optional<Step> step;
  StepClientOptions options;
  options.output.output = wanted.output;
  options.output.error = wanted.error;
  options.output.label = wanted.label;
  options.output.unbuffered = wanted.unbuffered;
  options.output.append = wanted.append;
  options.output.user = getenv("USER") ? getenv("USER") : "";
  options.output.job_name = request->spec.name.str();
  options.input = wanted.input;
  options.pty = wanted.run.pty;
  options.kill_on_bad_exit = wanted.run.kill_on_bad_exit;
  options.wait_s = wanted.run.wait_s;
  options.quit_on_interrupt = wanted.quit_on_interrupt;
  options.end_step = [&](int signum) {
    wire::ActionRequest end;
    end.filter.jobs.push_back({step->job, kNoTask, step->id});
    end.signal = static_cast<std::uint16_t>(signum);
    (void)session.send({RequestId::ordered(), false, std::move(end)});
  };
  StepClient client(std::move(options), reporter);
  const std::string address = session.own_address();
  if (auto listening = client.listen(address.empty() ? std::vector<std::string>() : std::vector{address});
      !listening.ok())
    return failed(listening.error());
  request->run.client = {client.endpoints(), client.key()};
  if (auto signed_ = sign(*request, *cluster, session.config().munge_socket); !signed_.ok())
    return failed(signed_.error());
  const auto own_variables =
      own ? allocation_variables(own->job(), own->time_limit()) : std::vector<std::string>();
  const std::string prolog = wanted.prolog.value_or(session.config().srun_prolog);
  const std::string epilog = wanted.epilog.value_or(session.config().srun_epilog);
  run_beside_step(prolog, "prolog_srun", own_variables, {}, reporter);
  const RequestId id = RequestId::ordered();
  auto begun = create(session, *request, id, own, reporter);
  if (!begun.ok()) return failed(begun.error());
  step = std::move(*begun);
  if (auto ready = client.begin(layout_of(*step)); !ready.ok()) {
    wire::ActionRequest end;
    end.filter.jobs.push_back({step->job, kNoTask, step->id});
    (void)session.ask(std::move(end));
    return reporter.refused(ready.error());
  }
  StepWatch watch(session, client, reporter, id, [&]() -> Status {
    auto again = session.get<wire::StepReply>(*request, id);
    if (!again.ok()) return again.error();
    return own ? own->hold_again(session) : Status();
  });
  if (auto watching = watch.start(); !watching.ok()) return failed(watching.error());
  const int status = client.run();
  run_beside_step(epilog, "epilog_srun", own_variables, std::to_string(step->id), reporter);
  // A step that failed without a task that did: it could not be launched.
  if (status == 0 && watch.end() && is_finished(watch.end()->state) &&
      watch.end()->state != JobState::kCompleted)
    return std::max<int>(1, watch.end()->exit.code);
  return status;
}

}  // namespace

int run_run(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = run_table(dialect);
  int status = 0;
  auto begun = begin(table, argc, argv, {"BAI_RUN_", "SLURM_"}, reporter, status);
  if (!begun) return status;
  Parsed parsed = std::move(*begun);
  reporter.set_quiet(parsed.has("quiet"));
  if (parsed.value_or("mpi", "") == "list") {
    reporter.said("MPI plugin types are...\n\tnone\n\tpmi1\n\tpmix");
    return 0;
  }
  if (parsed.rest.empty())
    return reporter.mistyped({"bad_option", "No command given to execute.", "", "name a program to run"});
  auto submitter = Submitter::here(dialect);
  if (!submitter.ok()) return reporter.refused(submitter.error());
  auto wanted = make_step(parsed, dialect, submitter->context.cwd);
  if (!wanted.ok()) return reporter.mistyped(wanted.error());
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  submitter->context.propagated_limits = session->config().propagated_limits;

  std::optional<Allocation> own;
  if (!wanted->job) {
    AllocationOptions options;
    options.name = base_name(parsed.rest[0]);
    options.command = join(parsed.rest, " ");
    options.quiet = parsed.has("quiet");
    options.immediate = wanted->immediate;
    options.hosts = wanted->spec.hosts;
    auto made = Allocation::make(*session, parsed, *submitter, options, reporter);
    if (!made.ok()) return reporter.refused(made.error(), "Unable to allocate resources");
    own = std::move(*made);
    wanted->job = own->id();
    // What the job was given is the step's; the constraints have done their work.
    if (!parsed.has("nodes")) wanted->spec.min_nodes = 0;
    wanted->spec.exact = false;
    wanted->spec.devices.clear();
    wanted->spec.mem_mib = wanted->spec.mem_per_cpu_mib = 0;
  }
  if (const Given* copy = parsed.find("bcast"))
    status = bring(copy->value, *wanted->job, parsed, submitter->context.cwd, reporter);
  if (status == 0) status = run_step(*session, std::move(*wanted), parsed, *submitter, own, reporter);
  if (own)
    if (auto given = own->give_back(*session, as_exit(status)); !given.ok())
      reporter.note("job " + std::to_string(own->id()) + " could not be given back: " + given.error().text());
  return status;
}

}  // namespace bai::cli
