// The committer on a store that fails: what leaves, when, and what is refused.
#include "controller/committer.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "memory_store.h"

namespace bai::controller {
namespace {

using store::MemoryStore;

class CommitterTest : public testing::Test {
 protected:
  void begin(std::deque<MemoryStore::Fault> faults, int failing_reopens = 0, int failing_probes = 0) {
    auto store = std::make_unique<MemoryStore>(state);
    store->faults = std::move(faults);
    store->failing_reopens = failing_reopens;
    store->failing_probes = failing_probes;
    auto reader = std::move(*store->open_reader());
    CommitterHooks hooks;
    hooks.now = [] { return Time::from_seconds(1'800'000'000); };
    hooks.send = [this](ConnId conn, const std::string& bytes) {
      std::lock_guard lock(mutex);
      sent.emplace_back(conn, bytes);
      durable_at_send.push_back(state->lineage.lsn);
      changed.notify_all();
      return true;
    };
    hooks.unread = [](ConnId) { return 0; };
    hooks.close = [](ConnId) {};
    hooks.mail = [](const MailOut&) {};
    hooks.lost = [this](const std::string&) { note("lost"); };
    hooks.recovered = [this](std::uint64_t g, Lineage l, const store::Loaded& loaded) {
      generation = g;
      recovered_lsn = l.lsn;
      recovered_jobs = loaded.jobs.size();
      note("recovered");
    };
    hooks.superseded = [this](const std::string&) { note("superseded"); };
    hooks.replied = [](const RequestId&) {};
    hooks.confirm_every = confirm_every;
    committer =
        std::make_unique<Committer>(std::move(store), std::move(reader), board, stats, std::move(hooks));
    committer->start();
  }
  void another_takes_over() const {
    std::lock_guard lock(state->mutex);
    state->lineage.epoch++;
  }
  ~CommitterTest() override {
    if (committer) committer->stop();
  }

  Output output(Lsn lsn, ConnId conn, std::uint64_t of_generation = 0) {
    Output out;
    out.generation = of_generation;
    auto job = std::make_shared<Job>();
    job->id = static_cast<JobId>(lsn);
    job->lsn = lsn;
    job->spec = std::make_shared<const JobSpec>();
    out.batch.first = out.batch.last = lsn;
    out.batch.last_job_id = job->id;
    out.batch.changes.push_back(store::JobPut{job});
    out.effects.jobs.push_back({job->id, job, 60});
    out.effects.replies.push_back({conn, {{}, wire::DoneReply{}}});
    return out;
  }
  void note(const std::string& what) {
    std::lock_guard lock(mutex);
    notes.push_back(what);
    changed.notify_all();
  }
  // Waits for the nth message and for the nth note.
  wire::ReplyBody message(std::size_t n) {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return sent.size() >= n; }));
    return wire::decode_reply(sent.at(n - 1).second)->body;
  }
  void await(const std::string& what) {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] {
      return std::find(notes.begin(), notes.end(), what) != notes.end();
    })) << what;
  }
  static bool refused(const wire::ReplyBody& body) {
    auto* error = std::get_if<wire::ErrorBody>(&body);
    return error && error->error.code == "store_unavailable";
  }

  // An answer that was committed before, to one who asks again.
  static Output repeat(ConnId conn) {
    Output out;
    out.effects.replies.push_back({conn, {{}, wire::DoneReply{}}});
    return out;
  }

  std::chrono::milliseconds confirm_every{10'000};
  std::shared_ptr<MemoryStore::State> state = std::make_shared<MemoryStore::State>();
  Board board;
  Stats stats{Time::from_seconds(1)};
  std::unique_ptr<Committer> committer;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::pair<ConnId, std::string>> sent;
  std::vector<Lsn> durable_at_send;
  std::vector<std::string> notes;
  std::uint64_t generation = 0;
  Lsn recovered_lsn = 0;
  std::size_t recovered_jobs = 0;
};

