#include "cli/step_list.h"

#include <algorithm>
#include <unordered_map>

#include "base/text.h"
#include "base/units.h"
#include "cli/show.h"
#include "model/devices.h"

namespace bai::cli {
namespace {

constexpr std::size_t kJobsAtOnce = 1000;

Result<std::deque<Step>> ask(Session& session, std::vector<JobId> jobs) {
  std::deque<Step> out;
  auto reply = session.get<wire::StepsReply>(wire::StepsRequest{std::move(jobs)});
  for (;;) {
    if (!reply.ok()) return reply.error();
    std::move(reply->steps.begin(), reply->steps.end(), std::back_inserter(out));
    if (!reply->more) return out;
    const auto until = wire::Client::Clock::now() +
                       std::chrono::seconds(std::max<Seconds>(1, session.config().message_timeout));
    auto next = session.next(until);
    if (!next.ok()) return next.error();
    if (!*next)
      return Error{"timeout", "the controller stopped in the middle of its answer", session.endpoint(),
                   "try again"};
    reply = Session::as<wire::StepsReply>(std::move(**next));
  }
}

// What sacct and squeue call a step that is being made or ended, or stands still with its job.
JobState shown_state(const StepView& view) {
  const Step& step = *view.step;
  if (view.job.row->state == JobState::kSuspended && !is_finished(step.state)) return JobState::kSuspended;
  return step.state == JobState::kConfiguring ? JobState::kRunning : step.state;
}

std::uint64_t memory_of(const Step& step) {
  std::uint64_t out = 0;
  for (const auto& share : step.nodes) out += share.mem_mib;
  return out;
}

std::string title(std::string_view word) {
  std::string out(word);
  if (!out.empty()) out[0] = static_cast<char>(out[0] - 'a' + 'A');
  return out;
}

Seconds limit_of(const StepView& view) {
  return view.step->spec.time_limit > 0 ? view.step->spec.time_limit : kUnlimited;
}

// clang-format off
#define BAI_FIELD(letter, name, title, ...) Field<StepView>{letter, name, title, [](std::string& out, const StepView& v) { __VA_ARGS__; }}
const Field<StepView> kFields[] = {
    BAI_FIELD('A', "numtasks", "TASKS", out += std::to_string(v.step->tasks())),
    BAI_FIELD(0, "arrayjobid", "ARRAY_JOB_ID", out += std::to_string(v.job.row->array_id)),
    BAI_FIELD(0, "arraytaskid", "ARRAY_TASK_ID", out += v.job.row->array_task == kNoTask ? "N/A" : std::to_string(v.job.row->array_task)),
    BAI_FIELD('b', "tres-per-job", "TRES_PER_JOB", const auto text = format_device_requests(v.step->spec.devices, DevicePer::kJob); out += text.empty() ? "(null)" : text),
    BAI_FIELD(0, "jobid", "JOB_ID", out += std::to_string(v.step->job)),
    BAI_FIELD('i', "stepid", "STEPID", put_step_id(out, v)),
    BAI_FIELD('j', "stepname", "NAME", out += v.step->spec.name.view()),
    BAI_FIELD('l', "timelimit", "TIME_LIMIT", out += format_duration(limit_of(v))),
    BAI_FIELD('M', "timeused", "TIME", out += format_duration(run_time(v))),
    BAI_FIELD('N', "nodes", "NODELIST", out += v.step->hostlist()),
    BAI_FIELD('P', "partition", "PARTITION", out += v.job.text(v.job.row->partition)),
    BAI_FIELD('S', "starttime", "START_TIME", out += format_timestamp(v.step->started)),
    BAI_FIELD(0, "state", "STATE", out += name(shown_state(v))),
    BAI_FIELD('u', "username", "USER", out += v.job.text(v.job.row->user)),
    BAI_FIELD('U', "userid", "UID", out += std::to_string(v.step->uid)),
};
#undef BAI_FIELD
// clang-format on

int order(std::int64_t a, std::int64_t b) { return a < b ? -1 : a > b; }

using Compare = int (*)(const StepView&, const StepView&);

Compare comparison(char letter) {
#define BAI_BY(...) return [](const StepView& a, const StepView& b) -> int { return __VA_ARGS__; }
  switch (letter) {
    case 'A':
      BAI_BY(order(a.step->tasks(), b.step->tasks()));
    case 'i':
      BAI_BY(order(a.step->job, b.step->job) ? order(a.step->job, b.step->job)
                                             : order(a.step->id, b.step->id));
    case 'j':
      BAI_BY(a.step->spec.name.view().compare(b.step->spec.name.view()));
    case 'l':
      BAI_BY(order(limit_of(a), limit_of(b)));
    case 'M':
      BAI_BY(order(run_time(a), run_time(b)));
    case 'N':
      BAI_BY(a.step->hostlist().compare(b.step->hostlist()));
    case 'P':
      BAI_BY(a.job.text(a.job.row->partition).compare(b.job.text(b.job.row->partition)));
    case 'S':
      BAI_BY(order(a.step->started.seconds(), b.step->started.seconds()));
    case 'u':
      BAI_BY(a.job.text(a.job.row->user).compare(b.job.text(b.job.row->user)));
    case 'U':
      BAI_BY(order(a.step->uid, b.step->uid));
    default:
      return nullptr;
  }
#undef BAI_BY
}

}  // namespace

std::optional<Step> batch_step(const JobView& job) {
  const auto& row = *job.row;
  if (row.no_batch || !row.started.is_set()) return std::nullopt;
  Step out;
  out.job = row.id;
  out.attempt = row.attempt;
  out.id = kBatchStep;
  out.spec.name = Istr("batch");
  out.suspended_us = row.suspended_us;
  // An even part of what the job has: how much its first node gives is not told.
  const std::uint32_t nodes = std::max(1u, row.nodes);
  StepShare share;
  share.node = Istr(job.text(row.batch_host));
  share.cpus = (row.cpus + nodes - 1) / nodes;
  share.mem_mib = row.mem_mib / nodes;
  share.ranks = {0};
  out.nodes.push_back(std::move(share));
  const bool ended_for_it = row.state == JobState::kTimeout || row.state == JobState::kDeadline;
  out.state = ended_for_it ? JobState::kCancelled : row.state;
  out.uid = row.uid;
  out.exit = row.exit;
  out.created = out.started = row.started;
  out.ended = row.ended;
  out.usage = row.usage;
  out.command = Istr(job.text(row.command));
  return out;
}

Result<StepList> fetch_steps(Session& session, const std::vector<JobView>& jobs) {
  std::vector<JobId> ids;
  for (const JobView& job : jobs)
    if (job.row->started.is_set()) ids.push_back(job.row->id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::unordered_map<JobId, std::vector<Step>> found;
  for (std::size_t i = 0; i < ids.size(); i += kJobsAtOnce) {
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(i);
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), i + kJobsAtOnce));
    auto steps = ask(session, std::vector<JobId>(begin, end));
    if (!steps.ok()) return steps.error();
    for (auto& step : *steps) found[step.job].push_back(std::move(step));
  }
  StepList out;
  for (const JobView& job : jobs) {
    if (!job.row->started.is_set()) continue;
    if (auto batch = batch_step(job)) out.views.push_back({job, &out.steps.emplace_back(std::move(*batch))});
    if (auto of_job = found.find(job.row->id); of_job != found.end())
      for (const Step& step : of_job->second)
        if (step.attempt == job.row->attempt) out.views.push_back({job, &out.steps.emplace_back(step)});
  }
  return out;
}

