#include "store/schema.h"

#include <array>

namespace bai::store {

namespace {

// Version 1. meta has one row, made by the driver right after.
constexpr const char* kSqlite1 = R"sql(
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  schema_version INTEGER NOT NULL,
  cluster_uuid BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  lsn INTEGER NOT NULL,
  last_job_id INTEGER NOT NULL,
  probes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE jobs (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE launches (
  job INTEGER PRIMARY KEY,
  script BLOB NOT NULL,
  environment BLOB NOT NULL,
  record BLOB NOT NULL
);
CREATE TABLE contents (hash BLOB PRIMARY KEY NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE events (
  job INTEGER NOT NULL,
  lsn INTEGER NOT NULL,
  record BLOB NOT NULL,
  PRIMARY KEY (job, lsn)
) WITHOUT ROWID;
CREATE TABLE requests (
  id BLOB PRIMARY KEY NOT NULL,
  uid INTEGER NOT NULL,
  at INTEGER NOT NULL,
  answer BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE nodes (name TEXT PRIMARY KEY NOT NULL, record BLOB NOT NULL);
CREATE TABLE settings (key TEXT PRIMARY KEY NOT NULL, text BLOB NOT NULL);
CREATE TABLE history (
  id INTEGER PRIMARY KEY,
  job_id INTEGER NOT NULL, attempt INTEGER NOT NULL, array_id INTEGER NOT NULL, array_task INTEGER NOT NULL,
  uid INTEGER NOT NULL, gid INTEGER NOT NULL, exit_code INTEGER NOT NULL, exit_signal INTEGER NOT NULL,
  submit_us INTEGER NOT NULL, eligible_us INTEGER NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
  cpus INTEGER NOT NULL, nodes INTEGER NOT NULL, mem_mib INTEGER NOT NULL, time_limit_s INTEGER NOT NULL,
  priority INTEGER NOT NULL, restarts INTEGER NOT NULL,
  user_cpu_us INTEGER NOT NULL, system_cpu_us INTEGER NOT NULL, max_rss_kib INTEGER NOT NULL,
  name TEXT NOT NULL, user_name TEXT NOT NULL, group_name TEXT NOT NULL, account TEXT NOT NULL,
  partition TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, node_list TEXT NOT NULL,
  batch_host TEXT NOT NULL, workdir TEXT NOT NULL,
  record BLOB NOT NULL
);
CREATE UNIQUE INDEX history_job ON history (job_id, attempt);
CREATE INDEX history_array ON history (array_id) WHERE array_id <> 0;
CREATE INDEX history_end ON history (end_us);
CREATE INDEX history_uid_end ON history (uid, end_us);
CREATE VIEW job_history AS SELECT
  job_id, attempt,
  nullif(array_id, 0) AS array_id,
  CASE WHEN array_task >= 0 THEN array_task END AS array_task,
  name, user_name AS "user", uid, group_name AS "group", gid, account, partition, state, reason,
  exit_code || ':' || exit_signal AS exit_code,
  CASE WHEN submit_us > 0 THEN datetime(submit_us / 1000000, 'unixepoch') END AS submitted,
  CASE WHEN eligible_us > 0 THEN datetime(eligible_us / 1000000, 'unixepoch') END AS eligible,
  CASE WHEN start_us > 0 THEN datetime(start_us / 1000000, 'unixepoch') END AS started,
  CASE WHEN end_us > 0 THEN datetime(end_us / 1000000, 'unixepoch') END AS ended,
  CASE WHEN start_us > 0 AND end_us >= start_us THEN (end_us - start_us) / 1e6 END AS elapsed_s,
  CASE WHEN time_limit_s >= 0 THEN time_limit_s END AS time_limit_s,
  cpus, nodes, node_list, batch_host, mem_mib,
  user_cpu_us / 1e6 AS user_cpu_s, system_cpu_us / 1e6 AS system_cpu_s, max_rss_kib,
  priority, restarts, workdir
FROM history;
)sql";

constexpr const char* kPostgresql1 = R"sql(
CREATE TABLE meta (
  id int PRIMARY KEY CHECK (id = 1),
  schema_version int NOT NULL,
  cluster_uuid bytea NOT NULL,
  epoch bigint NOT NULL,
  lsn bigint NOT NULL,
  last_job_id bigint NOT NULL,
  probes bigint NOT NULL DEFAULT 0
);
CREATE TABLE jobs (id bigint PRIMARY KEY, record bytea NOT NULL);
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.1);
CREATE TABLE launches (
  job bigint PRIMARY KEY,
  script bytea NOT NULL,
  environment bytea NOT NULL,
  record bytea NOT NULL
);
CREATE TABLE contents (hash bytea PRIMARY KEY, bytes bytea NOT NULL);
CREATE TABLE events (job bigint NOT NULL, lsn bigint NOT NULL, record bytea NOT NULL, PRIMARY KEY (job, lsn));
CREATE TABLE requests (id bytea PRIMARY KEY, uid bigint NOT NULL, at bigint NOT NULL, answer bytea NOT NULL);
CREATE INDEX requests_at ON requests (at);
CREATE TABLE nodes (name text PRIMARY KEY, record bytea NOT NULL);
CREATE TABLE settings (key text PRIMARY KEY, text bytea NOT NULL);
CREATE TABLE history (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id bigint NOT NULL, attempt bigint NOT NULL, array_id bigint NOT NULL, array_task bigint NOT NULL,
  uid bigint NOT NULL, gid bigint NOT NULL, exit_code bigint NOT NULL, exit_signal bigint NOT NULL,
  submit_us bigint NOT NULL, eligible_us bigint NOT NULL, start_us bigint NOT NULL, end_us bigint NOT NULL,
  cpus bigint NOT NULL, nodes bigint NOT NULL, mem_mib bigint NOT NULL, time_limit_s bigint NOT NULL,
  priority bigint NOT NULL, restarts bigint NOT NULL,
  user_cpu_us bigint NOT NULL, system_cpu_us bigint NOT NULL, max_rss_kib bigint NOT NULL,
  name text NOT NULL, user_name text NOT NULL, group_name text NOT NULL, account text NOT NULL,
  partition text NOT NULL, state text NOT NULL, reason text NOT NULL, node_list text NOT NULL,
  batch_host text NOT NULL, workdir text NOT NULL,
  record bytea NOT NULL
);
CREATE UNIQUE INDEX history_job ON history (job_id, attempt);
CREATE INDEX history_array ON history (array_id) WHERE array_id <> 0;
CREATE INDEX history_end ON history (end_us);
CREATE INDEX history_uid_end ON history (uid, end_us);
CREATE VIEW job_history AS SELECT
  job_id, attempt,
  nullif(array_id, 0) AS array_id,
  CASE WHEN array_task >= 0 THEN array_task END AS array_task,
  name, user_name AS "user", uid, group_name AS "group", gid, account, partition, state, reason,
  exit_code || ':' || exit_signal AS exit_code,
  CASE WHEN submit_us > 0 THEN to_timestamp(submit_us / 1e6) END AS submitted,
  CASE WHEN eligible_us > 0 THEN to_timestamp(eligible_us / 1e6) END AS eligible,
  CASE WHEN start_us > 0 THEN to_timestamp(start_us / 1e6) END AS started,
  CASE WHEN end_us > 0 THEN to_timestamp(end_us / 1e6) END AS ended,
  CASE WHEN start_us > 0 AND end_us >= start_us THEN (end_us - start_us) / 1e6 END AS elapsed_s,
  CASE WHEN time_limit_s >= 0 THEN time_limit_s END AS time_limit_s,
  cpus, nodes, node_list, batch_host, mem_mib,
  user_cpu_us / 1e6 AS user_cpu_s, system_cpu_us / 1e6 AS system_cpu_s, max_rss_kib,
  priority, restarts, workdir
FROM history;
)sql";

// Version 2: steps, running and ended.
constexpr const char* kSqlite2 = R"sql(
CREATE TABLE steps (
  job INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  step INTEGER NOT NULL,
  record BLOB NOT NULL,
  PRIMARY KEY (job, attempt, step)
) WITHOUT ROWID;
)sql";
constexpr const char* kPostgresql2 = R"sql(
CREATE TABLE steps (
  job bigint NOT NULL, attempt bigint NOT NULL, step bigint NOT NULL, record bytea NOT NULL,
  PRIMARY KEY (job, attempt, step)
);
)sql";

constexpr std::array<const char*, kSchemaVersion> kSqlite = {kSqlite1, kSqlite2};
constexpr std::array<const char*, kSchemaVersion> kPostgresql = {kPostgresql1, kPostgresql2};

}  // namespace

std::span<const char* const> sqlite_migrations() { return kSqlite; }
std::span<const char* const> postgresql_migrations() { return kPostgresql; }

}  // namespace bai::store
