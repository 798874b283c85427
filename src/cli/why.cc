#include "cli/why.h"

#include "base/text.h"
#include "cli/begin.h"
#include "cli/job_fields.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/values.h"
#include "model/explanation.h"

namespace bai::cli {
namespace {

constexpr std::size_t kTextColumn = 11;
constexpr std::size_t kWidth = 100;

// "Label      text", broken at blanks.
void put_line(std::string& out, std::string_view label, std::string_view text) {
  std::string line = pad_right(std::string(label), kTextColumn);
  while (!text.empty()) {
    std::size_t n = text.size();
    if (kTextColumn + n > kWidth) {
      n = text.rfind(' ', kWidth - kTextColumn);
      if (n == text.npos || n == 0) n = std::min(text.find(' '), text.size());
    }
    out += line.append(text.substr(0, n)) + "\n";
    text.remove_prefix(std::min(text.size(), n + 1));
    line.assign(kTextColumn, ' ');
  }
}

std::string count(std::uint64_t n, std::string_view what) {
  return std::to_string(n) + " " + std::string(what) + (n == 1 ? "" : "s");
}

// "3 min", "2 h 10 min", "4 d 3 h".
std::string rough(Seconds s) {
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return std::to_string(s / 60) + " min";
  const auto two = [](Seconds big, const char* unit, Seconds small, const char* less) {
    return std::to_string(big) + unit + (small ? " " + std::to_string(small) + less : "");
  };
  if (s < 86400) return two(s / 3600, " h", s % 3600 / 60, " min");
  return two(s / 86400, " d", s % 86400 / 3600, " h");
}

std::string moment(Time at, Time now) {
  return format_timestamp(at) + (at > now ? " (in " + rough(at - now) + ")" : "");
}

std::string off(std::int64_t late_s) {
  if (late_s == 0) return "on time";
  return rough(late_s < 0 ? -late_s : late_s) + (late_s < 0 ? " early" : " late");
}

std::string id_of(const JobView& job) {
  std::string out;
  put_job_id(out, job);
  return out;
}

std::string shortages(const std::vector<Shortage>& list) {
  std::vector<std::string> parts;
  for (const auto& s : list) parts.push_back(s.what + " on " + std::to_string(s.nodes));
  return parts.empty() ? "" : " (lacking " + join(parts, ", ") + ")";
}

std::string place_text(const PlaceReport& p) {
  std::string out = "partition " + p.partition.str() + ": ";
  if (p.never != Reason::kNone)
    return out + "never, " + std::string(name(p.never)) +
           (p.never_detail.empty() ? "" : ": " + p.never_detail);
  out += "needs " + (p.needed > 1 ? count(p.needed, "node") : "a node") + " of " + std::to_string(p.nodes);
  std::vector<std::string> parts;
  if (p.unfit) parts.push_back(std::to_string(p.unfit) + " cannot hold it" + shortages(p.unfit_for));
  if (p.down) parts.push_back(std::to_string(p.down) + (p.down == 1 ? " is" : " are") + " down or drained");
  if (p.busy)
    parts.push_back(std::to_string(p.busy) + (p.busy == 1 ? " is" : " are") + " busy" +
                    shortages(p.busy_for));
  if (p.reserved)
    parts.push_back(std::to_string(p.reserved) + (p.reserved == 1 ? " is" : " are") +
                    " kept for jobs in front");
  std::string free = std::to_string(p.free) + (p.free == 1 ? " has" : " have") + " room now";
  if (p.free && p.free_tasks < p.tasks)
    free += " for " + std::to_string(std::min(p.free_tasks, p.tasks)) + " of " + count(p.tasks, "task");
  parts.push_back(free);
  return out + "; " + join(parts, ", ");
}

std::string estimates_text(const EstimateRecord& e) {
  if (e.count == 0) return "No estimate has proved right or wrong yet.";
  if (e.count == 1) return "One estimate has been put to the test: the job started " + off(e.median_s) + ".";
  return "Of " + std::to_string(e.count) + " first estimates the median was " + off(e.median_s) +
         "; nine of ten lay between " + off(e.low_s) + " and " + off(e.high_s) + ".";
}

void put_waiting(std::string& out, const Explanation& e, Time now) {
  for (const auto& place : e.places)
    put_line(out, &place == e.places.data() ? "Nodes" : "", place_text(place));
  if (e.startable) {
    std::string ahead =
        e.ahead == 0 ? "no job for the same partitions" : count(e.ahead, "job") + " for the same partitions";
    for (std::size_t i = 0; i < e.first_ahead.size(); ++i)
      ahead += (i ? ", " : ": ") + std::to_string(e.first_ahead[i]);
    if (e.ahead > e.first_ahead.size()) ahead += ", ...";
    put_line(out, "In front", ahead);
  }
  if (e.blocking != 0) {
    std::string text =
        "the " + (e.blocking == 1 ? "end of a running job" : "ends of " + count(e.blocking, "running job")) +
        ": ";
    for (std::size_t i = 0; i < e.blockers.size(); ++i) {
      const auto& b = e.blockers[i];
      text += (i ? "; " : "") + std::to_string(b.job) + " on " + b.nodes + ", " +
              (b.end.is_set() ? "by " + format_timestamp(b.end) : "which has no limit");
    }
    if (e.blocking > e.blockers.size()) text += "; and earlier ones";
    put_line(out, "Waits for", text);
  }
  if (e.start.is_set()) {
    put_line(out, "Start",
             std::string(e.planned     ? "planned for "
                         : e.startable ? "not before "
                                       : "once it may start, not before ") +
                 (e.start <= now ? "now" : moment(e.start, now)) +
                 (e.nodes.empty() ? "" : ", on " + e.nodes) + ". " + estimates_text(e.estimates));
  } else {
    put_line(out, "Start", "nobody knows when.");
  }
  for (const auto& w : e.what_if)
    put_line(out, &w == e.what_if.data() ? "Sooner" : "",
             w.change + ": " + (w.now ? "now" : moment(w.start, now)));
  if (e.startable && e.what_if.empty() && e.start.is_set() && e.start > now)
    put_line(out, "Sooner", "no small change of the request would help.");
}

}  // namespace

std::string why_text(const wire::WhyReply& reply) {
  std::string out;
  if (reply.table.rows.empty()) return out;
  const JobView job{&reply.table, &reply.table.rows[0], reply.now};
  const auto& row = *job.row;
  out += "Job " + id_of(job) + " " + quote(job.text(row.name)) + " of " + std::string(job.text(row.user));
  if (!reply.explanation) {
    if (row.state == JobState::kPending) {
      out += " has just come; the scheduler has not looked at it yet.\n";
    } else {
      out += " does not wait: it is " + std::string(name(row.state));
      if (!job.text(row.node_list).empty()) out += " on " + std::string(job.text(row.node_list));
      out += ".\n";
    }
    return out;
  }
  const Explanation& e = *reply.explanation;
  out += " waits: " + std::string(name(e.reason == Reason::kNone ? Reason::kPriority : e.reason)) +
         (e.detail.empty() ? "" : " (" + e.detail + ")") + ".\n";
  put_line(out, "Asks for", e.asks);
  if (row.hold != Hold::kNone)
    put_line(out, "Held by",
             std::string(row.hold == Hold::kUser ? "its owner" : "an administrator") +
                 "; bai-control release " + std::to_string(row.id) + " lets it go");
  if (row.dependency) put_line(out, "Depends on", job.text(row.dependency));
  if (row.begin.is_set() && row.begin > reply.now) put_line(out, "Not before", moment(row.begin, reply.now));
  put_waiting(out, e, reply.now);
  return out;
}

std::string why_json(const wire::WhyReply& reply) {
  std::string out;
  JsonWriter json(out);
  const auto shortage = [&](std::string_view key, const std::vector<Shortage>& list) {
    json.key(key).begin_array();
    for (const auto& s : list)
      json.begin_object().field("what", s.what).key("nodes").integer(s.nodes).end_object();
    json.end_array();
  };
  json.begin_object().time("now_at", reply.now).key("job");
  const JobView job{&reply.table, &reply.table.rows.at(0), reply.now};
  put_job_json(json, job);
  if (!reply.explanation) {
    json.key("explanation").null().end_object();
    return out + "\n";
  }
  const auto& e = *reply.explanation;
  json.key("explanation").begin_object();
  json.field("asks", e.asks).field("reason", name(e.reason)).field("detail", e.detail);
  json.key("startable").boolean(e.startable);
  json.key("places").begin_array();
  for (const auto& p : e.places) {
    json.line().begin_object().field("partition", p.partition.view());
    json.field("never", p.never == Reason::kNone ? "" : name(p.never)).field("never_detail", p.never_detail);
    json.key("nodes_needed").integer(p.needed).key("nodes").integer(p.nodes);
    json.key("unfit").integer(p.unfit).key("down").integer(p.down).key("busy").integer(p.busy);
    json.key("reserved").integer(p.reserved).key("free").integer(p.free);
    json.key("free_tasks").integer(static_cast<std::int64_t>(p.free_tasks));
    shortage("unfit_for", p.unfit_for);
    shortage("busy_for", p.busy_for);
    json.end_object();
  }
  json.end_array();
  json.key("ahead").integer(static_cast<std::int64_t>(e.ahead)).key("first_ahead").begin_array();
  for (auto id : e.first_ahead) json.integer(id);
  json.end_array();
  json.key("waits_for").integer(e.blocking).key("blockers").begin_array();
  for (const auto& b : e.blockers)
    json.line()
        .begin_object()
        .key("job_id")
        .integer(b.job)
        .time("end_at", b.end)
        .field("nodes", b.nodes)
        .end_object();
  json.end_array();
  json.key("planned").boolean(e.planned).time("start_at", e.start).field("nodes", e.nodes);
  json.key("what_if").begin_array();
  for (const auto& w : e.what_if)
    json.line()
        .begin_object()
        .field("change", w.change)
        .key("now")
        .boolean(w.now)
        .time("start_at", w.start)
        .end_object();
  json.end_array();
  json.key("estimates").begin_object().key("count").integer(e.estimates.count);
  json.key("median_late_s").integer(e.estimates.median_s).key("low_late_s").integer(e.estimates.low_s);
  json.key("high_late_s").integer(e.estimates.high_s).end_object();
  json.end_object().end_object();
  return out + "\n";
}

OptionTable why_table(const Dialect& dialect) {
  OptionTable table;
  table.program = dialect.program;
  table.synopsis = "[OPTION...] JOB";
  table.description = "Show why a job waits, what it waits for, and what would let it start sooner.";
  add_common_options(table, 'h', 'V');
  return table;
}

int run_why(const Dialect& dialect, int argc, const char* const* argv) {
  Reporter reporter(dialect);
  const OptionTable table = why_table(dialect);
  int status = 0;
  const auto begun = begin(table, argc, argv, reporter, status);
  if (!begun) return status;
  const Parsed& parsed = *begun;
  if (parsed.rest.size() != 1)
    return reporter.mistyped({"bad_option", parsed.rest.empty() ? "which job?" : "one job at a time", "",
                              "write bai-why 7, or bai-why 7_3 for a task of an array"});
  auto refs = parse_job_refs(parsed.rest[0]);
  if (!refs.ok()) return reporter.mistyped(refs.error());
  if (refs->size() != 1)
    return reporter.mistyped(
        {"bad_option", "one job or task at a time", parsed.rest[0], "write bai-why 7_3"});
  auto session = Session::open(parsed, reporter);
  if (!session.ok()) return reporter.refused(session.error());
  auto reply = session->get<wire::WhyReply>(wire::WhyRequest{refs->front()});
  if (!reply.ok()) return reporter.refused(reply.error());
  Output out;
  out.put(reporter.json() ? why_json(*reply) : why_text(*reply));
  out.flush();
  return out.failed() ? kRefused : 0;
}

}  // namespace bai::cli
