// What every driver must do.
#include <gtest/gtest.h>

#include "pg_server.h"
#include "sample.h"

namespace bai::store {
namespace {

class Conformance : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    options_.ballast_bytes = 4096;
    if (std::string_view(GetParam()) == "sqlite") {
      options_.path = dir_.path() + "/state.db";
    } else {
      auto server = PgServer::shared();
      if (!server) GTEST_SKIP() << server.error().text();
      auto conninfo = (*server)->new_database();
      ASSERT_TRUE(ok(conninfo));
      options_.path = *conninfo;
    }
    start();
  }

  void start() {
    store_.reset();
    auto opened = open(GetParam(), options_);
    ASSERT_TRUE(ok(opened));
    store_ = std::move(*opened);
  }

  Status put(Change change) { return store_->commit(one(store_->lineage(), std::move(change))); }

  std::unique_ptr<Reader> reader() {
    auto made = store_->open_reader();
    EXPECT_TRUE(ok(made));
    return made ? std::move(*made) : nullptr;
  }

  std::vector<JobId> found(const HistoryQuery& query) {
    std::vector<JobId> ids;
    EXPECT_TRUE(ok(reader()->history(query, [&](HistoryRow row) {
      ids.push_back(row.job->id);
      return true;
    })));
    return ids;
  }

