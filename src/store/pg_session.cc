#include "store/pg_session.h"

#include <poll.h>
#include <postgresql/libpq-fe.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "store/driver.h"

namespace bai::store {

namespace {

// The server gives up first, so that its answer says why.
constexpr auto kClientLimit = std::chrono::seconds(45);
constexpr const char* kServerLimits =
    "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = "
    "'30s';"
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = '20s'; SET client_encoding = 'UTF8'; SET client_min_messages = warning;"
    "SET jit = off";

std::string first_line(const char* text) {
  std::string line(text != nullptr ? text : "");
  line = line.substr(0, line.find('\n'));
  return line;
}

struct Pointers {
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  explicit Pointers(const PgParams& params) {
    for (const auto& value : params.values()) {
      values.push_back(value.data());
      lengths.push_back(static_cast<int>(value.size()));
      formats.push_back(1);
    }
  }
  int count() const { return static_cast<int>(values.size()); }
};

}  // namespace

void Session::Close::operator()(pg_conn* conn) const { PQfinish(conn); }

Result<Session> Session::connect(const std::string& conninfo, const std::string& role) {
  Session session;
  session.place_ = "PostgreSQL";
  // Later keywords win over earlier ones, and an expanded dbname over those before it: defaults first.
  const char* keywords[] = {
      "connect_timeout",  "tcp_user_timeout",          "keepalives_idle", "keepalives_interval",
      "keepalives_count", "fallback_application_name", "dbname",          nullptr};
  const char* values[] = {"5", "20000", "10", "5", "3", role.c_str(), conninfo.c_str(), nullptr};
  session.conn_.reset(PQconnectdbParams(keywords, values, 1));
  PGconn* conn = session.conn_.get();
  if (conn == nullptr || PQstatus(conn) != CONNECTION_OK) return session.connection_error("cannot connect");
  const auto part = [](const char* text) { return std::string(text != nullptr ? text : ""); };
  session.place_ = part(PQhost(conn)) + ":" + part(PQport(conn)) + "/" + part(PQdb(conn));
  PQsetnonblocking(conn, 1);
  PQsetNoticeProcessor(
      conn, [](void*, const char*) {}, nullptr);  // libpq would write them to stderr
  if (auto done = session.script(kServerLimits); !done) return done.error();
  return session;
}

bool Session::connected() const { return conn_ && PQstatus(conn_.get()) == CONNECTION_OK; }
int Session::backend_pid() const { return PQbackendPID(conn_.get()); }
int Session::server_version() const { return PQserverVersion(conn_.get()); }

Error Session::connection_error(const std::string& what) {
  Error error{
      "unavailable", "PostgreSQL: " + what + ": " + first_line(PQerrorMessage(conn_.get())), place_,
      "check that the server runs and that the connection string is right; service resumes by itself"};
  return error;
}

Error Session::result_error(const PgResult& result) const {
  const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
  const std::string code = state != nullptr ? state : "";
  const std::string said =
      "PostgreSQL: " + first_line(PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY));
  if (code == "53100")
    return {"no_space", "the database disk is full: " + said, place_,
            "free space on the server; service then resumes by itself"};
  if (code == "42501") return {"permission_denied", said, place_, "let the role own the schema 'bai'"};
  if (code == "22012") return superseded(place_);
  if (code == "55P03" || code == "57014")
    return {"timed_out", said, place_, "look for a long transaction on the server"};
  if (code.empty() || code.starts_with("08") || code.starts_with("57P"))
    return {"unavailable", said, place_, "check that the server runs; service resumes by itself"};
  return {"store_error", said + " (" + code + ")", place_};
}

Status Session::wait(bool write, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd entry{PQsocket(conn_.get()), static_cast<short>(write ? POLLIN | POLLOUT : POLLIN), 0};
    if (entry.fd < 0) return connection_error("the connection is lost");
    const int ready = left <= 0 ? 0 : poll(&entry, 1, static_cast<int>(left));
    if (ready > 0) return {};
    if (ready < 0 && errno == EINTR) continue;
    conn_.reset();
    return Error{"timed_out", "PostgreSQL did not answer in time", place_,
                 "check the server's load; service resumes by itself"};
  }
}

Status Session::flush(Clock::time_point deadline) {
  for (;;) {
    const int left = PQflush(conn_.get());
    if (left == 0) return {};
    if (left < 0) return connection_error("the connection is lost");
    if (auto ready = wait(true, deadline); !ready) return ready;
    if (PQconsumeInput(conn_.get()) == 0) return connection_error("the connection is lost");
  }
}

Result<PgResult> Session::next_result(Clock::time_point deadline) {
  while (PQisBusy(conn_.get()) != 0) {
    if (auto ready = wait(false, deadline); !ready) return ready.error();
    if (PQconsumeInput(conn_.get()) == 0) return connection_error("the connection is lost");
  }
  return PgResult(PQgetResult(conn_.get()));
}

