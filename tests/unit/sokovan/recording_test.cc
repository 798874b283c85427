// A recording of a scheduler's life gives another scheduler the same life.
#include "sokovan/recording.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "base/rand.h"

namespace bai::sokovan {
namespace {

// A small cluster with random jobs; all of it is recorded.
class Life {
 public:
  explicit Life(std::uint64_t seed) : rng_(seed) {
    recorder_.fresh();
    for (int i = 1; i <= 4; ++i) {
      NodeSet node;
      node.name = "n" + std::to_string(i);
      node.cpus = 8;
      node.mem_mib = 8000;
      node.features = {"big"};
      node.usable = true;
      apply(node);
    }
    auto partition = std::make_shared<Partition>();
    partition->name = "p";
    partition->is_default = true;
    for (int i = 1; i <= 4; ++i) partition->nodes.emplace_back("n" + std::to_string(i));
    apply(PartitionSet{partition});
    apply(LicensesSet{{{"matlab", 2}}});
    apply(RunEnded{7, 100, 50});
    SettingsSet settings;
    settings.settings.backfill_interval = 60;
    apply(settings);
  }

  void step() {
    now_ = now_ + rng_.range(1, 40);
    switch (rng_.below(4)) {
      case 0:
      case 1:
        submit();
        break;
      case 2:
        end_one();
        break;
      default:
        touch_one();
    }
    decide();
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void apply(const Change& change) {
    recorder_.applied(change);
    scheduler_.apply(change);
  }
  void feed(Job job) {
    auto shared = std::make_shared<const Job>(std::move(job));
    if (is_finished(shared->state))
      jobs_.erase(shared->id);
    else
      jobs_[shared->id] = shared;
    apply(JobSet{shared});
  }
  void submit() {
    auto spec = std::make_shared<JobSpec>();
    spec->name = "secret-name";
    spec->command = "/home/secret-path";
    spec->uid = static_cast<std::uint32_t>(rng_.below(3));
    spec->partition = "p";
    spec->request.tasks = static_cast<std::uint32_t>(rng_.range(1, 20));
    spec->time_limit = rng_.range(1, 300);
    if (rng_.chance(1, 5)) spec->request.licenses = "matlab";
    JobExtras extras;
    extras.comment = "secret-comment";
    spec->set_extras(extras);
    Job job;
    job.id = ++last_;
    job.priority = static_cast<std::uint32_t>(rng_.range(1, 3));
    job.submitted = now_;
    job.spec = spec;
    if (rng_.chance(1, 5)) {
      job.array_id = job.id;
      auto head = std::make_shared<ArrayHead>();
      head->waiting.insert(0, 5);
      head->max_running = 2;
      job.array = head;
    }
    feed(std::move(job));
  }
  void end_one() {
    for (const auto& [id, job] : jobs_) {
      if (!is_active(job->state)) continue;
      Job ended = *job;
      ended.state = JobState::kCompleted;
      ended.ended = now_;
      return feed(std::move(ended));
    }
  }
  // Told again, with the same parts: what a controller does when something else of it changed.
  void touch_one() {
    if (jobs_.empty()) return;
    auto it = jobs_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(rng_.below(jobs_.size())));
    Job job = *it->second;
    ++job.lsn;
    if (rng_.chance(1, 3) && job.state == JobState::kPending)
      job.priority = static_cast<std::uint32_t>(rng_.range(1, 3));
    feed(std::move(job));
  }
  void decide() {
    Budget budget;
    budget.max_starts = static_cast<std::uint32_t>(rng_.range(1, 3));
    for (bool complete = false; !complete;) {
      const auto decisions = scheduler_.decide(now_, budget);
      recorder_.decided(now_, budget, decisions);
      complete = decisions.complete;
      for (const auto& start : decisions.starts) confirm(start);
      for (const auto& waiting : decisions.waiting) {
        auto it = jobs_.find(waiting.job);
        if (it == jobs_.end() || it->second->state != JobState::kPending) continue;
        Job job = *it->second;
        job.reason = waiting.reason;
        job.expected_start = waiting.expected_start;
        feed(std::move(job));
      }
    }
  }
  void confirm(const Start& start) {
    Job job = *jobs_.at(start.job);
    if (start.task != kNoTask) {
      Job head = job;
      auto waiting = std::make_shared<ArrayHead>(*job.array);
      waiting->waiting.erase(start.task);
      job.array = nullptr;
      job.array_task = start.task;
      if (waiting->waiting.count() != 0) {
        head.array = waiting;
        job.id = ++last_;
        feed(std::move(head));
      }
    }
    job.state = JobState::kRunning;
    job.started = now_;
    job.allocation = start.allocation;
    feed(std::move(job));
  }