void narrow_steps(std::vector<StepView>& steps, const std::vector<wire::JobRef>& refs) {
  std::erase_if(steps, [&](const StepView& view) {
    const auto& row = *view.job.row;
    bool named = false;
    for (const auto& ref : refs) {
      const bool of_job = ref.task == kNoTask ? ref.job == row.id || ref.job == row.array_id
                                              : ref.job == row.array_id && ref.task == row.array_task;
      if (!of_job) continue;
      if (ref.step == kNoStep || ref.step == view.step->id) return false;
      named = true;
    }
    return named;
  });
}

void put_step_id(std::string& out, const StepView& view, bool raw) {
  if (raw)
    out += std::to_string(view.step->job);
  else
    put_job_id(out, view.job);
  out += '.' + step_name(view.step->id);
}

Seconds run_time(const StepView& view) {
  const Step& step = *view.step;
  if (!step.started.is_set()) return 0;
  const auto& job = *view.job.row;
  const Time end = step.ended.is_set()                 ? step.ended
                   : job.state == JobState::kSuspended ? std::max(step.started, job.suspend_changed)
                                                       : view.job.now;
  return std::max<Seconds>(0, end.seconds() - step.started.seconds() - step.suspended_us / 1'000'000);
}

Seconds suspended_time(const StepView& view) {
  const auto& job = *view.job.row;
  const bool stands = job.state == JobState::kSuspended && !view.step->ended.is_set();
  return (view.step->suspended_us + (stands ? view.job.now.us - job.suspend_changed.us : 0)) / 1'000'000;
}

