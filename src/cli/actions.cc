#include "cli/actions.h"

#include "cli/output.h"

namespace bai::cli {

std::string ref_text(const wire::JobRef& ref) {
  std::string out = std::to_string(ref.job);
  if (ref.task != kNoTask) out += "_" + std::to_string(ref.task);
  if (ref.step != kNoStep) out += "." + step_name(ref.step);
  return out;
}

Option request_id_option() {
  return {.name = "request-id",
          .arg = ArgKind::required,
          .value_name = "ID",
          .help = "Settle a request whose outcome is unknown"};
}

Result<std::optional<RequestId>> request_id(const Parsed& parsed) {
  const Given* given = parsed.find("request-id");
  if (!given) return std::optional<RequestId>();
  auto id = Uuid::parse(given->value);
  if (!id.ok()) return Error{id.error().code, id.error().message, given->place, id.error().remedy};
  return std::optional<RequestId>(*id);
}

int show_results(const wire::ActionReply& reply, const Reporter& reporter,
                 const std::function<std::string(const std::string& job, const Error& why)>& sentence) {
  int status = 0;
  Output out;
  JsonWriter json(out.buffer());
  if (reporter.json()) json.begin_object().key("results").begin_array();
  for (const auto& result : reply.results) {
    const std::string job = result.ref.job ? ref_text(result.ref) : result.note;
    if (result.error) status = kRefused;
    if (reporter.json()) {
      json.line().begin_object();
      if (result.ref.job) {
        json.field("job_id", std::int64_t{result.ref.job});
        if (result.ref.task != kNoTask) json.field("array_task_id", std::int64_t{result.ref.task});
        if (result.ref.step != kNoStep) json.field("step_id", step_name(result.ref.step));
      } else {
        json.field("name", result.note);
      }
      json.flag("done", !result.error);
      if (result.error) {
        const Error& error = result.error->error;
        json.key("error").begin_object().field("code", error.code).field("message", error.message);
        json.field("remedy", error.remedy).end_object();
      }
      json.end_object();
    } else if (result.error) {
      const Error& error = result.error->error;
      // scontrol's lines stand alone, scancel's name it.
      const std::string text = sentence(job, error);
      if (reporter.dialect().bare_errors)
        reporter.said(text);
      else
        reporter.error_line(text);
    } else if (!result.note.empty() && result.ref.job) {
      reporter.note(job + ": " + result.note);
    }
  }
  if (reporter.json()) {
    json.end_array().end_object();
    out.put("\n");
  }
  return status;
}

}  // namespace bai::cli
