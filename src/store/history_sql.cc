#include "store/history_sql.h"

#include <utility>

#include "store/rows.h"

namespace bai::store {

HistorySql history_sql(const HistoryQuery& query, char mark, InList in_list) {
  HistorySql out;
  std::string where;
  const auto parameter = [&](HistorySql::Parameter value) {
    out.parameters.push_back(std::move(value));
    return mark + std::to_string(out.parameters.size());
  };
  const auto require = [&](const std::string& condition) {
    where += (where.empty() ? " WHERE " : " AND ") + condition;
  };
  const auto texts = [&](const char* column, const std::vector<std::string>& list) {
    if (list.empty()) return;
    std::vector<std::string> plain;
    for (const auto& text : list) plain.push_back(plain_text(text));
    require(in_list(column, parameter(std::move(plain))));
  };
  if (!query.jobs.empty()) {
    const std::vector<std::int64_t> ids(query.jobs.begin(), query.jobs.end());
    const auto list = parameter(ids);
    require("(" + in_list("job_id", list) + " OR (array_id <> 0 AND " + in_list("array_id", list) + "))");
  }
  if (!query.uids.empty())
    require(in_list("uid", parameter(std::vector<std::int64_t>(query.uids.begin(), query.uids.end()))));
  if (!query.states.empty()) {
    std::vector<std::string> states;
    for (const auto state : query.states) states.emplace_back(name(state));
    texts("state", states);
  }
  texts("name", query.names);
  texts("partition", query.partitions);
  texts("account", query.accounts);
  if (query.since.is_set()) require("end_us >= " + parameter(query.since.us));
  if (query.until.is_set())
    require("submit_us < " + parameter(query.until.us));  // no job starts before it is submitted
  out.sql = "SELECT batch_host, record FROM history" + where + " ORDER BY ";
  out.sql += query.newest_first ? "end_us DESC, id DESC" : "end_us, id";
  out.sql += " LIMIT ";
  out.sql += parameter(static_cast<std::int64_t>(query.limit));
  return out;
}

}  // namespace bai::store
