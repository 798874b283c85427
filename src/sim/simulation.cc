#include "sim/simulation.h"

#include <algorithm>
#include <chrono>
#include <queue>

namespace bai::sim {
namespace {

using Clock = std::chrono::steady_clock;
// When a trace begins that does not say: any time that is not the beginning of time.
constexpr std::int64_t kSomeDay = 1'000'000'000;

struct Active {
  Seconds end = 0;
  std::uint64_t order = 0;  // of starts
  std::uint32_t index = 0;  // of the job
  friend bool operator>(const Active& a, const Active& b) {
    return a.end != b.end ? a.end > b.end : a.order > b.order;
  }
};

class Player {
 public:
  Player(const Workload& workload, const Site& site, bool exact, bool with_history)
      : workload_(workload),
        site_(site),
        exact_(exact),
        with_history_(with_history),
        epoch_(workload.unix_start > 0 ? workload.unix_start : kSomeDay),
        jobs_(workload.jobs.size()) {
    for (const auto& change : site.changes) scheduler_.apply(change);
    out_.wait.assign(workload.jobs.size(), Played::kNever);
  }

  Played run() {
    const auto& trace = workload_.jobs;
    out_.begin = out_.end = last_ = trace.empty() ? 0 : trace.front().submit;
    std::uint32_t next = 0;
    while (next < trace.size() || !ends_.empty()) {
      Seconds now = next < trace.size() ? trace[next].submit : ends_.top().end;
      if (!ends_.empty()) now = std::min(now, ends_.top().end);
      if (const Seconds wake = wakeup(); wake < now) {
        advance(wake);
        decide(wake);
        continue;
      }
      advance(now);
      end_those_at_their_limit(now);
      for (; next < trace.size() && trace[next].submit == now; ++next)
        if (submit(next, now)) decide(now);
      while (!ends_.empty() && ends_.top().end == now) {
        const auto ended = ends_.top().index;
        ends_.pop();
        end(ended, now);
        decide(now);
      }
    }
    note(last_);
    return std::move(out_);
  }

 private:
  JobId id_of(std::uint32_t index) const { return JobId{index} + 1; }
  Time time(Seconds at) const { return Time::from_seconds(epoch_ + at); }
  Seconds wakeup() const {
    return wakeup_.is_set() ? (wakeup_.us + 999'999) / 1'000'000 - epoch_ : INT64_MAX;
  }

  // How things were until now.
  void advance(Seconds now) {
    if (now == last_) return;
    const auto length = static_cast<double>(now - last_);
    const auto free = site_.cpus - std::min(busy_, site_.cpus);
    out_.cpu_s += static_cast<double>(site_.cpus) * length;
    out_.cpu_busy_s += static_cast<double>(busy_) * length;
    out_.gpu_busy_s += static_cast<double>(gpus_busy_) * length / 1000;
    if (waiting_) out_.cpu_idle_in_need_s += static_cast<double>(free) * length;
    note(last_);
    last_ = now;
  }
  void note(Seconds at) {
    if (with_history_) out_.history.push_back({at, busy_, waiting_});
  }

  // The scheduler plans with their limits, so to it they end now; the pass for it comes in its turn.
  void end_those_at_their_limit(Seconds now) {
    std::vector<Active> due;
    for (; !ends_.empty() && ends_.top().end == now; ends_.pop()) due.push_back(ends_.top());
    for (const auto& active : due) {
      if (limit(active.index) == workload_.jobs[active.index].run) end(active.index, now);
      ends_.push(active);
    }
  }

  Seconds limit(std::uint32_t index) const {
    const auto& job = workload_.jobs[index];
    return exact_ ? std::max<Seconds>(job.run, 1) : job.estimate;
  }

  bool submit(std::uint32_t index, Seconds now) {
    const auto& from = workload_.jobs[index];
    const auto& shape = workload_.shapes[from.shape];
    auto job = std::make_shared<Job>();
    job->id = id_of(index);
    job->priority = 1;
    job->submitted = job->eligible = time(now);
    job->spec = request(site_, shape, from.tasks, limit(index), from.user);
    if (auto can = scheduler_.feasible(*job); !can.ok()) {
      if (out_.too_large++ == 0)
        out_.too_large_why = "job " + std::to_string(from.id) + ": " + can.error().message;
      return false;
    }
    scheduler_.apply(sokovan::JobSet{job});
    jobs_[index] = std::move(job);
    ++waiting_;
    return true;
  }

  void end(std::uint32_t index, Seconds now) {
    if (!jobs_[index]) return;
    auto job = std::make_shared<Job>(*jobs_[index]);
    job->state = JobState::kCompleted;
    job->ended = time(now);
    count(*job, -1);
    scheduler_.apply(sokovan::JobSet{std::move(job)});
    jobs_[index] = nullptr;
    out_.end = now;
  }

  void decide(Seconds now) {
    ++out_.passes;
    const auto before = Clock::now();
    for (bool complete = false; !complete;) {
      auto decisions = scheduler_.decide(time(now), {});
      for (auto& start : decisions.starts) begin(start, now);
      out_.jobs_tried += decisions.jobs_tried;
      complete = decisions.complete;
      wakeup_ = decisions.next_wakeup > time(now) ? decisions.next_wakeup : Time{};
    }
    const double took = std::chrono::duration<double>(Clock::now() - before).count();
    out_.passes_s += took;
    out_.longest_pass_s = std::max(out_.longest_pass_s, took);
  }

  void begin(sokovan::Start& start, Seconds now) {
    const auto index = static_cast<std::uint32_t>(start.job - 1);
    auto job = std::make_shared<Job>(*jobs_[index]);
    job->state = JobState::kRunning;
    job->started = time(now);
    job->allocation = std::move(start.allocation);
    count(*job, 1);
    --waiting_;
    jobs_[index] = job;
    scheduler_.apply(sokovan::JobSet{std::move(job)});
    out_.wait[index] = now - workload_.jobs[index].submit;
    ends_.push({now + workload_.jobs[index].run, starts_++, index});
  }

  void count(const Job& job, int sign) {
    for (const auto& share : job.allocation->nodes) {
      busy_ += static_cast<std::uint64_t>(sign) * share.cpus;
      for (const auto& device : share.devices) gpus_busy_ += static_cast<std::uint64_t>(sign) * device.amount;
    }
  }

  const Workload& workload_;
  const Site& site_;
  const bool exact_, with_history_;
  const std::int64_t epoch_;
  sokovan::Scheduler scheduler_{site_.plugins};
  std::vector<JobPtr> jobs_;  // as the scheduler knows them: from their submission to their end
  std::priority_queue<Active, std::vector<Active>, std::greater<>> ends_;
  std::uint64_t starts_ = 0, busy_ = 0, gpus_busy_ = 0;
  std::uint32_t waiting_ = 0;
  Seconds last_ = 0;
  Time wakeup_;
  Played out_;
};

}  // namespace

Played play(const Workload& workload, const Site& site, bool exact, bool with_history) {
  return Player(workload, site, exact, with_history).run();
}

}  // namespace bai::sim
