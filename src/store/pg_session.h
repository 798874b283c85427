// Session: one connection to PostgreSQL on which every wait is bounded. Parameters travel in binary, lists as arrays, so
// that one statement writes a table's whole share of a batch. One thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct pg_conn;
struct pg_result;

namespace bai::store {

// A statement's parameters in PostgreSQL's binary format (src/backend/utils/adt/*recv).
class PgParams {
 public:
  PgParams& number(std::int64_t n);     // int8
  PgParams& bytes(std::string_view b);  // bytea, text
  // Lists: f(row) gives the element of each row.
  template <class List, class F>
  PgParams& numbers(const List& list, F f) {
    begin_array(kInt8, list.size());
    for (const auto& row : list) add_number(f(row));
    return *this;
  }
  template <class List, class F>
  PgParams& blobs(const List& list, F f) {
    begin_array(kBytea, list.size());
    for (const auto& row : list) add_bytes(f(row));
    return *this;
  }
  template <class List, class F>
  PgParams& texts(const List& list, F f) {
    begin_array(kText, list.size());
    for (const auto& row : list) add_bytes(f(row));
    return *this;
  }
  const std::vector<std::string>& values() const { return values_; }

 private:
  static constexpr std::uint32_t kBytea = 17, kInt8 = 20, kText = 25;
  void begin_array(std::uint32_t element_type, std::size_t size);
  void add_number(std::int64_t n);
  void add_bytes(std::string_view b);
  std::vector<std::string> values_;
};

// Rows in binary format.
class PgResult {
 public:
  explicit PgResult(pg_result* result) : result_(result) {}
  int rows() const;
  std::int64_t number(int row, int column) const;  // int2, int4, int8
  std::string_view bytes(int row, int column) const;
  pg_result* get() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

// A step of a pipeline: a prepared statement's name and what it is given.
struct PgStep {
  const char* statement;
  PgParams params;
};

class Session {
 public:
  // libpq's connection string or URI; unset timeouts get bounds. `role` ends up in pg_stat_activity's application_name.
  static Result<Session> connect(const std::string& conninfo, const std::string& role);

  // One statement (several when without parameters; the last one's rows).
  Result<PgResult> query(const std::string& sql, const PgParams& params = {});
  Status exec(const std::string& sql);
  // Several statements without parameters.
  Status script(const char* sql);
  Status prepare(const char* name, const std::string& sql);
  Result<PgResult> run(const char* statement, const PgParams& params);
  // One round trip, one transaction: begin, the steps, commit. The first error ends and rolls back all.
  Status transaction(const std::vector<PgStep>& steps);
  // Rows one at a time; the sink may stop.
  template <class F>
  Status each_row(const std::string& sql, const PgParams& params, F sink) {
    if (auto sent = send_query(sql, params); !sent) return sent;
    bool going = true;
    for (;;) {
      auto row = next_row();
      if (!row) return row.error();
      if (!row->get()) return {};
      for (int i = 0; going && i < row->rows(); ++i) going = sink(*row, i);
      if (!going) cancel();
    }
  }

  bool connected() const;
  int backend_pid() const;
  int server_version() const;
  // "host:port/database", without secrets.
  const std::string& place() const { return place_; }

 private:
  using Clock = std::chrono::steady_clock;
  Status send_query(const std::string& sql, const PgParams& params);
  Result<PgResult> next_row();
  void cancel();
  // The next result, or none at the end of a command. "timed_out" closes the connection.
  Result<PgResult> next_result(Clock::time_point deadline);
  Status flush(Clock::time_point deadline);
  Result<PgResult> finish(Clock::time_point deadline);  // the last result of a command
  Status wait(bool write, Clock::time_point deadline);
  Error connection_error(const std::string& what);
  Error result_error(const PgResult& result) const;

  struct Close {
    void operator()(pg_conn* conn) const;
  };
  std::unique_ptr<pg_conn, Close> conn_;
  std::string place_;
  bool cancelled_ = false;
};

}  // namespace bai::store