std::string tres_text(const Step& step) {
  std::string out = "cpu=" + std::to_string(step.cpus());
  if (const auto mib = memory_of(step)) out += ",mem=" + format_memory(mib);
  return out + ",node=" + std::to_string(step.nodes.size());
}

std::span<const Field<StepView>> step_fields() { return kFields; }

Status sort_steps(std::vector<StepView>& steps, std::string_view spec) {
  std::vector<std::pair<Compare, int>> keys;
  int sign = 1;
  for (char c : spec) {
    if (c == ',' || c == '#' || is_blank(c)) continue;
    if (c == '-' || c == '+') {
      sign = c == '-' ? -1 : 1;
      continue;
    }
    Compare compare = comparison(c);
    if (!compare)
      return Error{"bad_sort", "cannot sort steps by " + quote(std::string(1, c)), "--sort",
                   "letters of --format that can be compared, as in -S P,-M"};
    keys.emplace_back(compare, sign);
    sign = 1;
  }
  keys.emplace_back(comparison('i'), 1);
  std::stable_sort(steps.begin(), steps.end(), [&](const StepView& a, const StepView& b) {
    for (const auto& [compare, direction] : keys)
      if (const int c = compare(a, b); c != 0) return c * direction < 0;
    return false;
  });
  return {};
}

void show_step(std::string& out, const StepView& view, bool one_line) {
  const Step& step = *view.step;
  const bool batch = step.id == kBatchStep;
  std::string id;
  put_step_id(id, view);
  RecordWriter w(out, one_line);
  w.key("StepId", id)
      .key("UserId", step.uid)
      .time("StartTime", step.started)
      .key("TimeLimit", format_duration(limit_of(view)))
      .line();
  w.key("State", name(shown_state(view)))
      .key("Partition", view.job.text(view.job.row->partition))
      .key("NodeList", step.hostlist())
      .line();
  w.key("Nodes", step.nodes.size())
      .key("CPUs", batch ? 0 : step.cpus())
      .key("Tasks", step.tasks())
      .key("Name", step.spec.name.view())
      .key("Network", "(null)")
      .line();
  w.key("TRES", batch ? "(null)" : tres_text(step)).line();
  w.key("ResvPorts", "(null)").line();
  w.key("CPUFreqReq", "Default");
  if (!batch) w.key("Dist", title(name(step.spec.distribution)));
  w.line().key("SrunHost:Pid", "(null):0");
  w.end();
}

void put_step_json(JsonWriter& json, const StepView& view) {
  const Step& step = *view.step;
  auto number = [&](std::string_view key, std::uint64_t value) {
    json.field(key, static_cast<std::int64_t>(value));
  };
  std::string id;
  put_step_id(id, view);
  json.begin_object();
  number("job_id", step.job);
  json.field("step_id", step_name(step.id)).field("display_id", id).field("name", step.spec.name.view());
  json.field("state", name(shown_state(view)));
  number("attempt", step.attempt);
  number("exit_code", step.exit.code);
  number("signal", step.exit.signal);
  json.time("started_at", step.started).time("ended_at", step.ended);
  json.duration("time_limit_s", limit_of(view)).field("run_time_s", run_time(view));
  if (const auto suspended = suspended_time(view)) json.field("suspended_s", suspended);
  number("tasks", step.tasks());
  number("nodes", step.nodes.size());
  number("cpus", step.cpus());
  if (const auto mib = memory_of(step)) number("mem_mib", mib);
  json.field("node_list", step.hostlist()).field("distribution", name(step.spec.distribution));
  if (!step.command.empty()) json.field("command", step.command.view());
  if (!step.detail.empty()) json.field("detail", step.detail.view());
  if (step.ended.is_set()) {
    if (step.ended_by_uid != kNoUid) number("ended_by_uid", step.ended_by_uid);
    number("user_cpu_us", step.usage.user_us);
    number("system_cpu_us", step.usage.system_us);
    number("max_rss_kib", step.usage.max_rss_kib);
    number("sum_rss_kib", step.usage.sum_rss_kib);
    number("read_bytes", step.usage.read_bytes);
    number("write_bytes", step.usage.write_bytes);
    number("max_read_bytes", step.usage.max_read_bytes);
    number("max_write_bytes", step.usage.max_write_bytes);
  }
  json.end_object();
}

}  // namespace bai::cli