TEST_F(CommitterTest, AnswersAndShowsOnlyWhatIsDurable) {
  begin({});
  committer->put(output(1, 10));
  EXPECT_TRUE(std::holds_alternative<wire::DoneReply>(message(1)));
  EXPECT_EQ(durable_at_send[0], 1u);
  ASSERT_TRUE(board.get()->find(1)) << "the view came before the answer";
  EXPECT_EQ(board.get()->lineage.lsn, 1u);
}

TEST_F(CommitterTest, RefusesWhatWasNotCommittedAndLoadsAnew) {
  begin({MemoryStore::Fault::kNone, MemoryStore::Fault::kBefore}, 1, 1);
  committer->put(output(1, 10));
  message(1);
  committer->put(output(2, 11));
  EXPECT_TRUE(refused(message(2)));
  await("lost");
  await("recovered");
  EXPECT_EQ(generation, 1u);
  EXPECT_EQ(recovered_lsn, 1u);
  EXPECT_EQ(recovered_jobs, 1u);
  committer->put(output(3, 12));  // of the machine that was dropped
  EXPECT_TRUE(refused(message(3)));
  committer->put(output(2, 13, 1));
  EXPECT_TRUE(std::holds_alternative<wire::DoneReply>(message(4)));
  EXPECT_EQ(state->lineage.lsn, 2u);
}

TEST_F(CommitterTest, AnswersWhatIsThereAfterAll) {
  begin({MemoryStore::Fault::kAfter});
  committer->put(output(1, 10));
  EXPECT_TRUE(std::holds_alternative<wire::DoneReply>(message(1)));
  await("recovered");
  EXPECT_EQ(recovered_lsn, 1u);
}

TEST_F(CommitterTest, EndsWhenAnotherControllerTookOver) {
  begin({});
  another_takes_over();
  committer->put(output(1, 10));
  committer->put(repeat(11));  // its first sending was never committed, whatever memory says
  await("superseded");
  committer->put(output(2, 12));
  committer->put(repeat(13));
  committer->stop();
  EXPECT_EQ(state->lineage.lsn, 0u);
  EXPECT_TRUE(sent.empty()) << "a controller that was replaced says nothing";
  EXPECT_EQ(std::count(notes.begin(), notes.end(), "superseded"), 1);
}

TEST_F(CommitterTest, SaysNothingOldOnceAnotherControllerTookOver) {
  begin({});
  committer->put(output(1, 10));
  committer->put(repeat(11));
  message(2);
  another_takes_over();
  auto out = repeat(12);
  out.effects.orders.push_back({20, wire::AgentOrders{}});
  committer->put(std::move(out));
  await("superseded");
  committer->stop();
  EXPECT_EQ(sent.size(), 2u);
}

TEST_F(CommitterTest, LearnsThatItWasReplacedAlsoWhenIdle) {
  confirm_every = std::chrono::milliseconds(5);
  begin({});
  committer->put(output(1, 10));
  message(1);
  another_takes_over();
  await("superseded");
}

TEST_F(CommitterTest, AnEndingOneAnswersNothingOnACommitOfUnknownOutcome) {
  begin({MemoryStore::Fault::kBefore}, 1'000'000);
  committer->put(output(1, 10));
  await("lost");
  committer->put(repeat(11));
  committer->stop();
  EXPECT_TRUE(sent.empty());
}

