#include "store/sqlite_statements.h"

#include <string>
#include <utility>

namespace bai::store {

namespace {

std::string history_insert() {
  std::string columns, values, updates;
  int n = 0;
  const auto add = [&](const char* column) {
    columns += (n != 0 ? ", " : "") + std::string(column);
    values += (n != 0 ? ", ?" : "?") + std::to_string(n + 1);
    updates += (n != 0 ? ", " : "") + std::string(column) + " = excluded." + column;
    ++n;
  };
  for (const char* column : kHistoryNumbers) add(column);
  for (const char* column : kHistoryTexts) add(column);
  add("record");
  return "INSERT INTO history (" + columns + ") VALUES (" + values +
         ") ON CONFLICT (job_id, attempt) DO UPDATE SET " + updates;
}

// One statement for each run of consecutive ids: jobs leave nearly as they came, and a range costs a fraction of its rows one by one.
Status each_run(const std::vector<std::int64_t>& ids, Statement& drop) {
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t end = i + 1;
    while (end < ids.size() && ids[end] == ids[end - 1] + 1) ++end;
    if (auto done = drop.bind(1, ids[i]).bind(2, ids[end - 1]).run(); !done) return done;
    i = end;
  }
  return {};
}

}  // namespace

Status SqliteStatements::prepare(Database& db) {
  const std::string history = history_insert();
  const std::pair<Statement*, std::string_view> wanted[] = {
      {&begin, "BEGIN IMMEDIATE"},
      {&end, "COMMIT"},
      {&compare_and_move,
       "UPDATE meta SET lsn = ?1, last_job_id = max(last_job_id, ?2)"
       " WHERE id = 1 AND cluster_uuid = ?3 AND epoch = ?4 AND lsn = ?5"},
      {&touch,
       "UPDATE meta SET probes = probes + 1 WHERE id = 1 AND cluster_uuid = ?1 AND epoch = ?2 AND lsn = "
       "?3"},
      {&lineage, "SELECT cluster_uuid, epoch, lsn, last_job_id FROM meta WHERE id = 1"},
      {&put_job, "INSERT OR REPLACE INTO jobs (id, record) VALUES (?1, ?2)"},
      {&drop_job, "DELETE FROM jobs WHERE id BETWEEN ?1 AND ?2"},
      {&put_launch,
       "INSERT OR REPLACE INTO launches (job, script, environment, record) VALUES (?1, ?2, ?3, ?4)"},
      {&drop_launch, "DELETE FROM launches WHERE job BETWEEN ?1 AND ?2"},
      {&put_content, "INSERT INTO contents (hash, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING"},
      {&put_event, "INSERT OR REPLACE INTO events (job, lsn, record) VALUES (?1, ?2, ?3)"},
      {&put_step, "INSERT OR REPLACE INTO steps (job, attempt, step, record) VALUES (?1, ?2, ?3, ?4)"},
      {&put_request, "INSERT OR REPLACE INTO requests (id, uid, at, answer) VALUES (?1, ?2, ?3, ?4)"},
      {&put_node, "INSERT OR REPLACE INTO nodes (name, record) VALUES (?1, ?2)"},
      {&put_setting, "INSERT OR REPLACE INTO settings (key, text) VALUES (?1, ?2)"},
      {&drop_setting, "DELETE FROM settings WHERE key = ?1"},
      {&put_history, history},
      {&drop_requests,
       "DELETE FROM requests WHERE id IN"
       " (SELECT id FROM (SELECT id, at FROM requests ORDER BY id LIMIT ?2) WHERE at < ?1)"},
      {&launches_step, "SELECT job, script, environment FROM launches WHERE job > ?1 ORDER BY job LIMIT ?2"},
      {&contents_step, "SELECT hash FROM contents WHERE hash > ?1 ORDER BY hash LIMIT ?2"},
      {&drop_content, "DELETE FROM contents WHERE hash = ?1"},
  };
  for (const auto& [statement, sql] : wanted) {
    auto prepared = db.prepare(sql);
    if (!prepared) return prepared.error();
    *statement = std::move(*prepared);
  }
  return {};
}

Status SqliteStatements::write(const Rows& rows) {
  const auto each = [](const auto& list, auto run) -> Status {
    for (const auto& row : list)
      if (auto done = run(row); !done) return done;
    return {};
  };
  Status done =
      each(rows.jobs, [&](const auto& r) { return put_job.bind(1, r.key).bind_blob(2, r.record).run(); });
  if (done) done = each_run(rows.jobs_gone, drop_job);
  if (done)
    done = each(rows.launches, [&](const auto& r) {
      return put_launch.bind(1, r.job)
          .bind_blob(2, r.script.view())
          .bind_blob(3, r.environment.view())
          .bind_blob(4, r.record)
          .run();
    });
  if (done) done = each_run(rows.launches_gone, drop_launch);
  if (done)
    done = each(rows.contents, [&](const ContentPut* put) {
      return put_content.bind_blob(1, put->hash.view()).bind_blob(2, *put->bytes).run();
    });
  if (done)
    done = each(rows.events, [&](const auto& r) {
      return put_event.bind(1, r.job).bind(2, r.lsn).bind_blob(3, r.record).run();
    });
  if (done)
    done = each(rows.steps, [&](const auto& r) {
      return put_step.bind(1, r.job).bind(2, r.attempt).bind(3, r.step).bind_blob(4, r.record).run();
    });
  if (done)
    done = each(rows.requests, [&](const RequestPut* put) {
      return put_request.bind_blob(1, view(put->id))
          .bind(2, put->uid)
          .bind(3, put->at.us)
          .bind_blob(4, put->answer)
          .run();
    });
  if (done)
    done = each(rows.nodes,
                [&](const auto& r) { return put_node.bind_text(1, r.name).bind_blob(2, r.record).run(); });
  if (done)
    done = each(rows.settings,
                [&](const auto& r) { return put_setting.bind_text(1, r.key).bind_blob(2, r.text).run(); });
  if (done)
    done = each(rows.settings_gone, [&](const auto& key) { return drop_setting.bind_text(1, key).run(); });
  if (done)
    done = each(rows.history, [&](const HistoryValues& row) {
      int at = 0;
      for (const auto n : row.numbers) put_history.bind(++at, n);
      for (const auto& text : row.texts) put_history.bind_text(++at, text);
      return put_history.bind_blob(++at, row.record).run();
    });
  return done;
}

}  // namespace bai::store