  TempDir dir_;
  OpenOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_P(Conformance, first_open_makes_a_cluster_and_each_open_raises_the_epoch) {
  const Lineage first = store_->lineage();
  EXPECT_FALSE(first.cluster.empty());
  EXPECT_EQ(first.epoch, 1u);
  EXPECT_EQ(first.lsn, 0u);
  start();
  EXPECT_EQ(store_->lineage().cluster, first.cluster);
  EXPECT_EQ(store_->lineage().epoch, 2u);
  EXPECT_FALSE(store_->description().empty());
}

TEST_P(Conformance, a_submission_is_there_after_reopening) {
  Batch batch = batch_after(store_->lineage());
  submit(batch, 7);
  submit(batch, 8);
  ASSERT_TRUE(ok(store_->commit(batch)));
  EXPECT_EQ(store_->lineage().lsn, 2u);
  EXPECT_EQ(store_->lineage().last_job_id, 8u);
  start();
  EXPECT_EQ(store_->lineage().lsn, 2u);
  EXPECT_EQ(store_->lineage().last_job_id, 8u);
  auto loaded = store_->load();
  ASSERT_TRUE(ok(loaded));
  ASSERT_EQ(loaded->jobs.size(), 2u);
  const Job& job = *loaded->jobs[0];
  EXPECT_EQ(job.id, 7u);
  EXPECT_EQ(encode(job), encode(*std::get<JobPut>(batch.changes[0]).job));
  EXPECT_EQ(job.spec->name, "job7");
  EXPECT_EQ(job.spec->request.tasks, 3u);

  auto read = reader();
  auto launch = read->launch(7);
  ASSERT_TRUE(ok(launch));
  EXPECT_EQ(launch->args, (std::vector<std::string>{"one", "two\nlines"}));
  auto script = read->content(launch->script);
  ASSERT_TRUE(ok(script));
  EXPECT_EQ(*script, "#!/bin/sh\necho 7\n");
  auto environment = read->content(launch->environment);
  ASSERT_TRUE(ok(environment));
  EXPECT_EQ(environment->size(), 17u);
  auto answer = read->request(sample_request(8));
  ASSERT_TRUE(ok(answer));
  ASSERT_TRUE(answer->has_value());
  EXPECT_EQ((*answer)->answer, "answer 8");
  EXPECT_EQ((*answer)->uid, 1000u);
  EXPECT_EQ((*answer)->at, job.submitted + 1);
  auto events = read->events(7);
  ASSERT_TRUE(ok(events));
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ((*events)[0].cause, "submitted");

  EXPECT_EQ(read->launch(9).error().code, "not_found");
  EXPECT_EQ(read->content(Hash256{}).error().code, "not_found");
  auto unknown = read->request(sample_request(9));
  ASSERT_TRUE(ok(unknown));
  EXPECT_FALSE(unknown->has_value());
}

TEST_P(Conformance, changes_to_one_key_in_one_batch_leave_the_last) {
  Batch batch = batch_after(store_->lineage());
  submit(batch, 1);
  submit(batch, 2);
  submit(batch, 3);
  auto changed = sample_job(2);
  changed->priority = 5;
  batch.changes.push_back(JobPut{changed});
  batch.changes.push_back(JobForget{1, true});
  batch.changes.push_back(JobForget{3, false});
  batch.changes.push_back(JobPut{sample_job(3)});
  batch.last += 4;
  ASSERT_TRUE(ok(store_->commit(batch)));
  auto loaded = store_->load();
  ASSERT_TRUE(ok(loaded));
  ASSERT_EQ(loaded->jobs.size(), 2u);
  EXPECT_EQ(loaded->jobs[0]->priority, 5u);
  EXPECT_EQ(loaded->jobs[1]->id, 3u);
  EXPECT_EQ(reader()->launch(1).error().code, "not_found");
  EXPECT_TRUE(ok(reader()->launch(3)));
}

TEST_P(Conformance, jobs_that_go_together_take_no_other_along) {
  Batch batch = batch_after(store_->lineage());
  for (JobId id = 1; id <= 12; ++id) submit(batch, id);
  ASSERT_TRUE(ok(store_->commit(batch)));
  Batch gone = batch_after(store_->lineage());
  for (JobId id : {4u, 2u, 3u, 12u, 7u, 9u, 10u}) gone.changes.push_back(JobForget{id, id != 9});
  gone.last += 7;
  ASSERT_TRUE(ok(store_->commit(gone)));
  auto loaded = store_->load();
  ASSERT_TRUE(ok(loaded));
  std::vector<JobId> left;
  for (const auto& job : loaded->jobs) left.push_back(job->id);
  EXPECT_EQ(left, (std::vector<JobId>{1, 5, 6, 8, 11}));
  auto read = reader();
  for (JobId id = 1; id <= 12; ++id)
    EXPECT_EQ(read->launch(id).ok(), id == 9 || std::find(left.begin(), left.end(), id) != left.end()) << id;
}

TEST_P(Conformance, jobs_nodes_and_settings_change_and_go) {
  Batch batch = batch_after(store_->lineage());
  submit(batch, 1);
  NodeDecision decision;
  decision.drain = true;
  decision.reason = "disk \"sda\"\\";
  batch.changes.push_back(NodePut{"n1", decision});
  batch.changes.push_back(SettingPut{"partition/main/state", "DOWN"});
  batch.changes.push_back(SettingPut{"log", std::string("a\0b", 3)});
  ASSERT_TRUE(ok(store_->commit(batch)));
  ASSERT_TRUE(ok(put(JobForget{1, false})));
  ASSERT_TRUE(ok(put(SettingPut{"partition/main/state", ""})));
  decision.drain = false;
  ASSERT_TRUE(ok(put(NodePut{"n1", decision})));
  start();
  auto loaded = store_->load();
  ASSERT_TRUE(ok(loaded));
  EXPECT_TRUE(loaded->jobs.empty());
  EXPECT_TRUE(ok(reader()->launch(1)));
  ASSERT_EQ(loaded->nodes.size(), 1u);
  EXPECT_EQ(loaded->nodes[0].name, "n1");
  EXPECT_FALSE(loaded->nodes[0].decision.drain);
  EXPECT_EQ(loaded->nodes[0].decision.reason, "disk \"sda\"\\");
  EXPECT_EQ(loaded->settings, (std::map<std::string, std::string>{{"log", std::string("a\0b", 3)}}));
}

TEST_P(Conformance, an_empty_batch_and_one_of_every_size) {
  Batch empty = batch_after(store_->lineage());
  EXPECT_TRUE(ok(store_->commit(empty)));
  JobId id = 1;
  for (const int size : {1, 2, 100, 1500}) {
    Batch batch = batch_after(store_->lineage());
    for (int i = 0; i < size; ++i) submit(batch, id++);
    ASSERT_TRUE(ok(store_->commit(batch)));
  }
  auto loaded = store_->load();
  ASSERT_TRUE(ok(loaded));
  EXPECT_EQ(loaded->jobs.size(), 1603u);
  for (std::size_t i = 0; i < loaded->jobs.size(); ++i) ASSERT_EQ(loaded->jobs[i]->id, i + 1);
}

TEST_P(Conformance, a_batch_out_of_order_is_refused_and_leaves_nothing) {
  Batch batch = batch_after(store_->lineage());
  submit(batch, 1);
  ASSERT_TRUE(ok(store_->commit(batch)));
  const auto again = store_->commit(batch);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, "superseded");
  EXPECT_EQ(store_->commit(batch).error().code, "store_closed");
  ASSERT_TRUE(ok(store_->reopen()));
  EXPECT_EQ(store_->lineage().epoch, 1u);
  EXPECT_EQ(store_->lineage().lsn, 1u);
  Batch gap = batch_after(store_->lineage());
  gap.first += 1, gap.last += 1;
  submit(gap, 2);
  EXPECT_EQ(store_->commit(gap).error().code, "superseded");
  ASSERT_TRUE(ok(store_->reopen()));
  EXPECT_EQ(store_->load()->jobs.size(), 1u);
  EXPECT_TRUE(ok(store_->probe()));
  Batch next = batch_after(store_->lineage());
  submit(next, 2);
  EXPECT_TRUE(ok(store_->commit(next)));
}

