// Why a job waits. Asked by people, so it looks at all nodes and jobs once, and changes nothing that decides: planned starts of
// the job itself are lifted while its alternatives are tried, and put back.
#include <algorithm>

#include "base/hostlist.h"
#include "base/units.h"
#include "sokovan/impl.h"

namespace bai::sokovan {
namespace {

constexpr std::size_t kShown = 5;        // of jobs in front, of blockers
constexpr std::size_t kPartitions = 32;  // that are tried instead
constexpr Seconds kMinute = 60;

Time end_of(Time from, Seconds limit) { return limit == kUnlimited ? kFarFuture : from + limit; }

void count(std::vector<Shortage>& shortages, std::string what) {
  auto it =
      std::find_if(shortages.begin(), shortages.end(), [&](const Shortage& s) { return s.what == what; });
  if (it == shortages.end()) it = shortages.insert(shortages.end(), {std::move(what), 0});
  ++it->nodes;
}

// The first thing that `have` lacks of the wish.
std::string lacking(const Wish& wish, const Amounts& have) {
  if (have.cpus() < wish.least.cpus()) return "CPUs";
  if (have.mem() < wish.least.mem()) return "memory";
  if (have.whole() < wish.least.whole() || have.share() < wish.least.share()) return "GPUs";
  return {};
}

// The largest value below `from` that is good, where each smaller one is; 0: none.
template <class Good>
std::uint64_t largest_below(std::uint64_t from, Good&& good) {
  if (from <= 1 || !good(std::uint64_t{1})) return 0;
  std::uint64_t low = 1, high = from;
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    (good(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace

// What explain() works with, for one job.
class Scheduler::Impl::Explainer {
 public:
  Explainer(Impl& impl, const Entry& entry, Time now)
      : impl_(impl),
        entry_(entry),
        job_(*entry.job),
        now_(now),
        class_(impl.make_class(job_, entry.any_switches)) {
    impl_.refresh(class_);
    for (auto& plan : impl_.plans)
      if (plan.booking->job == job_.id) own_.push_back(&plan);
  }

  Explanation run() {
    out_.startable = entry_.kind == Kind::kQueued || entry_.kind == Kind::kInFlight;
    out_.estimates = impl_.estimates.record();
    out_.asks = asks(*job_.spec);
    say_reason();
    lift();
    for (const auto& option : class_.options)
      if (!option.fallback && option.alternative == 0) out_.places.push_back(place(option));
    count_ahead();
    if (!own_.empty()) {
      const auto& booking = *own_.front()->booking;
      set_start(booking.from, true);
      find_blockers(booking.parts, booking.from);
    }
    if (own_.empty()) estimate();
    if (out_.startable) try_changes();
    restore();
    return std::move(out_);
  }

 private:
  static std::string asks(const JobSpec& spec) {
    const auto& r = spec.request;
    std::string out;
    const auto say = [&](const char* option, const std::string& value) {
      if (!out.empty()) out += ' ';
      out += option;
      if (!value.empty()) out += "=" + value;
    };
    const auto number = [&](const char* option, std::uint64_t n) {
      if (n != 0) say(option, std::to_string(n));
    };
    const auto memory = [&](const char* option, std::uint64_t mib) {
      if (mib != 0) say(option, mib == kAllMemory ? "0" : format_memory(mib));
    };
    const auto text = [&](const char* option, const Istr& value) {
      if (!value.empty()) say(option, value.str());
    };
    text("--partition", spec.partition);
    if (spec.time_limit != 0) say("--time", format_duration(spec.time_limit));
    say("--nodes",
        std::to_string(r.min_nodes) + (r.max_nodes > r.min_nodes ? "-" + std::to_string(r.max_nodes) : ""));
    number("--ntasks", r.tasks);
    number("--cpus-per-task", r.cpus_per_task);
    number("--ntasks-per-node", r.tasks_per_node);
    memory("--mem", r.mem_per_node_mib);
    memory("--mem-per-cpu", r.mem_per_cpu_mib);
    const auto& rare = r.extras();
    for (const auto& device : rare.devices) out += " " + option_of(device);
    number("--cpus-per-gpu", rare.cpus_per_gpu);
    memory("--mem-per-gpu", rare.mem_per_gpu_mib);
    number("--mincpus", rare.min_cpus_per_node);
    number("--switches", rare.switches);
    if (rare.contiguous) say("--contiguous", "");
    if (rare.spread) say("--spread-job", "");
    if (r.exclusive) say("--exclusive", r.exclusive_user ? "user" : "");
    text("--nodelist", r.nodes_wanted);
    text("--exclude", r.nodes_excluded);
    text("--constraint", r.constraint);
    text("--licenses", r.licenses);
    return out;
  }

  // As bai-queue says it.
  void say_reason() {
    out_.reason = entry_.reported != Reason::kNone ? entry_.reported : job_.reason;
    out_.detail = job_.detail.str();
    if (entry_.kind != Kind::kQueued || !own_.empty()) return;
    const auto& shared = *impl_.classes[entry_.job_class];
    if (shared.first != job_.id) out_.detail = shared.rest_detail;
  }

  PlaceReport place(const Option& option) {
    PlaceReport report;
    report.partition = option.partition->name;
    report.never = option.reason;
    report.never_detail = option.detail;
    report.needed = option.wish.min_nodes;
    report.tasks = option.wish.tasks;
    const auto& arena = impl_.nodes.arena_at(option.arena);
    const Time end = end_of(now_, impl_.expected(option));
    for (std::uint32_t p = 0; p < arena.size(); ++p) {
      const auto& slot = impl_.nodes[arena.node(p)];
      if (!slot.exists) continue;
      ++report.nodes;
      if (!option.allows(p)) {
        ++report.unfit;
        count(report.unfit_for, "features or leave");
      } else if (auto what = lacking(option.wish, slot.total); !what.empty()) {
        ++report.unfit;
        count(report.unfit_for, std::move(what));
      } else if (!slot.usable) {
        ++report.down;
      } else if (const auto tasks = impl_.finder.capacity_at(option, p, now_, end); tasks != 0) {
        ++report.free;
        report.free_tasks += std::min<std::uint64_t>(tasks, option.wish.tasks);
      } else if (slot.plans && impl_.finder.capacity_at(option, p, now_, now_ + 1) != 0) {
        ++report.reserved;
      } else {
        ++report.busy;
        auto busy = lacking(option.wish, arena.free(0).at(p));
        count(report.busy_for, busy.empty() ? "a fitting share of what is free" : std::move(busy));
      }
    }
    return report;
  }

  void count_ahead() {
    const QueueKey own{job_.priority, job_.id, entry_.due.is_set() ? entry_.due : job_.submitted};
    const auto mine = impl_.queues_of(class_);
    std::vector<std::pair<Rank, JobId>> first;
    for (const auto& c : impl_.classes) {
      if (!c || c->queue.empty()) continue;
      impl_.refresh(*c);
      if (c->tier < class_.tier) continue;
      const auto theirs = impl_.queues_of(*c);
      if (std::none_of(theirs.begin(), theirs.end(),
                       [&](auto q) { return std::find(mine.begin(), mine.end(), q) != mine.end(); }))
        continue;
      std::size_t taken = 0;
      for (const auto& key : c->queue) {
        if (c->tier == class_.tier && !(key < own)) break;
        if (key.id == job_.id) continue;
        ++out_.ahead;
        if (taken++ < kShown) first.push_back({Rank{c->tier, 0, 0, key}, key.id});
      }
    }
    std::sort(first.begin(), first.end());
    for (std::size_t i = 0; i < std::min(kShown, first.size()); ++i)
      out_.first_ahead.push_back(first[i].second);
  }

  void set_start(Time at, bool planned) {
    if (at >= kUnknownEnd) return;
    out_.start = at;
    out_.planned = planned;
  }

  // The running jobs on those nodes that end before `at`.
  template <class Parts>
  void find_blockers(const Parts& parts, Time at) {
    struct Found {
      const Booking* booking;
      std::vector<std::string> nodes;
    };
    std::map<JobId, Found> found;
    std::vector<std::string> all;
    for (const auto& part : parts) {
      const auto& slot = impl_.nodes[part.node];
      all.push_back(slot.name.str());
      for (const auto& seat : slot.seats) {
        const auto& b = *seat.booking;
        if (b.kind == Booking::kPlanned || b.job == job_.id || b.to > at || at <= now_) continue;
        auto& entry = found.try_emplace(b.job, Found{&b, {}}).first->second;
        entry.nodes.push_back(slot.name.str());
      }
    }
    out_.nodes = compress_hostlist_sorted(std::move(all));
    out_.blocking = static_cast<std::uint32_t>(found.size());
    std::vector<std::pair<JobId, Found*>> last;
    for (auto& [id, entry] : found) last.push_back({id, &entry});
    std::stable_sort(last.begin(), last.end(), [](const auto& a, const auto& b) {
      return a.second->booking->to > b.second->booking->to;
    });
    for (std::size_t i = 0; i < std::min(kShown, last.size()); ++i)
      out_.blockers.push_back(
          {last[i].first, last[i].second->booking->to < kUnknownEnd ? last[i].second->booking->to : Time{},
           compress_hostlist_sorted(std::move(last[i].second->nodes))});
  }

  void lift() {
    for (auto* plan : own_) {
      impl_.nodes.remove(*plan->booking);
      impl_.licenses.remove(*plan->booking);
    }
  }
  void restore() {
    for (auto* plan : own_) {
      impl_.nodes.add(*plan->booking);
      impl_.licenses.add(*plan->booking);
    }
  }

  // A partition whose first job stops all behind it.
  bool stopped(const Option& option) const {
    const auto& q = impl_.queues[option.queue];
    return q.blocked && q.rules.nothing_passes && q.blocker.key.id != job_.id;
  }

  bool starts_now(JobClass& c) {
    impl_.refresh(c);
    for (const auto& option : c.options) {
      if (option.reason != Reason::kNone || stopped(option)) continue;
      const Time end = end_of(now_, impl_.expected(option));
      if (impl_.licenses.fits(option.licenses, now_, end) &&
          !impl_.finder.find_now(option, now_, end).empty())
        return true;
    }
    return false;
  }

  // The earliest that what runs and what is planned allow; 0: unknown.
  Time earliest(JobClass& c, std::vector<Pick>* picks = nullptr) {
    impl_.refresh(c);
    Time best;
    for (auto& option : c.options) {
      Planned planned;
      if (option.reason != Reason::kNone || stopped(option) || !impl_.is_up(option) ||
          !impl_.find_plan(option, now_, planned) || planned.at >= kUnknownEnd)
        continue;
      if (best.is_set() && best <= planned.at) continue;
      best = planned.at;
      if (picks) *picks = std::move(planned.picks);
    }
    return best;
  }

  void estimate() {
    std::vector<Pick> picks;
    const Time at = earliest(class_, &picks);
    if (!at.is_set()) return;
    set_start(at, false);
    find_blockers(picks, at);
  }

  template <class Change>
  JobClass changed(Change&& change) const {
    Job copy = job_;
    auto spec = std::make_shared<JobSpec>(*job_.spec);
    change(*spec);
    copy.spec = std::move(spec);
    return impl_.make_class(copy, entry_.any_switches);
  }

  void add(std::string change, bool now, Time start) {
    out_.what_if.push_back({std::move(change), start, now});
  }

  // As little less as possible so that it starts now, or else half of it, if that is sooner.
  template <class Set, class Show>
  void try_less(std::uint64_t asked, Set&& set, Show&& show) {
    auto with = [&](std::uint64_t value) { return changed([&](JobSpec& spec) { set(spec, value); }); };
    const auto most = largest_below(asked, [&](std::uint64_t value) {
      auto c = with(value);
      return starts_now(c);
    });
    if (most != 0) return add(show(most), true, now_);
    if (asked < 2) return;
    auto half = with(asked / 2);
    if (const Time at = earliest(half); sooner(at)) add(show(asked / 2), false, at);
  }

  template <class Change>
  void try_change(std::string text, Change&& change) {
    auto c = changed(change);
    if (starts_now(c)) return add(std::move(text), true, now_);
    if (const Time at = earliest(c); sooner(at)) add(std::move(text), false, at);
  }

  bool sooner(Time at) const {
    return at.is_set() && (!out_.start.is_set() || at.us + kMinute * 1'000'000 < out_.start.us);
  }

  void try_changes() {
    const auto& spec = *job_.spec;
    const auto& asked = spec.request;
    if (starts_now(class_)) return;  // its turn comes with the next pass
    const auto number = [](const char* option) {
      return [option](std::uint64_t n) { return option + std::to_string(n); };
    };
    Seconds limit = 0;
    for (const auto& option : class_.options)
      if (option.reason == Reason::kNone) limit = std::max(limit, option.limit);
    if (limit == kUnlimited) limit = 30 * 86400;
    try_less(
        static_cast<std::uint64_t>(limit / kMinute),
        [](JobSpec& s, std::uint64_t minutes) { s.time_limit = static_cast<Seconds>(minutes) * kMinute; },
        [](std::uint64_t minutes) {
          return "--time=" + format_duration(static_cast<Seconds>(minutes) * kMinute);
        });
    if (asked.min_nodes > 1) {
      const bool follow = asked.tasks == asked.min_nodes;
      try_less(
          asked.min_nodes,
          [follow](JobSpec& s, std::uint64_t n) {
            s.request.min_nodes = static_cast<std::uint32_t>(n);
            s.request.max_nodes = 0;
            if (follow) s.request.tasks = s.request.min_nodes;
          },
          number("--nodes="));
    }
    if (asked.tasks > asked.min_nodes)
      try_less(
          asked.tasks, [](JobSpec& s, std::uint64_t n) { s.request.tasks = static_cast<std::uint32_t>(n); },
          number("--ntasks="));
    try_less(
        asked.cpus_per_task,
        [](JobSpec& s, std::uint64_t n) { s.request.cpus_per_task = static_cast<std::uint32_t>(n); },
        number("--cpus-per-task="));
    const auto memory = [](const char* option) {
      return [option](std::uint64_t mib) { return option + format_memory(mib); };
    };
    if (asked.mem_per_node_mib != 0 && asked.mem_per_node_mib != kAllMemory)
      try_less(
          asked.mem_per_node_mib, [](JobSpec& s, std::uint64_t n) { s.request.mem_per_node_mib = n; },
          memory("--mem="));
    if (asked.mem_per_cpu_mib != 0 && asked.mem_per_cpu_mib != kAllMemory)
      try_less(
          asked.mem_per_cpu_mib, [](JobSpec& s, std::uint64_t n) { s.request.mem_per_cpu_mib = n; },
          memory("--mem-per-cpu="));
    try_devices(asked);
    try_without(asked);
    try_partitions(spec);
    std::stable_sort(out_.what_if.begin(), out_.what_if.end(), [](const WhatIf& a, const WhatIf& b) {
      return a.now != b.now ? a.now : a.start < b.start;
    });
  }

  void try_devices(const ResourceRequest& asked) {
    const auto& extras = asked.extras();
    for (std::size_t i = 0; i < extras.devices.size(); ++i) {
      const auto& device = extras.devices[i];
      const auto whole = static_cast<std::uint64_t>(kWholeDevice);
      const auto amount = static_cast<std::uint64_t>(device.amount);
      const std::uint64_t unit = amount > whole ? whole : 1;  // whole devices stay whole
      if (amount <= unit) continue;
      try_less(
          amount / unit,
          [&, i, unit](JobSpec& s, std::uint64_t n) {
            auto less = s.request.extras();
            less.devices[i].amount = static_cast<DeviceAmount>(n * unit);
            s.request.set_extras(std::move(less));
          },
          [&](std::uint64_t n) {
            DeviceRequest less = device;
            less.amount = static_cast<DeviceAmount>(n * unit);
            return option_of(less);
          });
    }
  }

  static std::string option_of(const DeviceRequest& device) {
    const std::string kind = device.kind.str(), type = device.type.str();
    const std::string amount = format_amount(device.amount);
    const std::string typed = (type.empty() ? "" : type + ":") + amount;
    if (kind != "gpu") return "--gres=" + kind + ":" + typed;
    switch (device.per) {
      case DevicePer::kNode:
        return "--gpus-per-node=" + typed;
      case DevicePer::kTask:
        return "--gpus-per-task=" + typed;
      case DevicePer::kSocket:
        return "--gpus-per-socket=" + typed;
      case DevicePer::kJob:
        break;
    }
    return "--gpus=" + typed;
  }

  void try_without(const ResourceRequest& asked) {
    if (asked.exclusive) try_change("without --exclusive", [](JobSpec& s) { s.request.exclusive = false; });
    if (!asked.constraint.empty())
      try_change("without --constraint", [](JobSpec& s) { s.request.constraint = Istr(); });
    if (!asked.nodes_wanted.empty())
      try_change("without --nodelist", [](JobSpec& s) { s.request.nodes_wanted = Istr(); });
    if (!asked.nodes_excluded.empty())
      try_change("without --exclude", [](JobSpec& s) { s.request.nodes_excluded = Istr(); });
    if (!asked.licenses.empty())
      try_change("without --licenses", [](JobSpec& s) { s.request.licenses = Istr(); });
    const auto& extras = asked.extras();
    const auto rare = [](JobSpec& s, auto&& change) {
      auto fewer = s.request.extras();
      change(fewer);
      s.request.set_extras(std::move(fewer));
    };
    if (extras.contiguous)
      try_change("without --contiguous", [&](JobSpec& s) { rare(s, [](auto& e) { e.contiguous = false; }); });
    if (extras.switches != 0)
      try_change("without --switches", [&](JobSpec& s) { rare(s, [](auto& e) { e.switches = 0; }); });
  }

  void try_partitions(const JobSpec& spec) {
    std::size_t tried = 0;
    const auto mine = impl_.queues_of(class_);
    for (std::uint32_t i = 0; i < impl_.queues.size() && tried < kPartitions; ++i) {
      const auto& partition = impl_.queues[i].partition;
      if (!partition || std::find(mine.begin(), mine.end(), i) != mine.end()) continue;
      ++tried;
      try_change("--partition=" + partition->name.str(), [&](JobSpec& s) {
        s.partition = partition->name;
        s.time_limit = spec.time_limit;
      });
    }
  }

  Impl& impl_;
  const Entry& entry_;
  const Job& job_;
  Time now_;
  JobClass class_;
  std::vector<Plan*> own_;
  Explanation out_;
};

Result<Explanation> Scheduler::Impl::explain(JobId id, Time now) {
  auto it = jobs.find(id);
  if (it == jobs.end() || it->second.kind == Kind::kActive)
    return Error{"not_pending", "job " + std::to_string(id) + " does not wait"};
  // What a pass costs is no business of this.
  const auto finder_steps = finder.steps, planner_steps = planner.steps;
  Explanation out = Explainer(*this, it->second, std::max(now, last_now)).run();
  finder.steps = finder_steps;
  planner.steps = planner_steps;
  return out;
}

}  // namespace bai::sokovan
