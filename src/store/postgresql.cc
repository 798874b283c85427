// The PostgreSQL driver. One connection holds the cluster's advisory lock and commits, so whoever commits has the lock:
// both end together. A batch is one pipeline: begin, compare the lineage, one statement a table, commit.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "store/content_sweep.h"
#include "store/driver.h"
#include "store/pg_reader.h"
#include "store/pg_session.h"
#include "store/pg_sql.h"
#include "store/record.h"
#include "store/rows.h"
#include "store/schema.h"
#include "store/store.h"

namespace bai::store {

namespace {

constexpr int kLockClass = 0x626169;  // "bai", beside the schema's oid
constexpr auto kLockPatience = std::chrono::seconds(2);

class PgStore final : public Store {
 public:
  static Result<std::unique_ptr<Store>> open(const OpenOptions& options) {
    auto store = std::make_unique<PgStore>();
    store->options_ = options;
    if (auto done = store->open_first(); !done) return done.error();
    return std::unique_ptr<Store>(std::move(store));
  }

  Lineage lineage() const override { return lineage_; }
  Result<Loaded> load() override;
  Status commit(const Batch& batch) override;
  Status confirm() override;
  Status reopen() override;
  Status probe() override { return transaction({touch()}); }
  void release_ballast(bool) override {}
  Status prune(Time before, std::uint32_t limit) override;
  Status checkpoint() override { return {}; }
  Result<std::unique_ptr<Reader>> open_reader() override { return open_postgresql_reader(options_); }
  std::string description() const override { return description_; }

 private:
  Status open_first();
  Status connect();
  Status check_settings();
  Status lock();
  Status migrate();
  Status prepare();
  Result<Lineage> read_lineage();
  PgStep touch() const {
    return {"bai_touch", PgParams()
                             .bytes(view(lineage_.cluster))
                             .number(signed_(lineage_.epoch))
                             .number(signed_(lineage_.lsn))};
  }
  Status transaction(const std::vector<PgStep>& steps) {
    if (broken_) return broken();
    auto done = session_->transaction(steps);
    broken_ = !done;
    return done;
  }
  Error broken() const { return store_closed(session_ ? session_->place() : ""); }
  Result<std::string> ask(const std::string& sql) {
    auto rows = session_->query(sql);
    if (!rows) return rows.error();
    return rows->rows() > 0 ? std::string(rows->bytes(0, 0)) : std::string();
  }