TEST_P(Conformance, it_is_confirmed_without_a_write) {
  Batch batch = batch_after(store_->lineage());
  submit(batch, 1);
  ASSERT_TRUE(ok(store_->commit(batch)));
  EXPECT_TRUE(ok(store_->confirm()));
  EXPECT_EQ(store_->lineage().lsn, 1u);
  EXPECT_FALSE(store_->commit(batch).ok());
  EXPECT_EQ(store_->confirm().error().code, "store_closed");
  ASSERT_TRUE(ok(store_->reopen()));
  EXPECT_TRUE(ok(store_->confirm()));
}

TEST_P(Conformance, only_one_controller_holds_it) {
  auto second = open(GetParam(), options_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, "locked");
  EXPECT_NE(second.error().message.find(std::to_string(getpid())), std::string::npos)
      << second.error().message;
  EXPECT_TRUE(ok(store_->probe()));
  EXPECT_EQ(store_->lineage().epoch, 1u);
}

TEST_P(Conformance, history_answers_sacct_s_filters) {
  Batch batch = batch_after(store_->lineage());
  const auto add = [&](JobId id, auto change) {
    auto job = ended_job(id);
    auto spec = *job->spec;
    change(*job, spec);
    job->spec = std::make_shared<const JobSpec>(spec);
    batch.changes.push_back(JobEnded{job, "n1"});
    batch.last += 1;
  };
  add(1, [](Job&, JobSpec&) {});
  add(2, [](Job& j, JobSpec&) { j.state = JobState::kFailed, j.exit.code = 3; });
  add(3, [](Job&, JobSpec& s) { s.uid = 1001, s.user = "bob", s.name = "it's \"x\"\\ü"; });
  add(4, [](Job& j, JobSpec&) { j.array_id = 4, j.array_task = 0; });
  add(5, [](Job& j, JobSpec&) { j.array_id = 4, j.array_task = 1; });
  add(6, [](Job&, JobSpec& s) { s.account = "chemistry", s.name = "\xff\x01"; });
  ASSERT_TRUE(ok(store_->commit(batch)));
  using Ids = std::vector<JobId>;
  HistoryQuery all;
  EXPECT_EQ(found(all), (Ids{1, 2, 3, 4, 5, 6}));
  HistoryQuery q = all;
  q.jobs = {1, 4};
  EXPECT_EQ(found(q), (Ids{1, 4, 5}));
  q = all, q.uids = {1001};
  EXPECT_EQ(found(q), (Ids{3}));
  q = all, q.states = {JobState::kFailed, JobState::kTimeout};
  EXPECT_EQ(found(q), (Ids{2}));
  q = all, q.names = {"it's \"x\"\\ü", "job1"};
  EXPECT_EQ(found(q), (Ids{1, 3}));
  q = all, q.names = {"\xff\x01"};
  EXPECT_EQ(found(q), (Ids{6}));
  q = all, q.accounts = {"chemistry"};
  EXPECT_EQ(found(q), (Ids{6}));
  q = all, q.partitions = {"other"};
  EXPECT_EQ(found(q), (Ids{}));
  q = all, q.since = Time::from_seconds(1'700'001'000 + 5);
  EXPECT_EQ(found(q), (Ids{5, 6}));
  q = all, q.until = Time::from_seconds(1'700'000'000 + 2);
  EXPECT_EQ(found(q), (Ids{1}));
  q = all, q.limit = 2;
  EXPECT_EQ(found(q), (Ids{1, 2}));
  q.newest_first = true;
  EXPECT_EQ(found(q), (Ids{6, 5}));
  int seen = 0;
  EXPECT_TRUE(ok(reader()->history(all, [&](HistoryRow row) {
    EXPECT_EQ(row.batch_host, "n1");
    EXPECT_EQ(row.job->allocation->nodes.size(), 2u);
    EXPECT_EQ(row.job->usage->max_rss_kib, 4096u);
    return ++seen < 3;
  })));
  EXPECT_EQ(seen, 3);
}

TEST_P(Conformance, history_has_one_row_an_attempt) {
  auto first = ended_job(1);
  first->state = JobState::kNodeFail;
  ASSERT_TRUE(ok(put(JobEnded{first, "n1"})));
  auto second = ended_job(1);
  second->attempt = 2;
  second->ended = second->ended + 60;
  ASSERT_TRUE(ok(put(JobEnded{second, "n2"})));
  second->exit.code = 1;
  ASSERT_TRUE(ok(put(JobEnded{second, "n3"})));
  std::vector<std::string> rows;
  ASSERT_TRUE(ok(reader()->history({}, [&](HistoryRow row) {
    rows.push_back(row.batch_host + " " + std::to_string(row.job->attempt) + " " + row.job->exit.text());
    return true;
  })));
  EXPECT_EQ(rows, (std::vector<std::string>{"n1 1 0:0", "n3 2 1:0"}));
}

TEST_P(Conformance, events_come_in_order) {
  for (int i = 0; i < 3; ++i) {
    JobEvent event;
    event.job = 5;
    event.lsn = store_->lineage().lsn + 1;
    event.cause = std::to_string(i);
    ASSERT_TRUE(ok(put(EventPut{event})));
  }
  auto events = reader()->events(5);
  ASSERT_TRUE(ok(events));
  ASSERT_EQ(events->size(), 3u);
  EXPECT_EQ((*events)[2].cause, "2");
  EXPECT_TRUE(reader()->events(6)->empty());
}

TEST_P(Conformance, prune_drops_old_answers_and_contents_without_a_job) {
  Batch batch = batch_after(store_->lineage());
  for (JobId id = 1; id <= 20; ++id) submit(batch, id);
  ASSERT_TRUE(ok(store_->commit(batch)));
  Batch gone = batch_after(store_->lineage());
  for (JobId id = 1; id <= 10; ++id) gone.changes.push_back(JobForget{id, true});
  gone.last += 10;
  ASSERT_TRUE(ok(store_->commit(gone)));
  const Time before = Time::from_seconds(1'700'000'000 + 16);
  auto read = reader();
  ASSERT_TRUE(ok(store_->prune(before, 4)));
  int left = 0;
  for (JobId id = 1; id <= 20; ++id) left += (*read->request(sample_request(id))).has_value();
  EXPECT_EQ(left, 16);
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(ok(store_->prune(before, 4)));
  for (JobId id = 1; id <= 20; ++id) {
    EXPECT_EQ((*read->request(sample_request(id))).has_value(), id >= 16) << id;
    const auto hash = hash256("#!/bin/sh\necho " + std::to_string(id) + "\n");
    EXPECT_EQ(read->content(hash).ok(), id > 10) << id;
  }
  EXPECT_TRUE(ok(read->content(read->launch(11)->environment)));
}

TEST_P(Conformance, a_reader_sees_each_commit_and_outlives_reopen) {
  auto read = reader();
  for (JobId id = 1; id <= 3; ++id) {
    Batch batch = batch_after(store_->lineage());
    submit(batch, id);
    ASSERT_TRUE(ok(store_->commit(batch)));
    EXPECT_TRUE(ok(read->launch(id)));
    ASSERT_TRUE(ok(store_->checkpoint()));
    ASSERT_TRUE(ok(store_->reopen()));
    EXPECT_TRUE(ok(read->launch(id)));
  }
}

INSTANTIATE_TEST_SUITE_P(Store, Conformance, testing::Values("sqlite", "postgresql"),
                         [](const auto& driver) { return std::string(driver.param); });

}  // namespace
}  // namespace bai::store