Result<PgResult> Session::finish(Clock::time_point deadline) {
  if (auto sent = flush(deadline); !sent) return sent.error();
  PgResult last(nullptr);
  bool bad = false;
  for (;;) {
    auto result = next_result(deadline);
    if (!result) return result.error();
    if (result->get() == nullptr) break;
    const auto status = PQresultStatus(result->get());
    if (bad) continue;
    bad = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
    last = std::move(*result);
  }
  if (bad) return result_error(last);
  return last;
}

Result<PgResult> Session::query(const std::string& sql, const PgParams& params) {
  if (!connected()) return Error{"unavailable", "PostgreSQL: not connected", place_};
  const Pointers p(params);
  if (PQsendQueryParams(conn_.get(), sql.c_str(), p.count(), nullptr, p.values.data(), p.lengths.data(),
                        p.formats.data(), 1) == 0)
    return connection_error("cannot send");
  return finish(Clock::now() + kClientLimit);
}

Status Session::exec(const std::string& sql) {
  auto result = query(sql);
  if (!result) return result.error();
  return {};
}

Status Session::script(const char* sql) {
  if (!connected()) return Error{"unavailable", "PostgreSQL: not connected", place_};
  if (PQsendQuery(conn_.get(), sql) == 0) return connection_error("cannot send");
  auto result = finish(Clock::now() + kClientLimit);
  if (!result) return result.error();
  return {};
}

Status Session::prepare(const char* name, const std::string& sql) {
  if (PQsendPrepare(conn_.get(), name, sql.c_str(), 0, nullptr) == 0) return connection_error("cannot send");
  auto result = finish(Clock::now() + kClientLimit);
  if (!result) return result.error();
  return {};
}

Result<PgResult> Session::run(const char* statement, const PgParams& params) {
  if (!connected()) return Error{"unavailable", "PostgreSQL: not connected", place_};
  const Pointers p(params);
  if (PQsendQueryPrepared(conn_.get(), statement, p.count(), p.values.data(), p.lengths.data(),
                          p.formats.data(), 1) == 0)
    return connection_error("cannot send");
  return finish(Clock::now() + kClientLimit);
}

Status Session::transaction(const std::vector<PgStep>& steps) {
  if (!connected()) return Error{"unavailable", "PostgreSQL: not connected", place_};
  const auto deadline = Clock::now() + kClientLimit;
  PGconn* conn = conn_.get();
  if (PQenterPipelineMode(conn) == 0) return connection_error("cannot send");
  const auto send = [&](const char* statement, const PgParams& params) {
    const Pointers p(params);
    return PQsendQueryPrepared(conn, statement, p.count(), p.values.data(), p.lengths.data(),
                               p.formats.data(), 1) != 0;
  };
  bool sent = send("bai_begin", {});
  for (const auto& step : steps) sent = sent && send(step.statement, step.params);
  sent = sent && send("bai_commit", {}) && PQpipelineSync(conn) != 0;
  if (!sent) return connection_error("cannot send");
  if (auto flushed = flush(deadline); !flushed) return flushed;
  Status outcome;
  for (;;) {  // every command's results end with a null; the sync ends all
    auto result = next_result(deadline);
    if (!result) return result.error();
    if (result->get() == nullptr) {
      if (PQstatus(conn) != CONNECTION_OK) return connection_error("the connection is lost");
      continue;
    }
    const auto status = PQresultStatus(result->get());
    if (status == PGRES_PIPELINE_SYNC) break;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_PIPELINE_ABORTED &&
        outcome)
      outcome = result_error(*result);
  }
  if (PQexitPipelineMode(conn) == 0) return connection_error("the answers do not match");
  if (!outcome && PQtransactionStatus(conn) != PQTRANS_IDLE) (void)script("ROLLBACK");
  return outcome;
}

Status Session::send_query(const std::string& sql, const PgParams& params) {
  if (!connected()) return Error{"unavailable", "PostgreSQL: not connected", place_};
  cancelled_ = false;
  const Pointers p(params);
  if (PQsendQueryParams(conn_.get(), sql.c_str(), p.count(), nullptr, p.values.data(), p.lengths.data(),
                        p.formats.data(), 1) == 0)
    return connection_error("cannot send");
  PQsetSingleRowMode(conn_.get());
  return flush(Clock::now() + kClientLimit);
}

Result<PgResult> Session::next_row() {
  PgResult none(nullptr);
  Status outcome;
  for (;;) {
    auto result = next_result(Clock::now() + kClientLimit);
    if (!result) return result.error();
    if (result->get() == nullptr) {
      if (!outcome) return outcome.error();
      return none;
    }
    const auto status = PQresultStatus(result->get());
    if (status == PGRES_SINGLE_TUPLE) return result;
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && !cancelled_)
      outcome = result_error(*result);
  }
}

// Ends a query whose rest is not wanted.
void Session::cancel() {
  if (std::exchange(cancelled_, true)) return;
  const std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> handle(PQgetCancel(conn_.get()), PQfreeCancel);
  char why[256];
  if (handle) PQcancel(handle.get(), why, sizeof why);
}

}  // namespace bai::store
