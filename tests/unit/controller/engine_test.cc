// The engine thread: decisions carry the generation of what they saw, and time alone can bring one.
#include "controller/engine.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "base/env.h"

namespace bai::controller {
namespace {

class EngineTest : public testing::Test {
 protected:
  ~EngineTest() override { engine.stop(); }

  static std::vector<sokovan::Change> cluster(std::uint32_t cpus = 4) {
    sokovan::NodeSet node;
    node.name = "n1";
    node.cpus = cpus;
    node.mem_mib = 1000;
    node.usable = true;
    auto partition = std::make_shared<Partition>();
    partition->name = "p";
    partition->nodes = {Istr("n1")};
    partition->is_default = true;
    return {node, sokovan::PartitionSet{partition}};
  }
  static std::shared_ptr<Job> job(JobId id, std::uint32_t tasks = 1, Time begin = {}) {
    auto spec = std::make_shared<JobSpec>();
    spec->partition = "p";
    spec->request.tasks = tasks;
    spec->time_limit = 60;
    if (begin.is_set()) {
      JobExtras extras;
      extras.begin = begin;
      spec->set_extras(std::move(extras));
    }
    auto out = std::make_shared<Job>();
    out->id = id;
    out->priority = 100;
    out->submitted = Env::real().now();
    out->spec = spec;
    return out;
  }
  static std::vector<sokovan::Change> with(std::vector<sokovan::Change> changes,
                                           std::vector<std::shared_ptr<Job>> jobs) {
    for (auto& one : jobs) changes.push_back(sokovan::JobSet{one, true});
    return changes;
  }
  // Waits until a decision has come that `good` likes.
  Decided await(const std::function<bool(const Decided&)>& good) {
    std::unique_lock lock(mutex);
    std::size_t at = 0;
    Decided found;
    EXPECT_TRUE(happened.wait_for(lock, std::chrono::seconds(20), [&] {
      for (; at < decided.size(); ++at)
        if (good(decided[at])) {
          found = decided[at];
          return true;
        }
      return false;
    }));
    return found;
  }
  static auto starts(JobId id) {
    return [id](const Decided& d) {
      for (const auto& start : d.decisions.starts)
        if (start.job == id) return true;
      return false;
    };
  }
  Result<sokovan::Start> ask(const Job& what, Time* expected) {
    std::optional<Result<sokovan::Start>> answer;
    engine.ask([&](const sokovan::Scheduler& scheduler, Time now) {
      std::lock_guard lock(mutex);
      answer = scheduler.would_start(what, now, expected);
      happened.notify_all();
    });
    std::unique_lock lock(mutex);
    EXPECT_TRUE(happened.wait_for(lock, std::chrono::seconds(20), [&] { return answer.has_value(); }));
    return answer.value_or(Error{"none", ""});
  }

  std::mutex mutex;
  std::condition_variable happened;
  std::vector<Decided> decided;
  Stats stats{Time::from_seconds(1)};
  Engine engine{[] { return Env::real().now(); },
                [this](Decided one) {
                  std::lock_guard lock(mutex);
                  decided.push_back(std::move(one));
                  happened.notify_all();
                },
                stats};
};

TEST_F(EngineTest, DecidesAboutWhatItWasFedInThatGeneration) {
  engine.reset(3);
  engine.feed(with(cluster(), {job(1)}));
  EXPECT_EQ(await(starts(1)).generation, 3u);
}

TEST_F(EngineTest, ANewGenerationBeginsFromNothing) {
  engine.reset(1);
  engine.feed(with(cluster(), {job(1, 4)}));
  await(starts(1));
  // Whatever was there is forgotten: the node is free, and job 1 is nobody's.
  engine.reset(2);
  engine.feed(with(cluster(), {job(2, 4)}));
  EXPECT_EQ(await(starts(2)).generation, 2u);
  for (const auto& one : decided) EXPECT_FALSE(one.generation == 2 && starts(1)(one));
}

TEST_F(EngineTest, TellsWhyTheOthersWait) {
  engine.reset(1);
  engine.feed(with(cluster(), {job(1, 4), job(2, 4)}));
  const auto told = await([](const Decided& d) {
    for (const auto& one : d.decisions.waiting)
      if (one.job == 2) return true;
    return false;
  });
  for (const auto& one : told.decisions.waiting)
    EXPECT_TRUE(one.job != 2 || one.reason == Reason::kResources);
}

TEST_F(EngineTest, TimeAloneStartsAJobWhoseBeginHasCome) {
  engine.reset(1);
  const Time begin{Env::real().now().us + 50'000};
  engine.feed(with(cluster(), {job(1, 1, begin)}));
  await(starts(1));
  EXPECT_GE(Env::real().now(), begin);
}

TEST(Engine, SleepsUntilABeginTimeAndNeverLong) {
  const Time now = Time::from_seconds(1'800'000'000);
  EXPECT_EQ(engine_wait_us(now + 2, now), 2'000'000);
  EXPECT_EQ(engine_wait_us(now - 2, now), 0);
  // The wall clock may jump to a begin time that is a day away: it is looked at again soon.
  EXPECT_LE(engine_wait_us(now + 86'400, now), 10'000'000);
}

TEST_F(EngineTest, AnswersWhatWouldStartAndQueuesNothing) {
  engine.reset(1);
  engine.feed(cluster());
  Time expected;
  auto start = ask(*job(99, 4), &expected);
  ASSERT_TRUE(start.ok()) << start.error().text();
  EXPECT_EQ(start->allocation->hostlist(), "n1");
  EXPECT_TRUE(expected.is_set());
  EXPECT_FALSE(ask(*job(99, 5), &expected).ok()) << "more than there is";
  engine.feed(with({}, {job(1, 4)}));
  await(starts(1));
}

TEST_F(EngineTest, StopsWithQuestionsInTheQueue) {
  for (int i = 0; i < 100; ++i) engine.ask([](const sokovan::Scheduler&, Time) {});
  engine.stop();
  EXPECT_EQ(engine.backlog(), 0u);
}

}  // namespace
}  // namespace bai::controller
