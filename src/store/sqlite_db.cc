#include "store/sqlite_db.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bai::store {

void Statement::Finalize::operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

Statement& Statement::bind(int at, std::int64_t value) {
  if (const int rc = sqlite3_bind_int64(stmt_.get(), at, value); rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

Statement& Statement::bind_blob(int at, std::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();  // a null pointer would bind NULL
  if (const int rc = sqlite3_bind_blob64(stmt_.get(), at, data, bytes.size(), SQLITE_STATIC); rc != SQLITE_OK)
    bind_error_ = rc;
  return *this;
}

Statement& Statement::bind_text(int at, std::string_view text) {
  const char* data = text.empty() ? "" : text.data();
  const int rc = sqlite3_bind_text64(stmt_.get(), at, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  if (rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

Result<bool> Statement::step() {
  const int rc = bind_error_ != 0 ? bind_error_ : sqlite3_step(stmt_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) {
    reset();
    return false;
  }
  Error error = Database::error(db_, rc, path_);
  reset();
  return error;
}

Status Statement::run() {
  auto row = step();
  if (!row) return row.error();
  if (*row) reset();
  return {};
}

void Statement::reset() {
  bind_error_ = 0;
  sqlite3_reset(stmt_.get());
}

std::int64_t Statement::number(int column) const { return sqlite3_column_int64(stmt_.get(), column); }

std::string_view Statement::bytes(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(stmt_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(stmt_.get(), column));
  return data != nullptr ? std::string_view(data, size) : std::string_view();
}

Result<Database> Database::open(const std::string& path, bool create, const std::string& vfs) {
  Database database;
  database.path_ = path;
  sqlite3* db = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int rc = sqlite3_open_v2(path.c_str(), &db, flags, vfs.empty() ? nullptr : vfs.c_str());
  database.db_.reset(db);
  if (rc != SQLITE_OK) return error(db, rc, path);
  sqlite3_busy_timeout(db, 10'000);
  return database;
}

Status Database::exec(const char* sql) {
  const int rc = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return error(db_.get(), rc, path_);
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  const int rc = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (rc != SQLITE_OK) return error(db_.get(), rc, path_);
  return Statement(db_.get(), stmt, path_);
}

Result<std::string> Database::ask(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) return statement.error();
  auto row = statement->step();
  if (!row) return row.error();
  return *row ? std::string(statement->bytes(0)) : std::string();
}

std::int64_t Database::changes() const { return sqlite3_changes64(db_.get()); }
int Database::last_code() const { return sqlite3_extended_errcode(db_.get()); }
bool Database::in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }

Result<Database::Checkpointed> Database::checkpoint(int mode) {
  Checkpointed done;
  const int rc = sqlite3_wal_checkpoint_v2(db_.get(), nullptr, mode, &done.wal_frames, &done.moved);
  if (rc != SQLITE_OK) return error(db_.get(), rc, path_);
  return done;
}

void Database::reserve_wal(std::int64_t bytes) {
  sqlite3_file* wal = nullptr;
  sqlite3_int64 size = 0;
  if (sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) != SQLITE_OK ||
      wal == nullptr || wal->pMethods == nullptr || wal->pMethods->xFileSize(wal, &size) != SQLITE_OK)
    return;
  const std::string zeros(256 << 10, '\0');
  while (size < bytes) {
    const auto n =
        static_cast<int>(std::min<std::int64_t>(bytes - size, static_cast<std::int64_t>(zeros.size())));
    if (wal->pMethods->xWrite(wal, zeros.data(), n, size) != SQLITE_OK) return;
    size += n;
  }
  (void)wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
}

Error Database::error(sqlite3* db, int rc, const std::string& path) {
  const int system = db != nullptr ? sqlite3_system_errno(db) : 0;
  std::string said = db != nullptr && sqlite3_errcode(db) == rc ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
  const int primary = rc & 0xff;
  if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT)))
    return {"no_space", "the database disk is full", path,
            "free space on it; service then resumes by itself"};
  switch (primary) {
    case SQLITE_CANTOPEN:
      if (system == ENOENT) return {"not_found", "the database does not exist", path, "create its directory"};
      [[fallthrough]];
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return {"permission_denied", "the database cannot be opened for writing: " + said, path,
              "let the user that the daemon runs as own the file and its directory"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {"locked", "another process uses the database: " + said, path,
              "end it, or wait until it is done"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {"corrupt", "the database is damaged: " + said, path, "restore it from a backup"};
    case SQLITE_IOERR:
      return {"io_error",
              "the database's disk failed: " + said +
                  (system != 0 ? std::string(": ") + std::strerror(system) : ""),
              path, "check the disk and the kernel's log"};
    default:
      return {"store_error", "the database refused: " + said + " (" + std::to_string(rc) + ")", path};
  }
}

}  // namespace bai::store
