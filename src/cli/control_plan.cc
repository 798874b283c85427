// bai-control drain --plan: what draining nodes would delay. Nothing is changed.
#include "base/text.h"
#include "cli/control.h"
#include "cli/output.h"

namespace bai::cli {
namespace {

std::string when(Time at) { return at.is_set() ? format_timestamp(at) : "unknown"; }

}  // namespace

int control_drain_plan(ControlCall& call) {
  if (call.words.empty())
    return call.reporter.mistyped(
        {"no_node", "no node is named", "", "name one or more, as in drain n[1-4] --plan"});
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto reply = session->get<wire::DrainPlanReply>(wire::DrainPlanRequest{{call.words[0]}});
  if (!reply.ok()) return call.reporter.refused(reply.error());
  Output out;
  if (call.reporter.json()) {
    JsonWriter json(out.buffer());
    json.begin_object().time("now_at", reply->now).key("running").begin_array();
    for (auto id : reply->running) json.integer(id);
    json.end_array().key("delays").begin_array();
    for (const auto& delay : reply->delays)
      json.line()
          .begin_object()
          .key("job_id")
          .integer(delay.job)
          .time("start_at", delay.before)
          .time("start_without_at", delay.after)
          .end_object();
    json.end_array().end_object();
    out.put("\n");
    return 0;
  }
  if (!reply->running.empty()) {
    std::string ids;
    for (auto id : reply->running) ids += (ids.empty() ? "" : ",") + std::to_string(id);
    out.put("Running there, and would go on: " + ids + "\n");
  }
  if (reply->delays.empty()) {
    out.put("No planned start would be later.\n");
    return 0;
  }
  out.put(pad_left("JOBID", 10) + "  " + pad_right("START", 19) + "  WITHOUT\n");
  for (const auto& delay : reply->delays)
    out.put(pad_left(std::to_string(delay.job), 10) + "  " + pad_right(when(delay.before), 19) + "  " +
            when(delay.after) + "\n");
  return 0;
}

}  // namespace bai::cli
