// Connections that end around COMMIT, servers that end, controllers that were replaced.
#include <gtest/gtest.h>
#include <signal.h>

#include "pg_proxy.h"
#include "pg_server.h"
#include "sample.h"
#include "store/pg_session.h"

namespace bai::store {
namespace {

class PgCut : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    auto server = PgServer::shared();
    if (!server) GTEST_SKIP() << server.error().text();
    server_ = *server;
    auto conninfo = server_->new_database();
    ASSERT_TRUE(ok(conninfo));
    direct_ = *conninfo;
    database_ = direct_.substr(direct_.rfind('=') + 1);
  }
  OpenOptions options(const std::string& conninfo) {
    OpenOptions options;
    options.path = conninfo;
    return options;
  }

  PgServer* server_ = nullptr;
  std::string direct_, database_;
};

TEST_F(PgCut, reopen_tells_what_became_of_a_batch) {
  PgProxy proxy(server_->socket_dir());
  auto opened = open_postgresql(options(server_->conninfo(database_, proxy.socket_dir())));
  ASSERT_TRUE(ok(opened));
  Store& store = **opened;
  auto reader = store.open_reader();
  ASSERT_TRUE(ok(reader));
  std::size_t jobs = 0;
  JobId id = 1;
  using Cut = PgProxy::Cut;
  for (int round = 0; round < 5; ++round)
    for (const Cut cut : {Cut::none, Cut::before_commit, Cut::at_commit, Cut::after_commit}) {
      SCOPED_TRACE("round " + std::to_string(round) + ", cut " + std::to_string(static_cast<int>(cut)));
      Batch batch = batch_after(store.lineage());
      submit(batch, id++);
      submit(batch, id++);
      proxy.arm(cut);
      const auto done = store.commit(batch);
      EXPECT_EQ(done.ok(), cut == Cut::none);
      if (!done.ok()) {
        EXPECT_EQ(done.error().code, "unavailable") << done.error().text();
        EXPECT_EQ(store.commit(batch).error().code, "store_closed");
        ASSERT_TRUE(ok(store.reopen()));
      }
      const bool there = store.lineage().lsn == batch.last;
      if (cut == Cut::before_commit) {
        EXPECT_FALSE(there);
      } else if (cut != Cut::at_commit) {
        EXPECT_TRUE(there);
      }
      jobs += there ? 2 : 0;
      auto loaded = store.load();
      ASSERT_TRUE(ok(loaded));
      ASSERT_EQ(loaded->jobs.size(), jobs);
      EXPECT_EQ((*reader)->launch(id - 1).ok(), there);
    }
}

TEST_F(PgCut, a_connection_that_lingers_on_the_server_is_ended_by_reopen) {
  auto opened = open_postgresql(options(direct_));
  ASSERT_TRUE(ok(opened));
  ASSERT_TRUE(ok((*opened)->reopen()));  // lets go of the old connection, and needs its lock
  EXPECT_TRUE(ok((*opened)->probe()));
}

TEST_F(PgCut, a_replaced_controller_commits_nothing_more) {
  auto old = open_postgresql(options(direct_));
  ASSERT_TRUE(ok(old));
  auto session = Session::connect(direct_, "test");
  ASSERT_TRUE(ok(session));
  ASSERT_TRUE(
      ok(session->query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name LIKE 'bai-ctld%' AND datname = current_database()")));
  auto replacement = open_postgresql(options(direct_));
  ASSERT_TRUE(ok(replacement));
  EXPECT_EQ((*replacement)->lineage().epoch, 2u);
  Batch batch = batch_after((*old)->lineage());
  submit(batch, 1);
  EXPECT_FALSE((*old)->commit(batch).ok());
  EXPECT_EQ((*old)->reopen().error().code, "superseded");
  EXPECT_EQ((*old)->commit(batch).error().code, "store_closed");
  EXPECT_TRUE((*replacement)->load()->jobs.empty());
}

TEST_F(PgCut, an_epoch_that_was_raised_refuses_the_commit) {
  auto opened = open_postgresql(options(direct_));
  ASSERT_TRUE(ok(opened));
  auto session = Session::connect(direct_, "test");
  ASSERT_TRUE(ok(session));
  ASSERT_TRUE(ok(session->exec("UPDATE bai.meta SET epoch = epoch + 1")));
  Batch batch = batch_after((*opened)->lineage());
  submit(batch, 1);
  EXPECT_EQ((*opened)->commit(batch).error().code, "superseded");
  auto jobs = session->query("SELECT count(*) FROM bai.jobs");
  ASSERT_TRUE(ok(jobs));
  EXPECT_EQ(jobs->number(0, 0), 0);
  EXPECT_EQ((*opened)->reopen().error().code, "superseded");
  opened = Error{"", ""};  // it leaves
  opened = open_postgresql(options(direct_));
  ASSERT_TRUE(ok(opened));
  ASSERT_TRUE(ok(session->exec("UPDATE bai.meta SET epoch = epoch + 1")));
  EXPECT_EQ((*opened)->confirm().error().code, "superseded");
}

TEST_F(PgCut, settings_that_lose_commits_and_newer_databases_are_refused) {
  ASSERT_TRUE(ok(open_postgresql(options(direct_))));
  auto session = Session::connect(direct_, "test");
  ASSERT_TRUE(ok(session));
  ASSERT_TRUE(ok(session->exec("ALTER DATABASE " + database_ + " SET synchronous_commit = off")));
  const auto unsafe = open_postgresql(options(direct_));
  ASSERT_FALSE(unsafe.ok());
  EXPECT_EQ(unsafe.error().code, "unsafe_settings");
  ASSERT_TRUE(ok(session->exec("ALTER DATABASE " + database_ + " RESET synchronous_commit")));
  ASSERT_TRUE(ok(session->exec("UPDATE bai.meta SET schema_version = 99")));
  EXPECT_EQ(open_postgresql(options(direct_)).error().code, "too_new");
  OpenOptions nowhere = options("host=/nonexistent");
  EXPECT_EQ(open_postgresql(nowhere).error().code, "unavailable");
}

TEST_F(PgCut, a_server_that_stops_and_comes_back) {
  auto own = PgServer::make();
  ASSERT_TRUE(ok(own));
  auto conninfo = (*own)->new_database();
  ASSERT_TRUE(ok(conninfo));
  auto opened = open_postgresql(options(*conninfo));
  ASSERT_TRUE(ok(opened));
  Store& store = **opened;
  auto reader = store.open_reader();
  ASSERT_TRUE(ok(reader));
  Batch batch = batch_after(store.lineage());
  submit(batch, 1);
  ASSERT_TRUE(ok(store.commit(batch)));
  (*own)->stop();
  Batch next = batch_after(store.lineage());
  submit(next, 2);
  EXPECT_EQ(store.commit(next).error().code, "unavailable");
  EXPECT_EQ(store.reopen().error().code, "unavailable");
  EXPECT_FALSE((*reader)->launch(1).ok());
  ASSERT_TRUE(ok((*own)->start()));
  ASSERT_TRUE(ok(store.reopen()));
  EXPECT_EQ(store.lineage().lsn, 1u);
  EXPECT_TRUE(ok(store.commit(next)));
  EXPECT_TRUE(ok((*reader)->launch(1)));
}

}  // namespace
}  // namespace bai::store
