#include "cli/submit.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <ctime>

#include "base/text.h"
#include "cli/begin.h"
#include "cli/environment.h"
#include "cli/limits.h"
#include "cli/output.h"
#include "cli/slurm_options.h"
#include "cli/slurm_words.h"
#include "cli/sweep.h"
#include "model/filename.h"

namespace bai::cli {
namespace {

constexpr std::string_view kFailed = "Batch job submission failed";

// How much may be kept of a script before the configuration is known to allow it.
Result<Script> obtain_script(const Parsed& parsed, const Submitter& submitter, const Dialect& dialect,
                             std::uint64_t max_bytes) {
  if (const Given* wrap = parsed.find("wrap")) {
    if (!parsed.rest.empty())
      return Error{"bad_script", "Script arguments not permitted with --wrap option", "",
                   "put them into the command"};
    return wrap_script(dialect, wrap->value);
  }
  if (parsed.rest.empty()) return read_script_stdin(dialect, max_bytes);
  return read_script_file(parsed.rest[0], submitter.context.cwd, submitter.search_path, max_bytes);
}

std::string test_only_sentence(const wire::SubmitReply& reply, JobId id) {
  return "Job " + std::to_string(id) + " to start at " +
         (reply.expected_start.is_set() ? format_timestamp(reply.expected_start) : std::string("N/A")) +
         " using " + std::to_string(reply.cpus) + " processors on nodes " + reply.node_list +
         " in partition " + reply.partition;
}

int show_test_only(const wire::SubmitReply& reply, JobId id, const Reporter& reporter) {
  if (!reporter.json()) {
    reporter.note(test_only_sentence(reply, id));
    return 0;
  }
  Output out;
  JsonWriter json(out.buffer());
  json.begin_object().time("start_at", reply.expected_start).field("cpus", std::int64_t{reply.cpus});
  json.field("node_list", reply.node_list).field("partition", reply.partition).end_object();
  out.put("\n");
  return 0;
}

void show_submitted(JobId id, const Parsed& parsed, const Reporter& reporter) {
  Output out;
  if (reporter.json()) {
    JsonWriter(out.buffer()).begin_object().field("job_id", std::int64_t{id}).end_object();
    out.put("\n");
  } else if (parsed.has("parsable")) {
    out.put(std::to_string(id) + "\n");
  } else if (!parsed.has("quiet")) {
    out.put("Submitted batch job " + std::to_string(id) + "\n");
  }
}

int wait_for(JobId id, Session& session, const Reporter& reporter) {
  auto reply = session.get<wire::WaitReply>(wire::WaitRequest{id}, {}, true);
  if (!reply.ok()) return reporter.refused(reply.error(), "Unable to wait for job");
  if (reply->exit.signal != 0) return 128 + reply->exit.signal;
  if (reply->exit.code != 0) return reply->exit.code;
  return reply->state == JobState::kCompleted ? 0 : 1;
}

Result<wire::SubmitReply> submit_one(Session& session, SubmitBatch& batch, std::optional<RequestId> id,
                                     bool test_only) {
  if (test_only)  // tells the id that it would get
    if (auto status = session.connect(); !status.ok()) return status.error();
  auto cluster = session.cluster();
  if (!cluster.ok()) return cluster.error();
  auto request = batch.sign(*cluster, session.config().munge_socket);
  if (!request.ok()) return request.error();
  request->test_only = test_only;
  auto reply = session.get<wire::SubmitReply>(std::move(*request), id);
  if (!reply.ok()) return reply.error();
  if (!reply->results.empty() && reply->results[0].error) return reply->results[0].error->error;
  return reply;
}

}  // namespace

std::vector<std::string> submit_env_prefixes() { return {"BAI_SUBMIT_", "SBATCH_"}; }

Result<Submitter> Submitter::here(const Dialect& dialect) {
  Submitter out;
  char cwd[PATH_MAX];
  if (!getcwd(cwd, sizeof cwd))
    return Error{"no_directory", "the current directory cannot be found", "", "change to one that exists"};
  utsname names{};
  if (uname(&names) == 0) out.context.host = names.nodename;
  out.context.dialect = &dialect;
  out.context.cwd = cwd;
  out.context.session = static_cast<std::uint32_t>(getsid(0));
  out.context.uid = geteuid();
  out.context.gid = getegid();
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  out.context.now = Time{now.tv_sec * 1'000'000 + now.tv_nsec / 1000};
  out.search_path = getenv("PATH");
  out.environment = environ;
  return out;
}

Status add_job(const Submitter& submitter, const Parsed& parsed, const Script& script,
               std::vector<std::string> args, SubmitBatch& batch, const Reporter& reporter) {
  std::vector<std::string> warnings;
  auto job = make_submission(parsed, submitter.context, warnings);
  if (!job.ok()) return job.error();
  for (const auto& warning : warnings) reporter.note(warning);
  if (job->spec.name.empty()) job->spec.name = Istr(script.name);
  job->spec.command = Istr(script.path);
  for (Istr* file : {&job->spec.std_out, &job->spec.std_err})
    *file = Istr(settle_job_name(*file, job->spec.name));
  if (job->spec.extras_or_null && !job->spec.extras().std_in.empty()) {
    JobExtras extras = job->spec.extras();
    extras.std_in = Istr(settle_job_name(extras.std_in, job->spec.name));
    job->spec.set_extras(std::move(extras));
  }
  job->launch.args = std::move(args);
  auto added = submit_variables(submitter.context.cwd, submitter.context.host);
  // What steps in it are to do unless they are told otherwise.
  for (auto [option, name] : {std::pair{"distribution", "DISTRIBUTION"}, std::pair{"gpu-bind", "GPU_BIND"}})
    if (const Given* given = parsed.find(option))
      for (const char* prefix : {"BAI_", "SLURM_"}) added.push_back(prefix + (name + ("=" + given->value)));
  if (parsed.has("overcommit"))
    for (const char* variable : {"BAI_OVERCOMMIT=1", "SLURM_OVERCOMMIT=1"}) added.emplace_back(variable);
  auto limits = passed_limits(parsed, submitter.context.propagated_limits);
  if (!limits.ok()) return limits.error();
  added.insert(added.end(), limits->begin(), limits->end());
  const Given* exported = parsed.find("export");
  auto environment = make_environment(exported ? exported->value : "", submitter.environment, added);
  if (!environment.ok()) {
    Error error = environment.error();
    if (exported) error.place = exported->place;
    return error;
  }
  if (environment->size() > wire::kMaxEnvironmentBytes)
    return Error{"environment_too_large",
                 "the environment is larger than " + std::to_string(wire::kMaxEnvironmentBytes) + " bytes",
                 "", "submit with --export=NONE"};
  batch.add(std::move(*job), script.text, *environment);
  return {};
}

int run_submit(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = submit_table(dialect);
  const OptionParser parser(table);
  int status = 0;
  auto begun = begin(table, argc, argv, reporter, status);
  if (!begun) return status;
  Parsed parsed = std::move(*begun);
  auto environment = parser.from_environment(submit_env_prefixes(), environ);
  if (!environment.ok()) return reporter.mistyped(environment.error());
  auto submitter = Submitter::here(dialect);
  if (!submitter.ok()) return reporter.refused(submitter.error());
  std::optional<RequestId> id;
  if (const Given* given = parsed.find("request-id")) {
    auto uuid = Uuid::parse(given->value);
    if (!uuid.ok())
      return reporter.mistyped({uuid.error().code, uuid.error().message, given->place, uuid.error().remedy});
    id = *uuid;
  }
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  submitter->context.propagated_limits = session->config().propagated_limits;
  if (const Given* bulk = parsed.find("bulk")) {
    if (!parsed.rest.empty())
      return reporter.mistyped(
          {"bad_option", "a script and --bulk exclude each other", bulk->place, "name scripts in the lines"});
    return run_bulk(bulk->value, parsed, std::move(*environment), table, parser, *submitter, *session,
                    reporter);
  }

  auto script = obtain_script(parsed, *submitter, dialect, session->config().max_script_size);
  if (!script.ok()) return reporter.mistyped(script.error());
  if (Status checked = check_script(*script, session->config().max_script_size); !checked.ok())
    return reporter.mistyped(checked.error());
  auto directives = read_directives(*script, parser);
  if (!directives.ok())
    return reporter.mistyped(dialect.slurm ? slurm_directive_error(directives.error()) : directives.error());
  std::vector<std::string> args;
  if (!parsed.rest.empty()) args.assign(parsed.rest.begin() + 1, parsed.rest.end());
  parsed.add(std::move(*directives));
  parsed.add(std::move(*environment));
  reporter.set_quiet(parsed.has("quiet"));

  if (const Given* given = parsed.find("sweep")) {
    auto sweep = parse_sweep(given->value, table);
    if (!sweep.ok()) return reporter.mistyped(sweep.error());
    return run_sweep(
        *sweep, parsed,
        [&](const Parsed& with) -> Result<wire::SubmitReply> {
          SubmitBatch batch;
          if (Status added = add_job(*submitter, with, *script, args, batch, reporter); !added.ok())
            return added.error();
          return submit_one(*session, batch, {}, true);
        },
        reporter);
  }
  if (auto refused = refused_job_option(parsed)) return reporter.refused(*refused, kFailed);
  SubmitBatch batch;
  if (Status added = add_job(*submitter, parsed, *script, std::move(args), batch, reporter); !added.ok())
    return reporter.mistyped(added.error());
  const bool test_only = parsed.has("test-only");
  auto reply = submit_one(*session, batch, id, test_only);
  if (!reply.ok()) {
    if (auto line = slurm_foreword(reply.error(), parsed.value_or("partition", ""));
        dialect.slurm && line && (!test_only || reply.error().code == "bad_partition"))
      reporter.error_line(*line);
    return reporter.refused(reply.error(), test_only ? "allocation failure" : kFailed);
  }
  for (const auto& warning : reply->warnings) reporter.note(warning);
  if (test_only) return show_test_only(*reply, session->next_job_id(), reporter);
  if (reply->results.empty())
    return reporter.refused({"bad_message", "the controller named no job", "", "upgrade this command"},
                            kFailed);
  const JobId job = reply->results[0].ref.job;
  show_submitted(job, parsed, reporter);
  return parsed.has("wait") ? wait_for(job, *session, reporter) : 0;
}

}  // namespace bai::cli
