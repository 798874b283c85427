#include "store/rows.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "store/record.h"

namespace bai::store {

namespace {

// What happens to one key, in the order of the batch.
template <class Key, class Value>
struct Latest {
  struct Entry {
    Key key;
    std::size_t order;
    Value value;
  };
  std::vector<Entry> entries;

  void add(Key key, Value value) { entries.push_back({std::move(key), entries.size(), std::move(value)}); }
  // f(key, value) for the last entry of each key, by key.
  template <class F>
  void each(F f) {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.key, a.order) < std::tie(b.key, b.order);
    });
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (i + 1 == entries.size() || entries[i].key != entries[i + 1].key)
        f(entries[i].key, entries[i].value);
  }
};

struct Sorter {
  Latest<std::int64_t, const Job*> jobs;  // nullptr: gone
  Latest<std::int64_t, const LaunchRecord*> launches;
  Latest<Hash256, const ContentPut*> contents;
  Latest<std::pair<std::int64_t, std::int64_t>, const JobEvent*> events;
  Latest<RequestId, const RequestPut*> requests;
  Latest<std::string_view, const NodePut*> nodes;
  Latest<std::string_view, const SettingPut*> settings;
  Latest<std::pair<std::int64_t, std::int64_t>, const JobEnded*> history;

  Latest<std::array<std::int64_t, 3>, const Step*> steps;

  void operator()(const StepPut& put) {
    steps.add({put.step->job, put.step->attempt, put.step->id}, put.step.get());
  }
  void operator()(const JobPut& put) { jobs.add(put.job->id, put.job.get()); }
  void operator()(const JobForget& forget) {
    jobs.add(forget.job, nullptr);
    if (forget.with_launch) launches.add(forget.job, nullptr);
  }
  void operator()(const JobEnded& ended) { history.add({ended.job->id, ended.job->attempt}, &ended); }
  void operator()(const LaunchPut& put) { launches.add(put.job, &put.launch); }
  void operator()(const ContentPut& put) { contents.add(put.hash, &put); }
  void operator()(const EventPut& put) {
    events.add({put.event.job, static_cast<std::int64_t>(put.event.lsn)}, &put.event);
  }
  void operator()(const RequestPut& put) { requests.add(put.id, &put); }
  void operator()(const NodePut& put) { nodes.add(put.name.view(), &put); }
  void operator()(const SettingPut& put) { settings.add(put.key, &put); }
};

// Bytes of the UTF-8 sequence at the start of `text`, 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const auto b = at(0);
  if (b < 0x80) return b == 0 ? 0 : 1;
  const std::size_t n = b >= 0xc2 && b < 0xe0 ? 2 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xf0 && b < 0xf5 ? 4 : 0;
  if (n == 0 || text.size() < n) return 0;
  for (std::size_t i = 1; i < n; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  const auto second = at(1);
  if ((b == 0xe0 && second < 0xa0) || (b == 0xed && second > 0x9f)) return 0;  // overlong, surrogates
  if ((b == 0xf0 && second < 0x90) || (b == 0xf4 && second > 0x8f)) return 0;  // overlong, beyond U+10FFFF
  return n;
}

}  // namespace

std::string plain_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto n = utf8_length(text);
    if (n == 0) {
      out += '?';
    } else {
      out += text.substr(0, n);
    }
    text.remove_prefix(std::max<std::size_t>(n, 1));
  }
  return out;
}

HistoryValues history_values(const JobEnded& ended) {
  static const JobSpec kNoSpec;
  static const Usage kNoUsage;
  static const Allocation kNoAllocation;
  const Job& job = *ended.job;
  const JobSpec& spec = job.spec ? *job.spec : kNoSpec;
  const Usage& usage = job.usage ? *job.usage : kNoUsage;
  const Allocation& held = job.allocation ? *job.allocation : kNoAllocation;
  const auto number = [](auto n) { return static_cast<std::int64_t>(n); };
  HistoryValues row;
  row.numbers = {number(job.id),           number(job.attempt),
                 number(job.array_id),     job.array_task == kNoTask ? -1 : number(job.array_task),
                 number(spec.uid),         number(spec.gid),
                 number(job.exit.code),    number(job.exit.signal),
                 job.submitted.us,         job.eligible.us,
                 job.started.us,           job.ended.us,
                 number(held.cpus()),      number(held.nodes.size()),
                 number(held.mem_mib()),   number(spec.time_limit),
                 number(job.priority),     number(job.restarts),
                 number(usage.user_us),    number(usage.system_us),
                 number(usage.max_rss_kib)};
  const auto partition = held.partition.empty() ? spec.partition.view() : held.partition.view();
  row.texts = {
      plain_text(spec.name),         plain_text(spec.user),
      plain_text(spec.group),        plain_text(spec.account),
      plain_text(partition),         std::string(name(job.state)),
      std::string(name(job.reason)), plain_text(held.nodes.empty() ? std::string() : held.hostlist()),
      plain_text(ended.batch_host),  plain_text(spec.workdir)};
  row.record = job_record(job);
  return row;
}

Rows rows_of(const Batch& batch) {
  Sorter sorter;
  for (const auto& change : batch.changes) std::visit(sorter, change);
  Rows rows;
  rows.jobs.reserve(sorter.jobs.entries.size());
  sorter.jobs.each([&](std::int64_t id, const Job* job) {
    if (job != nullptr) {
      rows.jobs.push_back({id, job_record(*job)});
    } else {
      rows.jobs_gone.push_back(id);
    }
  });
  sorter.launches.each([&](std::int64_t job, const LaunchRecord* launch) {
    if (launch != nullptr) {
      rows.launches.push_back({job, launch->script, launch->environment, to_record(*launch)});
    } else {
      rows.launches_gone.push_back(job);
    }
  });
  sorter.contents.each([&](const Hash256&, const ContentPut* put) { rows.contents.push_back(put); });
  sorter.events.each([&](const auto& key, const JobEvent* event) {
    rows.events.push_back({key.first, key.second, to_record(*event)});
  });
  sorter.steps.each([&](const auto& key, const Step* step) {
    rows.steps.push_back({key[0], key[1], key[2], to_record(*step)});
  });
  sorter.requests.each([&](const RequestId&, const RequestPut* put) { rows.requests.push_back(put); });
  sorter.nodes.each([&](std::string_view name, const NodePut* put) {
    rows.nodes.push_back({std::string(name), to_record(put->decision)});
  });
  sorter.settings.each([&](std::string_view key, const SettingPut* put) {
    if (put->text.empty()) {
      rows.settings_gone.emplace_back(key);
    } else {
      rows.settings.push_back({put->key, put->text});
    }
  });
  rows.history.reserve(sorter.history.entries.size());
  sorter.history.each(
      [&](const auto&, const JobEnded* ended) { rows.history.push_back(history_values(*ended)); });
  return rows;
}

}  // namespace bai::store
