// Rows: a batch as rows of tables, the same for every driver. Of several changes to one key the last one stays, rows
// are sorted by key, values are encoded. Plain values, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace bai::store {

struct RecordRow {
  std::int64_t key = 0;
  std::string record;
};
struct LaunchRow {
  std::int64_t job = 0;
  Hash256 script, environment;
  std::string record;
};
struct EventRow {
  std::int64_t job = 0, lsn = 0;
  std::string record;
};
struct StepRow {
  std::int64_t job = 0, attempt = 0, step = 0;
  std::string record;
};
struct NodeRow {
  std::string name, record;
};
struct SettingRow {
  std::string key, text;
};

// history's columns beside id and record: whole numbers first, then texts. Documented in doc/store.md.
inline constexpr std::array kHistoryNumbers = {
    "job_id",      "attempt",       "array_id",   "array_task",   "uid",      "gid",
    "exit_code",   "exit_signal",   "submit_us",  "eligible_us",  "start_us", "end_us",
    "cpus",        "nodes",         "mem_mib",    "time_limit_s", "priority", "restarts",
    "user_cpu_us", "system_cpu_us", "max_rss_kib"};
inline constexpr std::array kHistoryTexts = {"name",  "user_name", "group_name", "account",    "partition",
                                             "state", "reason",    "node_list",  "batch_host", "workdir"};
struct HistoryValues {
  std::array<std::int64_t, kHistoryNumbers.size()> numbers{};
  std::array<std::string, kHistoryTexts.size()> texts;
  std::string record;
};

struct Rows {
  std::vector<RecordRow> jobs;
  std::vector<std::int64_t> jobs_gone;
  std::vector<LaunchRow> launches;
  std::vector<std::int64_t> launches_gone;
  std::vector<const ContentPut*> contents;  // into the batch
  std::vector<EventRow> events;
  std::vector<const RequestPut*> requests;  // into the batch
  std::vector<StepRow> steps;
  std::vector<NodeRow> nodes;
  std::vector<SettingRow> settings;
  std::vector<std::string> settings_gone;
  std::vector<HistoryValues> history;
};

// The batch must outlive the rows.
Rows rows_of(const Batch& batch);

HistoryValues history_values(const JobEnded& ended);

// `text` as valid UTF-8 without NUL: other bytes become '?'. For columns that people query; records keep the truth.
std::string plain_text(std::string_view text);

}  // namespace bai::store
