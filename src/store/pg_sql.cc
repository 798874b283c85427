#include "store/pg_sql.h"

#include "store/rows.h"

namespace bai::store {

namespace {

std::string put_history() {
  std::string columns, arrays, updates;
  int n = 0;
  const auto add = [&](const std::string& column, const char* type) {
    const std::string comma = n++ != 0 ? ", " : "";
    columns += comma + column;
    arrays += comma + "$" + std::to_string(n) + "::" + type + "[]";
    updates += comma + column + " = excluded." + column;
  };
  for (const char* column : kHistoryNumbers) add(column, "int8");
  for (const char* column : kHistoryTexts) add(column, "text");
  add("record", "bytea");
  return "INSERT INTO history (" + columns + ") SELECT * FROM unnest(" + arrays +
         ") ON CONFLICT (job_id, attempt) DO UPDATE SET " + updates;
}

// Dividing by the number of rows that matched ends the pipeline at once when a lineage is another's.
std::string compared(const std::string& update) {
  return "WITH mine AS (" + update + " RETURNING 1) SELECT 1 / count(*) FROM mine";
}

}  // namespace

std::vector<std::pair<const char*, std::string>> pg_statements() {
  return {
      {"bai_begin", "BEGIN"},
      {"bai_commit", "COMMIT"},
      {"bai_move",
       compared("UPDATE meta SET lsn = $1::int8, last_job_id = greatest(last_job_id, $2::int8)"
                " WHERE id = 1 AND cluster_uuid = $3::bytea AND epoch = $4::int8 AND lsn = $5::int8")},
      {"bai_touch",
       compared("UPDATE meta SET probes = probes + 1"
                " WHERE id = 1 AND cluster_uuid = $1::bytea AND epoch = $2::int8 AND lsn = $3::int8")},
      {"bai_put_jobs",
       "INSERT INTO jobs (id, record) SELECT * FROM unnest($1::int8[], $2::bytea[])"
       " ON CONFLICT (id) DO UPDATE SET record = excluded.record"},
      {"bai_drop_jobs", "DELETE FROM jobs WHERE id = ANY($1::int8[])"},
      {"bai_put_launches",
       "INSERT INTO launches (job, script, environment, record)"
       " SELECT * FROM unnest($1::int8[], $2::bytea[], $3::bytea[], $4::bytea[])"
       " ON CONFLICT (job) DO UPDATE SET script = excluded.script, environment = excluded.environment,"
       " record = excluded.record"},
      {"bai_drop_launches", "DELETE FROM launches WHERE job = ANY($1::int8[])"},
      {"bai_put_contents",
       "INSERT INTO contents (hash, bytes) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO "
       "NOTHING"},
      {"bai_put_events",
       "INSERT INTO events (job, lsn, record) SELECT * FROM unnest($1::int8[], $2::int8[], $3::bytea[])"
       " ON CONFLICT (job, lsn) DO UPDATE SET record = excluded.record"},
      {"bai_put_steps",
       "INSERT INTO steps (job, attempt, step, record)"
       " SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::bytea[])"
       " ON CONFLICT (job, attempt, step) DO UPDATE SET record = excluded.record"},
      {"bai_put_requests",
       "INSERT INTO requests (id, uid, at, answer)"
       " SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::bytea[])"
       " ON CONFLICT (id) DO UPDATE SET uid = excluded.uid, at = excluded.at, answer = excluded.answer"},
      {"bai_put_nodes",
       "INSERT INTO nodes (name, record) SELECT * FROM unnest($1::text[], $2::bytea[])"
       " ON CONFLICT (name) DO UPDATE SET record = excluded.record"},
      {"bai_put_settings",
       "INSERT INTO settings (key, text) SELECT * FROM unnest($1::text[], $2::bytea[])"
       " ON CONFLICT (key) DO UPDATE SET text = excluded.text"},
      {"bai_drop_settings", "DELETE FROM settings WHERE key = ANY($1::text[])"},
      {"bai_put_history", put_history()},
      {"bai_drop_requests",
       "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE at < $1::int8 ORDER BY at LIMIT "
       "$2::int8)"},
      {"bai_launches_step",
       "SELECT job, script, environment FROM launches WHERE job > $1::int8 ORDER BY job LIMIT $2::int8"},
      {"bai_contents_step", "SELECT hash FROM contents WHERE hash > $1::bytea ORDER BY hash LIMIT $2::int8"},
      {"bai_drop_contents", "DELETE FROM contents WHERE hash = ANY($1::bytea[])"},
  };
}

}  // namespace bai::store
