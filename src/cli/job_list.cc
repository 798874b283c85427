#include "cli/job_list.h"

#include <algorithm>

#include "base/hostlist.h"
#include "base/text.h"
#include "cli/values.h"

namespace bai::cli {

void JobList::add(wire::JobsReply reply) {
  now = reply.now;
  stale |= reply.stale;
  for (auto& user : reply.unknown_users) unknown_users.push_back(std::move(user));
  const wire::JobTable& table = tables.emplace_back(std::move(reply.table));
  jobs.reserve(jobs.size() + table.rows.size());
  for (const auto& row : table.rows) jobs.push_back({&table, &row, now, kNoTask});
}

Result<JobList> fetch_jobs(Session& session, wire::RequestBody request) {
  JobList out;
  auto reply = session.get<wire::JobsReply>(std::move(request));
  for (;;) {
    if (!reply.ok()) return reply.error();
    const bool more = reply->more;
    out.add(std::move(*reply));
    if (!more) return out;
    const auto until = wire::Client::Clock::now() +
                       std::chrono::seconds(std::max<Seconds>(1, session.config().message_timeout));
    auto next = session.next(until);
    if (!next.ok()) return next.error();
    if (!*next)
      return Error{"timeout", "the controller stopped in the middle of its answer", session.endpoint(),
                   "try again"};
    reply = Session::as<wire::JobsReply>(std::move(**next));
  }
}

Result<wire::JobFilter> make_filter(const Parsed& parsed, StepRefs steps) {
  wire::JobFilter out;
  auto placed = [](Error error, const Given& given) {
    error.place = given.place;
    return error;
  };
  auto list = [&](const char* option, std::vector<std::string>& into) {
    if (const Given* given = parsed.find(option))
      for (auto word : split_list(given->value)) into.emplace_back(word);
  };
  if (const Given* given = parsed.find("jobs")) {
    auto refs = parse_job_refs(given->value, steps);
    if (!refs.ok()) return placed(refs.error(), *given);
    out.jobs = std::move(*refs);
  }
  list("user", out.users);
  list("partition", out.partitions);
  list("name", out.names);
  list("account", out.accounts);
  if (const Given* given = parsed.find("nodelist")) {
    auto names = expand_hostlist(given->value);
    if (!names.ok()) return placed(names.error(), *given);
    out.nodes = std::move(*names);
  }
  if (const Given* given = parsed.find("states")) {
    auto states = parse_job_states(given->value);
    if (!states.ok()) return placed(states.error(), *given);
    out.states = std::move(*states);
  }
  out.mine = parsed.has("me");
  return out;
}

void expand_arrays(std::vector<JobView>& jobs) {
  std::vector<JobView> out;
  out.reserve(jobs.size());
  for (const JobView& job : jobs) {
    auto tasks =
        job.is_head() ? IdSet::parse(job.text(job.row->array_tasks), kNoTask - 1) : Result<IdSet>(IdSet());
    if (!job.is_head() || !tasks.ok() || tasks->empty()) {
      out.push_back(job);
      continue;
    }
    tasks->for_each([&](std::uint32_t task) {
      out.push_back(job);
      out.back().task = task;
    });
  }
  jobs = std::move(out);
}

namespace {

template <class T>
int order(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

// The array that it belongs to, else itself.
JobId family(const JobView& job) { return job.row->array_id ? job.row->array_id : job.row->id; }
std::uint32_t task_of(const JobView& job) { return job.task != kNoTask ? job.task : job.row->array_task; }

using Compare = int (*)(const JobView&, const JobView&);

int by_text(const JobView& a, const JobView& b, wire::TextId wire::JobRow::*id) {
  if (a.table == b.table && a.row->*id == b.row->*id) return 0;
  return a.text(a.row->*id).compare(b.text(b.row->*id));
}

// States in the order of Slurm's numbers.
int state_rank(JobState state) {
  switch (state) {
    case JobState::kPending:
      return 0;
    case JobState::kRunning:
    case JobState::kConfiguring:
      return 1;
    case JobState::kSuspended:
      return 2;
    case JobState::kCompleting:
      return 3;
    default:
      return 3 + static_cast<int>(state);
  }
}

Compare comparison(char letter) {
  using Row = wire::JobRow;
#define BAI_BY(...) return [](const JobView& a, const JobView& b) -> int { return __VA_ARGS__; }
#define BAI_NUMBER(member) BAI_BY(order(a.row->member, b.row->member))
#define BAI_TEXT(member) BAI_BY(by_text(a, b, &Row::member))
  switch (letter) {
    case 'a':
      BAI_TEXT(account);
    case 'A':
      BAI_NUMBER(id);
    case 'B':
      BAI_TEXT(batch_host);
    case 'c':
      BAI_NUMBER(cpus_per_task);
    case 'C':
      BAI_NUMBER(cpus);
    case 'D':
      BAI_NUMBER(nodes);
    case 'e':
      BAI_BY(order(end_time(a), end_time(b)));
    case 'E':
      BAI_TEXT(dependency);
    case 'f':
      BAI_TEXT(constraint);
    case 'F':
    case 'i':
      BAI_BY(a.row->array_id || b.row->array_id
                 ? (order(a.row->array_id ? a.row->array_id : a.row->id,
                          b.row->array_id ? b.row->array_id : b.row->id) != 0
                        ? order(a.row->array_id ? a.row->array_id : a.row->id,
                                b.row->array_id ? b.row->array_id : b.row->id)
                        : order(a.task != kNoTask ? a.task : a.row->array_task,
                                b.task != kNoTask ? b.task : b.row->array_task))
                 : order(a.row->id, b.row->id));
    case 'g':
      BAI_TEXT(group);
    case 'G':
      BAI_NUMBER(gid);
    case 'j':
      BAI_TEXT(name);
    case 'K':
      BAI_NUMBER(array_task);
    case 'l':
      BAI_BY(order(static_cast<std::uint64_t>(a.row->time_limit),
                   static_cast<std::uint64_t>(b.row->time_limit)));
    case 'L':
      BAI_BY(order(static_cast<std::uint64_t>(
                       a.row->time_limit == kUnlimited ? kUnlimited : a.row->time_limit - run_time(a)),
                   static_cast<std::uint64_t>(
                       b.row->time_limit == kUnlimited ? kUnlimited : b.row->time_limit - run_time(b))));
    case 'm':
      BAI_BY(order(std::max(a.row->mem_per_node_mib, a.row->mem_per_cpu_mib),
                   std::max(b.row->mem_per_node_mib, b.row->mem_per_cpu_mib)));
    case 'M':
      BAI_BY(order(run_time(a), run_time(b)));
    case 'N':
    case 'R':
      BAI_TEXT(node_list);
    case 'o':
      BAI_TEXT(command);
    case 'p':
    case 'Q':
      // Of two jobs that may start, the earlier one goes first.
      BAI_BY(shown_priority(a) != shown_priority(b) || shown_priority(a) == 0
                 ? order(shown_priority(a), shown_priority(b))
                 : order(family(b), family(a)));
    case 'P':
      BAI_TEXT(partition);
    case 'q':
      BAI_TEXT(qos);
    case 'r':
      BAI_BY(name(a.row->reason).compare(name(b.row->reason)));
    case 'S':
      BAI_BY(start_time(a) != start_time(b) ? order(start_time(a).is_set() ? start_time(a) : kFarFuture,
                                                    start_time(b).is_set() ? start_time(b) : kFarFuture)
                                            : order(family(a), family(b)));
    case 't':
      BAI_BY(order(state_rank(a.row->state), state_rank(b.row->state)));
    case 'T':
      BAI_BY(order(state_rank(a.row->state), state_rank(b.row->state)));
    case 'u':
      BAI_TEXT(user);
    case 'U':
      BAI_NUMBER(uid);
    case 'V':
      BAI_NUMBER(submitted);
    case 'y':
      BAI_NUMBER(nice);
    case 'Z':
      BAI_TEXT(workdir);
    default:
      return nullptr;
  }
#undef BAI_BY
#undef BAI_NUMBER
#undef BAI_TEXT
}

}  // namespace

void narrow_arrays(std::vector<JobView>& jobs, const std::vector<wire::JobRef>& refs) {
  std::vector<JobView> out;
  out.reserve(jobs.size());
  for (const JobView& job : jobs) {
    std::vector<std::uint32_t> named;
    bool whole = !job.is_head();
    for (const auto& ref : refs)
      if (!whole && (ref.job == job.row->array_id || ref.job == job.row->id)) {
        whole = ref.task == kNoTask;
        named.push_back(ref.task);
      }
    auto tasks = whole || named.empty() ? Result<IdSet>(IdSet())
                                        : IdSet::parse(job.text(job.row->array_tasks), kNoTask - 1);
    if (whole || named.empty() || !tasks.ok()) {
      out.push_back(job);
      continue;
    }
    for (std::uint32_t task : named)
      if (tasks->contains(task)) {
        out.push_back(job);
        out.back().task = task;
      }
  }
  jobs = std::move(out);
}

Status sort_jobs(std::vector<JobView>& jobs, std::string_view spec) {
  struct Key {
    Compare compare;
    int sign;
  };
  std::vector<Key> keys;
  int sign = 1;
  for (char c : spec) {
    if (c == ',' || c == '#' || is_blank(c)) continue;
    if (c == '-' || c == '+') {
      sign = c == '-' ? -1 : 1;
      continue;
    }
    Compare compare = comparison(c);
    if (!compare)
      return Error{"bad_sort", "cannot sort by " + quote(std::string(1, c)), "--sort",
                   "letters of --format that can be compared, as in -S P,-p"};
    keys.push_back({compare, sign});
    sign = 1;
  }
  std::stable_sort(jobs.begin(), jobs.end(), [&](const JobView& a, const JobView& b) {
    for (const Key& key : keys)
      if (const int c = key.compare(a, b); c != 0) return c * key.sign < 0;
    // As squeue has it: an array's tasks in order, else last started, then last submitted.
    if (family(a) == family(b)) return task_of(a) < task_of(b);
    const auto begun_a = start_time(a).seconds(), begun_b = start_time(b).seconds();
    return begun_a != begun_b ? begun_a > begun_b : a.row->id > b.row->id;
  });
  return {};
}

}  // namespace bai::cli