  OpenOptions options_;
  std::unique_ptr<Session> session_;
  // The server's process behind the last connection that held the lock.
  std::int64_t backend_pid_ = 0;
  std::string backend_start_;
  Lineage lineage_;
  ContentSweep sweep_;
  std::string description_;
  bool broken_ = false;
};

Status PgStore::open_first() {
  if (auto done = connect(); !done) return done;
  auto there = ask("SELECT (to_regnamespace('bai') IS NOT NULL)::int::text");
  if (!there) return there.error();
  if (*there == "0") {
    if (!options_.create)
      return Error{"not_found", "the database holds no cluster", session_->place(), "name the right one"};
    if (auto made = session_->exec("CREATE SCHEMA bai"); !made) return made;
  }
  if (auto done = lock(); !done) return done;
  if (auto done = migrate(); !done) return done;
  if (auto done = prepare(); !done) return done;
  if (auto raised = session_->exec(raise_epoch(options_.epoch_step)); !raised) return raised;
  auto now = read_lineage();
  if (!now) return now.error();
  lineage_ = *now;
  return {};
}

Status PgStore::connect() {
  session_.reset();
  auto session = Session::connect(options_.path, "bai-ctld " + std::to_string(getpid()));
  if (!session) return session.error();
  session_ = std::make_unique<Session>(std::move(*session));
  const int version = session_->server_version();
  description_ = "PostgreSQL " + std::to_string(version / 10000) + "." + std::to_string(version % 10000) +
                 ", " + session_->place();
  if (version < 130000)
    return Error{"too_old", "the server is " + description_, session_->place(), "use PostgreSQL 13 or later"};
  if (auto done = check_settings(); !done) return done;
  return session_->script("SET search_path = bai");
}

Status PgStore::check_settings() {
  for (const char* setting : {"fsync", "full_page_writes", "synchronous_commit"}) {
    auto is = ask(std::string("SHOW ") + setting);
    if (!is) return is.error();
    if (*is == "off")
      return Error{
          "unsafe_settings", std::string("PostgreSQL's ") + setting + " is off: commits could be lost",
          session_->place(), std::string("set ") + setting + " = on for this server, database and role"};
  }
  auto recovering = ask("SELECT pg_is_in_recovery()::int::text");
  if (!recovering) return recovering.error();
  if (*recovering != "0")
    return Error{"read_only", "the server is a standby", session_->place(), "name the primary"};
  return {};
}

// Whoever has the lock also commits on that connection. One that we lost may still live on the server, even inside
// its COMMIT: it is ended first, so that what is read after the lock is final.
Status PgStore::lock() {
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  for (;;) {
    auto got =
        session_->query("SELECT pg_try_advisory_lock(" + std::to_string(kLockClass) +
                        ", to_regnamespace('bai')::oid::int4)::int, pg_backend_pid(),"
                        " (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())");
    if (!got) return got.error();
    if (got->rows() == 1 && got->number(0, 0) == 1) {
      backend_pid_ = got->number(0, 1);
      backend_start_ = got->bytes(0, 2);
      return {};
    }
    if (backend_pid_ != 0) {
      auto ended = session_->query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1::int8 AND "
          "backend_start::text = $2::text",
          PgParams().number(backend_pid_).bytes(backend_start_));
      if (!ended) return ended.error();
    }
    if (std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  auto owner =
      ask("SELECT a.application_name || coalesce(' at ' || host(a.client_addr), '') FROM pg_locks l JOIN "
          "pg_stat_activity a"
          " USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.classid = " +
          std::to_string(kLockClass) + " AND l.objid = to_regnamespace('bai')::oid");
  return Error{"locked",
               "the database is in use by " + (owner && !owner->empty() ? *owner : "another controller"),
               session_->place(), "stop that controller first"};
}

Status PgStore::migrate() {
  auto meta = ask("SELECT (to_regclass('bai.meta') IS NOT NULL)::int::text");
  if (!meta) return meta.error();
  int version = 0;
  if (*meta == "1") {
    auto stored = ask("SELECT schema_version::text FROM meta WHERE id = 1");
    if (!stored) return stored.error();
    version = std::atoi(stored->c_str());
    if (version < 1)
      return Error{"corrupt", "the database has no version", session_->place(), "restore it from a backup"};
  }
  if (version > kSchemaVersion)
    return Error{"too_new",
                 "the database has version " + std::to_string(version) + ", this program knows " +
                     std::to_string(kSchemaVersion),
                 session_->place(), "install the newer program again"};
  const auto scripts = postgresql_migrations();
  for (; version < kSchemaVersion; ++version) {
    std::string sql = std::string("BEGIN;") + scripts[static_cast<std::size_t>(version)];
    if (version == 0) {
      sql +=
          "INSERT INTO meta (id, schema_version, cluster_uuid, epoch, lsn, last_job_id) VALUES (1, 1, '\\x" +
          (options_.cluster.empty() ? Uuid::random() : options_.cluster).hex() + "', 0, 0, 0);";
    } else {
      sql += "UPDATE meta SET schema_version = " + std::to_string(version + 1) + ";";
    }
    if (auto done = session_->script((sql + "COMMIT").c_str()); !done) return done;
  }
  return {};
}

Status PgStore::prepare() {
  for (const auto& [name, sql] : pg_statements())
    if (auto done = session_->prepare(name, sql); !done) return done;
  return {};
}

Result<Lineage> PgStore::read_lineage() {
  auto rows = session_->query("SELECT cluster_uuid, epoch, lsn, last_job_id FROM meta WHERE id = 1");
  if (!rows) return rows.error();
  if (rows->rows() != 1 || rows->bytes(0, 0).size() != 16)
    return Error{"corrupt", "the database does not say whose it is", session_->place(),
                 "restore it from a backup"};
  Lineage now;
  std::copy_n(rows->bytes(0, 0).begin(), 16, now.cluster.bytes.begin());
  now.epoch = static_cast<std::uint64_t>(rows->number(0, 1));
  now.lsn = static_cast<Lsn>(rows->number(0, 2));
  now.last_job_id = static_cast<JobId>(rows->number(0, 3));
  return now;
}

Status PgStore::reopen() {
  broken_ = true;
  if (auto done = connect(); !done) return done;
  auto now = read_lineage();
  if (!now) return now.error();
  if (replaced(*now, lineage_)) return superseded(session_->place());
  if (auto done = lock(); !done) return done;
  now = read_lineage();  // final now
  if (!now) return now.error();
  if (replaced(*now, lineage_)) return superseded(session_->place());
  if (auto done = prepare(); !done) return done;
  lineage_ = *now;
  broken_ = false;
  return {};
}

Status PgStore::commit(const Batch& batch) {
  if (broken_) return broken();
  const Rows rows = rows_of(batch);
  for (const auto& launch : rows.launches) {
    sweep_.use(launch.script);
    sweep_.use(launch.environment);
  }
  std::vector<PgStep> steps;
  const auto step = [&](const char* statement, const auto& list) -> PgParams* {
    if (list.empty()) return nullptr;
    return &steps.emplace_back(PgStep{statement, {}}).params;
  };
  const auto id = [](std::int64_t n) { return n; };
  const auto record = [](const auto& row) -> std::string_view { return row.record; };
  steps.push_back({"bai_move", PgParams()
                                   .number(signed_(batch.last))
                                   .number(batch.last_job_id)
                                   .bytes(view(lineage_.cluster))
                                   .number(signed_(lineage_.epoch))
                                   .number(signed_(batch.first) - 1)});
  if (auto* p = step("bai_put_jobs", rows.jobs))
    p->numbers(rows.jobs, [](const auto& r) { return r.key; }).blobs(rows.jobs, record);
  if (auto* p = step("bai_drop_jobs", rows.jobs_gone)) p->numbers(rows.jobs_gone, id);
  if (auto* p = step("bai_put_launches", rows.launches))
    p->numbers(rows.launches, [](const auto& r) { return r.job; })
        .blobs(rows.launches, [](const auto& r) { return r.script.view(); })
        .blobs(rows.launches, [](const auto& r) { return r.environment.view(); })
        .blobs(rows.launches, record);
  if (auto* p = step("bai_drop_launches", rows.launches_gone)) p->numbers(rows.launches_gone, id);
  if (auto* p = step("bai_put_contents", rows.contents))
    p->blobs(rows.contents, [](const auto* r) {
       return r->hash.view();
     }).blobs(rows.contents, [](const auto* r) -> std::string_view { return *r->bytes; });
  if (auto* p = step("bai_put_events", rows.events))
    p->numbers(rows.events, [](const auto& r) { return r.job; })
        .numbers(rows.events, [](const auto& r) { return r.lsn; })
        .blobs(rows.events, record);
  if (auto* p = step("bai_put_steps", rows.steps))
    p->numbers(rows.steps, [](const auto& r) { return r.job; })
        .numbers(rows.steps, [](const auto& r) { return r.attempt; })
        .numbers(rows.steps, [](const auto& r) { return r.step; })
        .blobs(rows.steps, record);
  if (auto* p = step("bai_put_requests", rows.requests))
    p->blobs(rows.requests, [](const auto* r) { return view(r->id); })
        .numbers(rows.requests, [](const auto* r) { return static_cast<std::int64_t>(r->uid); })
        .numbers(rows.requests, [](const auto* r) { return r->at.us; })
        .blobs(rows.requests, [](const auto* r) -> std::string_view { return r->answer; });
  if (auto* p = step("bai_put_nodes", rows.nodes))
    p->texts(rows.nodes, [](const auto& r) -> std::string_view { return r.name; }).blobs(rows.nodes, record);
  if (auto* p = step("bai_put_settings", rows.settings))
    p->texts(rows.settings, [](const auto& r) -> std::string_view {
       return r.key;
     }).blobs(rows.settings, [](const auto& r) -> std::string_view { return r.text; });
  if (auto* p = step("bai_drop_settings", rows.settings_gone))
    p->texts(rows.settings_gone, [](const std::string& key) -> std::string_view { return key; });
  if (auto* p = step("bai_put_history", rows.history)) {
    for (std::size_t i = 0; i < kHistoryNumbers.size(); ++i)
      p->numbers(rows.history, [i](const auto& r) { return r.numbers[i]; });
    for (std::size_t i = 0; i < kHistoryTexts.size(); ++i)
      p->texts(rows.history, [i](const auto& r) -> std::string_view { return r.texts[i]; });
    p->blobs(rows.history, record);
  }
  if (auto done = transaction(steps); !done) return done;
  lineage_.lsn = batch.last;
  lineage_.last_job_id = std::max(lineage_.last_job_id, batch.last_job_id);
  return {};
}

Status PgStore::confirm() {
  if (broken_) return broken();
  auto now = read_lineage();
  broken_ =
      !now || now->cluster != lineage_.cluster || now->epoch != lineage_.epoch || now->lsn != lineage_.lsn;
  if (!now) return now.error();
  return broken_ ? superseded(session_->place()) : Status();
}

Result<Loaded> PgStore::load() {
  if (broken_) return broken();
  Loaded loaded;
  JobLoader loader;
  auto rows = session_->query("SELECT id, record FROM jobs ORDER BY id");
  if (!rows) return rows.error();
  loaded.jobs.reserve(static_cast<std::size_t>(rows->rows()));
  for (int i = 0; i < rows->rows(); ++i) {
    auto job = loader.load(rows->bytes(i, 1), "job " + std::to_string(rows->number(i, 0)));
    if (!job) return job.error();
    loaded.jobs.push_back(std::move(*job));
  }
  rows = session_->query(
      "SELECT s.record FROM jobs j JOIN steps s ON s.job = j.id ORDER BY s.job, s.attempt, s.step");
  if (!rows) return rows.error();
  for (int i = 0; i < rows->rows(); ++i) {
    auto step = from_record<Step>(rows->bytes(i, 0), "a step");
    if (!step) return step.error();
    loaded.steps.push_back(std::make_shared<const Step>(std::move(*step)));
  }
  rows = session_->query("SELECT name, record FROM nodes ORDER BY name");
  if (!rows) return rows.error();
  for (int i = 0; i < rows->rows(); ++i) {
    const std::string name(rows->bytes(i, 0));
    auto decision = from_record<NodeDecision>(rows->bytes(i, 1), "node " + name);
    if (!decision) return decision.error();
    loaded.nodes.push_back({name, std::move(*decision)});
  }
  rows = session_->query("SELECT key, text FROM settings");
  if (!rows) return rows.error();
  for (int i = 0; i < rows->rows(); ++i) loaded.settings.emplace(rows->bytes(i, 0), rows->bytes(i, 1));
  return loaded;
}

Status PgStore::prune(Time before, std::uint32_t limit) {
  if (broken_) return broken();
  const bool marking = sweep_.marking();
  auto read = marking ? session_->run("bai_launches_step", PgParams().number(sweep_.job()).number(limit))
                      : session_->run("bai_contents_step", PgParams().bytes(sweep_.hash()).number(limit));
  if (!read) {
    broken_ = true;
    return read.error();
  }
  std::vector<PgStep> steps = {touch(), {"bai_drop_requests", PgParams().number(before.us).number(limit)}};
  if (marking) {
    std::vector<ContentSweep::Launch> launches;
    for (int i = 0; i < read->rows(); ++i)
      launches.push_back({read->number(i, 0), hash_of(read->bytes(i, 1)), hash_of(read->bytes(i, 2))});
    sweep_.mark(launches, limit);
  } else {
    std::vector<Hash256> contents;
    for (int i = 0; i < read->rows(); ++i) contents.push_back(hash_of(read->bytes(i, 0)));
    const auto unused = sweep_.unused(contents, limit);
    if (!unused.empty())
      steps.push_back(
          {"bai_drop_contents", PgParams().blobs(unused, [](const Hash256& hash) { return hash.view(); })});
  }
  return transaction(steps);
}

}  // namespace

Result<std::unique_ptr<Store>> open_postgresql(const OpenOptions& options) { return PgStore::open(options); }

}  // namespace bai::store