  Rng rng_;
  std::string bytes_;
  Recorder recorder_{[this](std::string_view record) { bytes_ += record; }, "test 1"};
  Scheduler scheduler_;
  Time now_ = Time::from_seconds(1'000'000);
  JobId last_ = 0;
  std::map<JobId, JobPtr> jobs_;
};

struct Outcome {
  std::uint64_t decisions = 0, starts = 0, left = 0;
  std::string first_difference;
  std::string error;
};

Outcome replay(std::string_view bytes) {
  Outcome out;
  std::size_t used = 0;
  auto program = RecordingReader::header(bytes, used);
  if (!program.ok() || used == 0) {
    out.error = program.ok() ? "short" : program.error().message;
    return out;
  }
  bytes.remove_prefix(used);
  RecordingReader reader;
  std::optional<Scheduler> scheduler(std::in_place);
  while (!bytes.empty()) {
    auto recorded = reader.next(bytes, used);
    if (!recorded.ok()) {
      out.error = recorded.error().message;
      return out;
    }
    if (used == 0) break;
    bytes.remove_prefix(used);
    if (recorded->change) {
      scheduler->apply(*recorded->change);
    } else if (recorded->decided) {
      ++out.decisions;
      out.starts += recorded->decided->decisions.starts.size();
      const auto now = scheduler->decide(recorded->decided->now, recorded->decided->budget);
      if (out.first_difference.empty()) out.first_difference = difference(recorded->decided->decisions, now);
    } else {
      scheduler.emplace();
    }
  }
  out.left = bytes.size();
  return out;
}

TEST(Recording, replays_to_the_same_decisions) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Life life(seed);
    for (int i = 0; i < 120; ++i) life.step();
    const auto out = replay(life.bytes());
    EXPECT_EQ(out.error, "") << seed;
    EXPECT_EQ(out.first_difference, "") << seed;
    EXPECT_EQ(out.left, 0u);
    EXPECT_GE(out.decisions, 120u);
    EXPECT_GT(out.starts, 10u);
  }
}

TEST(Recording, holds_nothing_that_the_scheduler_does_not_look_at) {
  Life life(1);
  for (int i = 0; i < 50; ++i) life.step();
  EXPECT_EQ(life.bytes().find("secret"), std::string::npos);
}

TEST(Recording, another_decision_is_told) {
  Decisions a, b;
  auto allocation = std::make_shared<Allocation>();
  allocation->partition = "p";
  allocation->nodes.push_back({"n1", 2, 100, 2});
  a.starts.push_back({7, kNoTask, allocation});
  EXPECT_EQ(difference(a, a), "");
  EXPECT_EQ(difference(a, b), "start 1 was job 7 in p on n1 (2 CPUs, 100 MiB); it is none");
  b.starts.push_back({7, 3, allocation});
  EXPECT_EQ(
      difference(a, b),
      "start 1 was job 7 in p on n1 (2 CPUs, 100 MiB); it is job 7 task 3 in p on n1 (2 CPUs, 100 MiB)");
  a.starts.clear(), b.starts.clear();
  a.waiting.push_back({1, Reason::kResources, "", {}});
  EXPECT_EQ(difference(a, b), "report 1 was job 1 waits: Resources; it is none");
  a.waiting.clear();
  a.complete = false;
  EXPECT_NE(difference(a, b), "");
  a.complete = true;
  a.next_wakeup = Time::from_seconds(5);
  EXPECT_NE(difference(a, b), "");
}

TEST(Recording, one_that_ends_early_is_replayed_as_far_as_it_goes) {
  Life life(3);
  for (int i = 0; i < 40; ++i) life.step();
  const auto& bytes = life.bytes();
  for (std::size_t length = bytes.size() - 200; length < bytes.size(); ++length) {
    const auto out = replay(std::string_view(bytes).substr(0, length));
    EXPECT_EQ(out.error, "");
    EXPECT_EQ(out.first_difference, "");
  }
  for (std::size_t length = 0; length < kRecordingMagic.size() + 8; ++length)
    EXPECT_EQ(replay(std::string_view(bytes).substr(0, length)).error, "short") << length;
}

TEST(Recording, other_files_and_versions_are_refused) {
  EXPECT_EQ(replay("; MaxProcs: 100\n").error, "this is no recording of the scheduler");
  auto bytes = std::string(kRecordingMagic) + '\x63' + '\x01' + 'x';
  EXPECT_EQ(replay(bytes).error, "it is of version 99, and this program reads version 1");
}

TEST(Recording, hostile_bytes_are_refused_or_differ) {
  Life life(5);
  for (int i = 0; i < 30; ++i) life.step();
  Rng rng(7);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    auto bytes = life.bytes();
    const auto at = kRecordingMagic.size() + rng.below(bytes.size() - kRecordingMagic.size());
    bytes[at] = static_cast<char>(rng.next());
    RecordingReader reader;
    std::size_t used = 0;
    std::string_view left = bytes;
    if (auto program = RecordingReader::header(left, used); !program.ok() || used == 0) continue;
    for (left.remove_prefix(used); !left.empty(); left.remove_prefix(used)) {
      auto recorded = reader.next(left, used);
      refused += !recorded.ok();
      if (!recorded.ok() || used == 0) break;
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace bai::sokovan
