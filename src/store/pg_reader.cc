#include "store/pg_reader.h"

#include <utility>

#include "store/driver.h"
#include "store/history_sql.h"
#include "store/pg_session.h"
#include "store/record.h"

namespace bai::store {

namespace {

std::string any_of(const std::string& column, const std::string& parameter) {
  const bool text = column != "uid" && column != "job_id" && column != "array_id";
  return column + " = ANY(" + parameter + (text ? "::text[])" : "::int8[])");
}

class PgReader final : public Reader {
 public:
  explicit PgReader(OpenOptions options) : options_(std::move(options)) {}

  Status connect() {
    auto session = Session::connect(options_.path, "bai-ctld reader");
    if (!session) return session.error();
    session_ = std::make_unique<Session>(std::move(*session));
    return session_->script("SET search_path = bai; SET default_transaction_read_only = on");
  }

  Result<std::string> content(const Hash256& hash) override {
    auto rows = ask("SELECT bytes FROM contents WHERE hash = $1::bytea", PgParams().bytes(hash.view()));
    if (!rows) return rows.error();
    if (rows->rows() == 0) return Error{"not_found", "no content has the hash " + hash.hex()};
    return std::string(rows->bytes(0, 0));
  }

  Result<LaunchRecord> launch(JobId job) override {
    auto rows = ask("SELECT record FROM launches WHERE job = $1::int8", PgParams().number(job));
    if (!rows) return rows.error();
    if (rows->rows() == 0) return Error{"not_found", "no launch record of job " + std::to_string(job)};
    return from_record<LaunchRecord>(rows->bytes(0, 0), "launch " + std::to_string(job));
  }

  Result<std::optional<RequestAnswer>> request(const RequestId& id) override {
    auto rows = ask("SELECT uid, at, answer FROM requests WHERE id = $1::bytea", PgParams().bytes(view(id)));
    if (!rows) return rows.error();
    if (rows->rows() == 0) return std::optional<RequestAnswer>();
    return std::optional<RequestAnswer>(RequestAnswer{static_cast<std::uint32_t>(rows->number(0, 0)),
                                                      Time{rows->number(0, 1)},
                                                      std::string(rows->bytes(0, 2))});
  }

  Result<std::vector<JobEvent>> events(JobId job) override {
    auto rows = ask("SELECT record FROM events WHERE job = $1::int8 ORDER BY lsn", PgParams().number(job));
    if (!rows) return rows.error();
    std::vector<JobEvent> list;
    for (int i = 0; i < rows->rows(); ++i) {
      auto event = from_record<JobEvent>(rows->bytes(i, 0), "an event of job " + std::to_string(job));
      if (!event) return event.error();
      list.push_back(std::move(*event));
    }
    return list;
  }

  Result<std::vector<Step>> steps(JobId job) override {
    auto rows =
        ask("SELECT record FROM steps WHERE job = $1::int8 ORDER BY attempt, step", PgParams().number(job));
    if (!rows) return rows.error();
    std::vector<Step> list;
    for (int i = 0; i < rows->rows(); ++i) {
      auto step = from_record<Step>(rows->bytes(i, 0), "a step of job " + std::to_string(job));
      if (!step) return step.error();
      list.push_back(std::move(*step));
    }
    return list;
  }

  Status history(const HistoryQuery& query, const std::function<bool(HistoryRow)>& sink) override {
    if (auto ready = ensure(); !ready) return ready;
    const auto built = history_sql(query, '$', any_of);
    PgParams params;
    for (const auto& parameter : built.parameters) {
      if (const auto* n = std::get_if<std::int64_t>(&parameter)) {
        params.number(*n);
      } else if (const auto* numbers = std::get_if<1>(&parameter)) {
        params.numbers(*numbers, [](std::int64_t each) { return each; });
      } else {
        params.texts(std::get<2>(parameter),
                     [](const std::string& each) -> std::string_view { return each; });
      }
    }
    JobLoader loader;
    Status bad;
    bool any = false;
    const auto read = [&] {
      return session_->each_row(built.sql, params, [&](const PgResult& rows, int i) {
        any = true;
        auto job = loader.load(rows.bytes(i, 1), "a row of history");
        if (!job) bad = job.error();
        return job && sink(HistoryRow{std::move(*job), std::string(rows.bytes(i, 0))});
      });
    };
    auto done = read();
    // As in ask(), but what was handed on is not handed on again.
    if (!done && !any && !session_->connected()) {
      if (auto ready = connect(); !ready) return ready;
      done = read();
    }
    return bad ? done : bad;
  }

 private:
  Status ensure() { return session_ && session_->connected() ? Status() : connect(); }
  // A server that went away and came back costs one more try, not an error.
  Result<PgResult> ask(const std::string& sql, const PgParams& params) {
    if (auto ready = ensure(); !ready) return ready.error();
    auto rows = session_->query(sql, params);
    if (rows || session_->connected()) return rows;
    if (auto ready = connect(); !ready) return ready.error();
    return session_->query(sql, params);
  }

  OpenOptions options_;
  std::unique_ptr<Session> session_;
};

}  // namespace

Result<std::unique_ptr<Reader>> open_postgresql_reader(const OpenOptions& options) {
  auto reader = std::make_unique<PgReader>(options);
  if (auto done = reader->connect(); !done) return done.error();
  return std::unique_ptr<Reader>(std::move(reader));
}

}  // namespace bai::store
