#include "store/sqlite_reader.h"

#include <cstdio>
#include <utility>

#include "store/driver.h"
#include "store/history_sql.h"
#include "store/record.h"
#include "store/sqlite_db.h"

namespace bai::store {

namespace {

std::string in_json(const std::string& column, const std::string& parameter) {
  return column + " IN (SELECT value FROM json_each(" + parameter + "))";
}

std::string json(const std::vector<std::int64_t>& numbers) {
  std::string out = "[";
  for (const auto n : numbers) out += (out.size() > 1 ? "," : "") + std::to_string(n);
  return out + "]";
}

std::string json(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const auto& text : texts) {
    out += out.size() > 1 ? ",\"" : "\"";
    for (const char c : text) {
      char escaped[8];
      if (c == '"' || c == '\\') {
        out += {'\\', c};
      } else if (static_cast<unsigned char>(c) < 0x20) {
        std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
        out += escaped;
      } else {
        out += c;
      }
    }
    out += '"';
  }
  return out + "]";
}

class SqliteReader final : public Reader {
 public:
  static Result<std::unique_ptr<Reader>> open(const OpenOptions& options) {
    auto reader = std::make_unique<SqliteReader>();
    auto db = Database::open(options.path, false, options.vfs);
    if (!db) return db.error();
    reader->db_ = std::move(*db);
    if (auto done = reader->db_.exec("PRAGMA query_only=1; PRAGMA cache_size=-8192"); !done)
      return done.error();
    const std::pair<Statement*, const char*> wanted[] = {
        {&reader->content_, "SELECT bytes FROM contents WHERE hash = ?1"},
        {&reader->launch_, "SELECT record FROM launches WHERE job = ?1"},
        {&reader->request_, "SELECT uid, at, answer FROM requests WHERE id = ?1"},
        {&reader->events_, "SELECT record FROM events WHERE job = ?1 ORDER BY lsn"},
        {&reader->steps_, "SELECT record FROM steps WHERE job = ?1 ORDER BY attempt, step"}};
    for (const auto& [statement, sql] : wanted) {
      auto prepared = reader->db_.prepare(sql);
      if (!prepared) return prepared.error();
      *statement = std::move(*prepared);
    }
    return std::unique_ptr<Reader>(std::move(reader));
  }

  Result<std::string> content(const Hash256& hash) override {
    auto row = content_.bind_blob(1, hash.view()).step();
    if (!row) return row.error();
    if (!*row) return Error{"not_found", "no content has the hash " + hash.hex()};
    std::string bytes(content_.bytes(0));
    content_.reset();
    return bytes;
  }

  Result<LaunchRecord> launch(JobId job) override {
    auto row = launch_.bind(1, job).step();
    if (!row) return row.error();
    if (!*row) return Error{"not_found", "no launch record of job " + std::to_string(job)};
    auto launch = from_record<LaunchRecord>(launch_.bytes(0), "launch " + std::to_string(job));
    launch_.reset();
    return launch;
  }

  Result<std::optional<RequestAnswer>> request(const RequestId& id) override {
    auto row = request_.bind_blob(1, view(id)).step();
    if (!row) return row.error();
    if (!*row) return std::optional<RequestAnswer>();
    RequestAnswer answer{static_cast<std::uint32_t>(request_.number(0)), Time{request_.number(1)},
                         std::string(request_.bytes(2))};
    request_.reset();
    return std::optional<RequestAnswer>(std::move(answer));
  }

  Result<std::vector<Step>> steps(JobId job) override {
    std::vector<Step> list;
    steps_.bind(1, job);
    for (;;) {
      auto row = steps_.step();
      if (!row) return row.error();
      if (!*row) return list;
      auto step = from_record<Step>(steps_.bytes(0), "a step of job " + std::to_string(job));
      if (!step) {
        steps_.reset();
        return step.error();
      }
      list.push_back(std::move(*step));
    }
  }

  Result<std::vector<JobEvent>> events(JobId job) override {
    std::vector<JobEvent> list;
    events_.bind(1, job);
    for (;;) {
      auto row = events_.step();
      if (!row) return row.error();
      if (!*row) return list;
      auto event = from_record<JobEvent>(events_.bytes(0), "an event of job " + std::to_string(job));
      if (!event) {
        events_.reset();
        return event.error();
      }
      list.push_back(std::move(*event));
    }
  }

  Status history(const HistoryQuery& query, const std::function<bool(HistoryRow)>& sink) override {
    const auto built = history_sql(query, '?', in_json);
    auto select = db_.prepare(built.sql);
    if (!select) return select.error();
    std::vector<std::string> lists;
    lists.reserve(built.parameters.size());  // bound by address
    int at = 0;
    for (const auto& parameter : built.parameters) {
      ++at;
      if (const auto* n = std::get_if<std::int64_t>(&parameter)) {
        select->bind(at, *n);
      } else if (const auto* numbers = std::get_if<1>(&parameter)) {
        select->bind_text(at, lists.emplace_back(json(*numbers)));
      } else {
        select->bind_text(at, lists.emplace_back(json(std::get<2>(parameter))));
      }
    }
    JobLoader loader;
    for (;;) {
      auto row = select->step();
      if (!row) return row.error();
      if (!*row) return {};
      auto job = loader.load(select->bytes(1), "a row of history");
      if (!job) return job.error();
      if (!sink(HistoryRow{std::move(*job), std::string(select->bytes(0))})) return {};
    }
  }

 private:
  Database db_;
  Statement content_, launch_, request_, events_, steps_;
};

}  // namespace

Result<std::unique_ptr<Reader>> open_sqlite_reader(const OpenOptions& options) {
  return SqliteReader::open(options);
}

}  // namespace bai::store
