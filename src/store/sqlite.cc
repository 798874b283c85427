// The SQLite driver. WAL with synchronous=FULL: a commit returns when its frames are synced.
//
// After a failed fsync the kernel may hold pages as clean that never reached the disk, and the WAL may hold a batch that
// this connection does not see but a recovery would. So opening anew settles what is there before it is believed: a
// checkpoint writes every visible frame again, into the database, and cuts the WAL; then a small durable transaction
// starts the WAL anew, so that no frame that was not visible can come back. A full disk needs none of this, as the frame
// that would have completed the batch was never written: what is there can be read while nothing can be written.
#include <fcntl.h>
#include <sqlite3.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/env.h"
#include "base/fd.h"
#include "store/content_sweep.h"
#include "store/driver.h"
#include "store/record.h"
#include "store/rows.h"
#include "store/schema.h"
#include "store/sqlite_db.h"
#include "store/sqlite_files.h"
#include "store/sqlite_reader.h"
#include "store/sqlite_statements.h"
#include "store/store.h"

namespace bai::store {

namespace {

constexpr int kWalLimitFrames = 16384;  // of 4 KiB; beyond it a checkpoint also starts the WAL anew

template <class F>
Status each_row(Statement& select, F take) {
  for (;;) {
    auto row = select.step();
    if (!row) return row.error();
    if (!*row) return {};
    take();
  }
}

class SqliteStore final : public Store {
 public:
  static Result<std::unique_ptr<Store>> open(const OpenOptions& options) {
    auto store = std::make_unique<SqliteStore>();
    store->options_ = options;
    if (auto done = store->open_first(); !done) return done.error();
    return std::unique_ptr<Store>(std::move(store));
  }

  Lineage lineage() const override { return lineage_; }
  Result<Loaded> load() override;
  Status commit(const Batch& batch) override;
  Status reopen() override;
  Status probe() override {
    if (broken_) return broken();
    return durable_touch();
  }
  void release_ballast(bool release) override {
    // A ballast that cannot be had now is asked for again after the next full disk.
    if (auto done = release ? ballast_.release() : ballast_.take(); !done) return;
  }
  Status confirm() override;
  Status prune(Time before, std::uint32_t limit) override;
  Status checkpoint() override;
  Result<std::unique_ptr<Reader>> open_reader() override { return open_sqlite_reader(options_); }
  std::string description() const override {
    return std::string("SQLite ") + sqlite3_libversion() + ", " + options_.path;
  }

 private:
  Status open_first();
  Status connect();
  Status migrate();
  Status read_lineage(Lineage& out);
  Status durable_touch();
  Status touch();
  Status prune_in_transaction(Time before, std::uint32_t limit);
  template <class F>
  Status transaction(F body);
  // One more try with the ballast's space, if the disk is full and there is some.
  template <class F>
  Status with_ballast(F body) {
    auto done = body();
    if (done || done.error().code != "no_space" || !ballast_.held()) return done;
    if (!ballast_.release()) return done;
    return body();
  }
  // Everything after a failure waits for reopen().
  Status failed(Error error) {
    broken_ = true;
    full_ = last_code_ == SQLITE_FULL;
    return error;
  }
  Error broken() const { return store_closed(options_.path); }

  OpenOptions options_;
  FileLock lock_;
  Ballast ballast_;
  Database db_;
  SqliteStatements sql_;
  Lineage lineage_;
  ContentSweep sweep_;
  bool broken_ = false;
  int last_code_ = 0;  // sqlite's, of the last transaction that failed
  bool full_ =
      false;  // a write found no room: nothing was synced in vain, so nothing needs to be written again