// A "forget" that overtook a repeated launch would let the agent start the attempt again.
TEST_F(CommitterTest, LaunchesGoBeforeWhatFollowedThem) {
  begin({});
  LaunchRecord launch;
  state->launches[1] = launch;
  state->contents[launch.script] = "#!/bin/sh\n";
  auto out = output(1, 10);
  out.effects.replies.clear();
  wire::AgentOrders forget;
  forget.forget.push_back({1, 1});
  out.effects.orders.push_back({20, wire::AgentWelcome{}});
  out.effects.orders.push_back({20, forget});
  out.effects.launches.push_back({20, {1, 1}, out.effects.jobs[0].job, 1, 60});
  committer->put(std::move(out));
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return sent.size() >= 3; }));
  }
  std::string order;
  for (std::size_t i = 0; i < 3; ++i) {
    auto decoded = wire::decode_order(sent[i].second);
    ASSERT_TRUE(decoded);
    auto* orders = std::get_if<wire::AgentOrders>(&*decoded);
    order += !orders ? "w" : orders->launches.empty() ? "f" : "l";
  }
  EXPECT_EQ(order, "wlf");
}

TEST_F(CommitterTest, ALaunchOfAJobThatIsGoneIsNotSent) {
  begin({});
  auto out = output(1, 10);
  out.batch.last = 2;
  out.batch.changes.push_back(store::LaunchPut{1, {}});
  committer->put(std::move(out));
  message(1);
  auto job = board.get()->find(1)->job;
  auto gone = output(3, 11);
  gone.batch.changes = {store::JobForget{1, true}};
  gone.effects.jobs = {{1, nullptr, 0}};
  gone.effects.launches.push_back({20, {1, 1}, job, 1, 60});  // said again before the end came
  gone.effects.orders.push_back({20, wire::AgentOrders{}});
  committer->put(std::move(gone));
  committer->stop();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[2].first, 20u);
  EXPECT_TRUE(std::get<wire::AgentOrders>(*wire::decode_order(sent[2].second)).launches.empty());
}

TEST(View, AdvancesByCopyingOnlyWhatChanged) {
  auto job = [](JobId id) {
    auto out = std::make_shared<Job>();
    out->id = id;
    return out;
  };
  Effects effects;
  for (JobId id : {1u, 2u, 300u, 255u, 256u}) effects.jobs.push_back({id, job(id), 60});
  auto one = advance(View{}, effects, {});
  EXPECT_EQ(one->job_count(), 5u);
  EXPECT_EQ(one->chunks.size(), 2u);
  Effects change;
  change.jobs.push_back({300, nullptr, 0});
  change.jobs.push_back({7, job(7), 60});
  change.jobs.push_back({7, nullptr, 0});
  change.jobs.push_back({256, job(256), 99});
  auto two = advance(*one, change, {});
  EXPECT_EQ(two->chunks[0]->cells.size(), 3u);
  EXPECT_FALSE(two->find(300));
  EXPECT_FALSE(two->find(7));
  EXPECT_EQ(two->find(256)->time_limit, 99);
  EXPECT_TRUE(one->find(300)) << "readers of the old one are not disturbed";
  Effects last;
  last.jobs.push_back({256, nullptr, 0});
  auto three = advance(*two, last, {});
  EXPECT_EQ(three->chunks.size(), 1u);
  EXPECT_EQ(three->chunks[0], two->chunks[0]) << "what did not change is shared";
  std::vector<JobId> ids;
  three->for_each([&](const JobCell& cell) {
    ids.push_back(cell.job->id);
    return true;
  });
  EXPECT_EQ(ids, (std::vector<JobId>{1, 2, 255}));
}

