// Database and Statement: sqlite3's handles with owners and Results, no more. A Database and its statements belong to
// one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace bai::store {

// A prepared statement. Bound text must stay until the statement was run or reset.
class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* db, sqlite3_stmt* stmt, std::string path)
      : db_(db), stmt_(stmt), path_(std::move(path)) {}

  explicit operator bool() const { return stmt_ != nullptr; }  // it was prepared

  // Parameters count from 1.
  Statement& bind(int at, std::int64_t value);
  Statement& bind_blob(int at, std::string_view bytes);
  Statement& bind_text(int at, std::string_view text);

  // True: a row can be read; false: done, and reset.
  Result<bool> step();
  // For statements without rows: one step and a reset.
  Status run();
  void reset();

  // Columns count from 0; views live until the next step or reset.
  std::int64_t number(int column) const;
  std::string_view bytes(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* stmt) const;
  };
  sqlite3* db_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> stmt_;
  std::string path_;
  int bind_error_ = 0;
};

class Database {
 public:
  // `vfs`: empty for sqlite's default. Creates the file if `create`. Errors: see error().
  static Result<Database> open(const std::string& path, bool create, const std::string& vfs);

  // Any number of statements without results.
  Status exec(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  // The first column of the first row, as text; empty without a row.
  Result<std::string> ask(std::string_view sql);
  // Rows changed by the last statement.
  std::int64_t changes() const;
  bool in_transaction() const;
  // sqlite's extended result code of the last call.
  int last_code() const;
  struct Checkpointed {
    int wal_frames = 0, moved = 0;  // -1: no WAL
  };
  // mode: SQLITE_CHECKPOINT_*.
  Result<Checkpointed> checkpoint(int mode);
  // Fills the WAL up to `bytes` with zeros, which sqlite takes for its end: a commit that writes over what is there has no
  // new size to sync. Nothing is lost when it fails.
  void reserve_wal(std::int64_t bytes);
  void close() { db_.reset(); }
  explicit operator bool() const { return db_ != nullptr; }

  // "no_space", "permission_denied", "locked", "corrupt", "io_error", "store_error": with place and remedy.
  static Error error(sqlite3* db, int rc, const std::string& path);

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  std::unique_ptr<sqlite3, Close> db_;
  std::string path_;
};

}  // namespace bai::store