  std::mutex checkpoint_mutex_;
  Database checkpointer_;
};

Status SqliteStore::open_first() {
  const std::string& path = options_.path;
  if (auto local = check_file_system(parent_dir(path)); !local) return local;
  auto lock = FileLock::take(path + ".lock");
  if (!lock) {
    Error error = lock.error();
    if (error.code == "permission_denied")
      error.remedy = "let the user that the daemon runs as own the database's directory";
    return error;
  }
  lock_ = std::move(*lock);
  if (options_.create &&
      options_.vfs.empty()) {  // readable by its owner only; sqlite gives its other files the same mode
    auto made = open_fd(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!made && made.error().code != "exists") return made.error();
  }
  ballast_ = Ballast(path + ".ballast", options_.ballast_bytes);
  (void)ballast_.take();
  return with_ballast([&]() -> Status {
    sql_ = {};
    db_.close();
    if (auto done = connect(); !done) return done;
    if (auto done = db_.checkpoint(SQLITE_CHECKPOINT_TRUNCATE); !done) return done.error();
    if (auto done = migrate(); !done) return done;
    if (auto done = sql_.prepare(db_); !done) return done;
    auto raised = transaction([&] { return db_.exec(raise_epoch(options_.epoch_step).c_str()); });
    if (!raised) return raised;
    db_.reserve_wal(options_.wal_reserve_bytes);
    return read_lineage(lineage_);
  });
}

Status SqliteStore::connect() {
  auto db = Database::open(options_.path, options_.create, options_.vfs);
  if (!db) return db.error();
  db_ = std::move(*db);
  auto done = db_.exec(
      "PRAGMA page_size=4096;"
      "PRAGMA journal_mode=WAL;"
      "PRAGMA synchronous=FULL;"
      "PRAGMA locking_mode=NORMAL;"
      "PRAGMA wal_autocheckpoint=0;"
      "PRAGMA journal_size_limit=16777216;"
      "PRAGMA cache_size=-16384;"
      "PRAGMA temp_store=MEMORY;"
      "PRAGMA foreign_keys=OFF;");
  if (!done) return done;
  const std::pair<const char*, const char*> must[] = {{"journal_mode", "wal"}, {"synchronous", "2"}};
  for (const auto& [pragma, wanted] : must) {
    auto is = db_.ask(std::string("PRAGMA ") + pragma);
    if (!is) return is.error();
    if (*is != wanted)
      return Error{"unsafe_settings", std::string("SQLite's ") + pragma + " is " + *is + ", not " + wanted,
                   options_.path, "put the database on a local disk"};
  }
  return {};
}

Status SqliteStore::migrate() {
  int version = 0;
  auto tables = db_.ask("SELECT count(*) FROM sqlite_master");
  if (!tables) return tables.error();
  if (*tables != "0") {
    auto meta = db_.ask("SELECT count(*) FROM sqlite_master WHERE name = 'meta'");
    if (!meta) return meta.error();
    if (*meta == "0")
      return Error{"not_ours", "the file is a database of another program", options_.path,
                   "name another file"};
    auto stored = db_.ask("SELECT schema_version FROM meta WHERE id = 1");
    if (!stored) return stored.error();
    version = std::atoi(stored->c_str());
    if (version < 1)
      return Error{"corrupt", "the database has no version", options_.path, "restore it from a backup"};
  }
  if (version > kSchemaVersion)
    return Error{"too_new",
                 "the database has version " + std::to_string(version) + ", this program knows " +
                     std::to_string(kSchemaVersion),
                 options_.path, "install the newer program again"};
  const auto scripts = sqlite_migrations();
  for (; version < kSchemaVersion; ++version) {
    auto done = transaction([&]() -> Status {
      if (auto ran = db_.exec(scripts[static_cast<std::size_t>(version)]); !ran) return ran;
      if (version != 0)
        return db_.exec(("UPDATE meta SET schema_version = " + std::to_string(version + 1)).c_str());
      auto insert = db_.prepare(
          "INSERT INTO meta (id, schema_version, cluster_uuid, epoch, lsn, last_job_id) VALUES (1, 1, ?1, 0, "
          "0, 0)");
      if (!insert) return insert.error();
      const Uuid id = options_.cluster.empty() ? Uuid::random() : options_.cluster;
      return insert->bind_blob(1, view(id)).run();
    });
    if (!done) return done;
  }
  return {};
}

Status SqliteStore::read_lineage(Lineage& out) {
  auto row = sql_.lineage.step();
  if (!row) return row.error();
  if (!*row || sql_.lineage.bytes(0).size() != 16) {
    sql_.lineage.reset();
    return Error{"corrupt", "the database does not say whose it is", options_.path,
                 "restore it from a backup"};
  }
  std::copy_n(sql_.lineage.bytes(0).begin(), 16, out.cluster.bytes.begin());
  out.epoch = static_cast<std::uint64_t>(sql_.lineage.number(1));
  out.lsn = static_cast<Lsn>(sql_.lineage.number(2));
  out.last_job_id = static_cast<JobId>(sql_.lineage.number(3));
  sql_.lineage.reset();
  return {};
}

template <class F>
Status SqliteStore::transaction(F body) {
  Status done = sql_.begin ? sql_.begin.run() : db_.exec("BEGIN IMMEDIATE");
  if (done) done = body();
  if (done) done = sql_.end ? sql_.end.run() : db_.exec("COMMIT");
  if (!done) {
    last_code_ = db_.last_code();
    if (db_.in_transaction()) (void)db_.exec("ROLLBACK");
  }
  return done;
}

// The smallest durable transaction. Refuses, as every transaction, when the lineage is another's.
Status SqliteStore::durable_touch() {
  const auto done = transaction([&] { return touch(); });
  return done ? done : failed(done.error());
}

// In a transaction: refuses when the lineage is another's.
Status SqliteStore::touch() {
  auto ran = sql_.touch.bind_blob(1, view(lineage_.cluster))
                 .bind(2, signed_(lineage_.epoch))
                 .bind(3, signed_(lineage_.lsn))
                 .run();
  if (!ran) return ran;
  return db_.changes() == 1 ? Status() : superseded(options_.path);
}

Status SqliteStore::reopen() {
  const bool rewrite = !full_;
  {
    const std::lock_guard hold(checkpoint_mutex_);
    checkpointer_.close();
  }
  sql_ = {};
  db_.close();
  broken_ = true;
  options_.create = false;
  auto done = with_ballast([&]() -> Status {
    sql_ = {};
    db_.close();
    if (auto opened = connect(); !opened) return opened;
    if (auto prepared = sql_.prepare(db_); !prepared) return prepared;
    if (rewrite)
      if (auto moved = db_.checkpoint(SQLITE_CHECKPOINT_TRUNCATE); !moved) return moved.error();
    Lineage now;
    if (auto read = read_lineage(now); !read) return read;
    if (replaced(now, lineage_)) return superseded(options_.path);
    lineage_ = now;
    return rewrite ? durable_touch() : Status();
  });
  if (!done) {
    broken_ = true;
    full_ = !rewrite && done.error().code == "no_space";  // what must be written again stays so until it was
    return done;
  }
  broken_ = full_ = false;
  return {};
}

Status SqliteStore::commit(const Batch& batch) {
  if (broken_) return broken();
  const Rows rows = rows_of(batch);
  for (const auto& launch : rows.launches) {
    sweep_.use(launch.script);
    sweep_.use(launch.environment);
  }
  const auto done = transaction([&]() -> Status {
    auto ran = sql_.compare_and_move.bind(1, signed_(batch.last))
                   .bind(2, batch.last_job_id)
                   .bind_blob(3, view(lineage_.cluster))
                   .bind(4, signed_(lineage_.epoch))
                   .bind(5, signed_(batch.first) - 1)
                   .run();
    if (!ran) return ran;
    if (db_.changes() != 1) return superseded(options_.path);
    return sql_.write(rows);
  });
  if (!done) return failed(done.error());
  lineage_.lsn = batch.last;
  lineage_.last_job_id = std::max(lineage_.last_job_id, batch.last_job_id);
  return {};
}

Status SqliteStore::confirm() {
  if (broken_) return broken();
  Lineage now;
  if (auto read = read_lineage(now); !read) return failed(read.error());
  if (now.cluster != lineage_.cluster || now.epoch != lineage_.epoch || now.lsn != lineage_.lsn)
    return failed(superseded(options_.path));
  return {};
}

Result<Loaded> SqliteStore::load() {
  if (broken_) return broken();
  Loaded loaded;
  JobLoader loader;
  auto select = db_.prepare("SELECT id, record FROM jobs ORDER BY id");
  if (!select) return select.error();
  for (;;) {
    auto row = select->step();
    if (!row) return row.error();
    if (!*row) break;
    auto job = loader.load(select->bytes(1), "job " + std::to_string(select->number(0)));
    if (!job) return job.error();
    loaded.jobs.push_back(std::move(*job));
  }
  select = db_.prepare(
      "SELECT s.record FROM jobs j CROSS JOIN steps s ON s.job = j.id ORDER BY j.id, s.attempt, s.step");
  if (!select) return select.error();
  for (;;) {
    auto row = select->step();
    if (!row) return row.error();
    if (!*row) break;
    auto step = from_record<Step>(select->bytes(0), "a step");
    if (!step) return step.error();
    loaded.steps.push_back(std::make_shared<const Step>(std::move(*step)));
  }
  select = db_.prepare("SELECT name, record FROM nodes ORDER BY name");
  if (!select) return select.error();
  for (;;) {
    auto row = select->step();
    if (!row) return row.error();
    if (!*row) break;
    const std::string name(select->bytes(0));
    auto decision = from_record<NodeDecision>(select->bytes(1), "node " + name);
    if (!decision) return decision.error();
    loaded.nodes.push_back({name, std::move(*decision)});
  }
  select = db_.prepare("SELECT key, text FROM settings");
  if (!select) return select.error();
  for (;;) {
    auto row = select->step();
    if (!row) return row.error();
    if (!*row) return loaded;
    loaded.settings.emplace(select->bytes(0), select->bytes(1));
  }
}

Status SqliteStore::prune(Time before, std::uint32_t limit) {
  if (broken_) return broken();
  const auto done = transaction([&] { return prune_in_transaction(before, limit); });
  return done ? done : failed(done.error());
}

Status SqliteStore::prune_in_transaction(Time before, std::uint32_t limit) {
  if (auto ours = touch(); !ours) return ours;
  // Request ids begin with the time at which they were made: the oldest answers come first, or nearly so.
  if (auto ran = sql_.drop_requests.bind(1, before.us).bind(2, limit).run(); !ran) return ran;
  if (sweep_.marking()) {
    std::vector<ContentSweep::Launch> launches;
    auto& step = sql_.launches_step.bind(1, sweep_.job()).bind(2, limit);
    auto done = each_row(step, [&] {
      launches.push_back({step.number(0), hash_of(step.bytes(1)), hash_of(step.bytes(2))});
    });
    if (done) sweep_.mark(launches, limit);
    return done;
  }
  std::vector<Hash256> contents;
  auto& step = sql_.contents_step.bind_blob(1, sweep_.hash()).bind(2, limit);
  if (auto done = each_row(step, [&] { contents.push_back(hash_of(step.bytes(0))); }); !done) return done;
  for (const auto& hash : sweep_.unused(contents, limit))
    if (auto ran = sql_.drop_content.bind_blob(1, hash.view()).run(); !ran) return ran;
  return {};
}

Status SqliteStore::checkpoint() {
  const std::lock_guard hold(checkpoint_mutex_);
  if (!checkpointer_) {
    auto db = Database::open(options_.path, false, options_.vfs);
    if (!db) return db.error();
    checkpointer_ = std::move(*db);
    if (auto set = checkpointer_.exec("PRAGMA synchronous=FULL"); !set) return set;
  }
  const auto outcome = [](const Error& error) {
    return error.code == "locked" ? Status() : error;
  };  // the next will do
  auto moved = checkpointer_.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  if (!moved) return outcome(moved.error());
  if (moved->wal_frames <= kWalLimitFrames) return {};
  // Commits never pause long enough for the WAL to begin anew by itself: hold them for the few frames that are left.
  moved = checkpointer_.checkpoint(SQLITE_CHECKPOINT_RESTART);
  return moved ? Status() : outcome(moved.error());
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite(const OpenOptions& options) { return SqliteStore::open(options); }

}  // namespace bai::store