TEST(Histogram, QuantilesAreWithinNinePercent) {
  Histogram h;
  EXPECT_EQ(h.quantile(0.5), 0);
  for (int i = 1; i <= 10'000; ++i) h.add(i);
  for (double q : {0.01, 0.5, 0.9, 0.99})
    EXPECT_NEAR(static_cast<double>(h.quantile(q)), q * 10'000, q * 10'000 * 0.125 + 1);
  EXPECT_EQ(h.max(), 10'000);
  EXPECT_EQ(h.quantile(1), 10'000);
  h.add(std::int64_t{1} << 40);
  h.add(-5);
  EXPECT_EQ(h.quantile(1), std::int64_t{1} << 40);
}

TEST(Selector, JudgesEveryField) {
  Job job;
  job.id = 9;
  job.array_id = 7;
  job.array_task = 3;
  JobSpec spec;
  spec.user = "ann";
  spec.uid = 1000;
  spec.name = "job";
  spec.partition = "a,b";
  job.spec = std::make_shared<const JobSpec>(spec);
  Caller caller;
  caller.uid = 1001;
  auto judge = [&](auto change) {
    wire::JobFilter filter;
    change(filter);
    return Selector(filter, caller).matches(job);
  };
  EXPECT_TRUE(judge([](auto&) {}));
  EXPECT_TRUE(judge([](auto& f) { f.jobs = {{7, kNoTask}}; }));
  EXPECT_TRUE(judge([](auto& f) { f.jobs = {{7, 3}}; }));
  EXPECT_FALSE(judge([](auto& f) { f.jobs = {{7, 4}}; }));
  EXPECT_TRUE(judge([](auto& f) { f.jobs = {{7, 5}, {8, 1}, {7, 3}, {7, 1}}; })) << "in any order";
  EXPECT_FALSE(judge([](auto& f) { f.jobs = {{9, 3}, {8, kNoTask}}; }));
  EXPECT_TRUE(judge([](auto& f) { f.users = {"1000"}; }));
  EXPECT_TRUE(judge([](auto& f) { f.users = {"bob", "ann"}; }));
  EXPECT_FALSE(judge([](auto& f) { f.users = {"4294968296"}; })) << "1000, if it were cut to 32 bits";
  EXPECT_FALSE(judge([](auto& f) { f.users = {"bob"}; }));
  EXPECT_FALSE(judge([](auto& f) { f.mine = true; }));
  EXPECT_TRUE(judge([](auto& f) { f.partitions = {"b"}; }));
  EXPECT_FALSE(judge([](auto& f) { f.partitions = {"c"}; }));
  EXPECT_FALSE(judge([](auto& f) { f.states = {JobState::kRunning}; }));
  EXPECT_FALSE(judge([](auto& f) { f.nodes = {"n[1-3]"}; }));
  job.allocation = std::make_shared<const Allocation>(Allocation{"b", {{"n2", 1, 0}}});
  EXPECT_TRUE(judge([](auto& f) { f.nodes = {"n[1-3]"}; }));
  EXPECT_FALSE(judge([](auto& f) { f.partitions = {"a"}; })) << "it runs in the other one";
  auto head = std::make_shared<ArrayHead>();
  head->waiting.insert(5, 9);
  job.array = head;
  job.id = 7;
  job.array_task = kNoTask;
  EXPECT_TRUE(judge([](auto& f) { f.jobs = {{7, 3}, {7, 9}}; })) << "a head is found by a task that waits";
  EXPECT_FALSE(judge([](auto& f) { f.jobs = {{7, 3}, {7, 4}}; }));
}

// A caller may send as much in one request; if it cost their product, the controller would stand still for minutes.
TEST(Selector, AMillionNamesCostARecordNothing) {
  JobSpec spec;
  spec.user = "ann";
  Job job;
  job.id = 9;
  job.array_id = 7;
  job.array_task = 3;
  job.spec = std::make_shared<const JobSpec>(spec);
  wire::JobFilter filter;
  for (std::uint32_t i = 0; i < 300'000; ++i) {
    filter.jobs.push_back({7, 300'000 - i});
    filter.users.push_back("u" + std::to_string(i));
  }
  filter.users.emplace_back("ann");
  filter.nodes.assign(65'536, "n[1-65536]");
  const Selector selector(filter, Caller{});
  int found = 0;
  job.allocation = std::make_shared<const Allocation>(Allocation{"b", {{"n2", 1, 0}}});
  for (int i = 0; i < 20'000; ++i) found += selector.matches(job);
  EXPECT_EQ(found, 20'000);
}

}  // namespace
}  // namespace bai::controller
