// sacct's filters as one SELECT, for both drivers. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "store/store.h"

namespace bai::store {

struct HistorySql {
  using Parameter = std::variant<std::int64_t, std::vector<std::int64_t>, std::vector<std::string>>;
  std::string sql;  // gives batch_host, record, by end
  std::vector<Parameter> parameters;
};

// "uid IN (SELECT value FROM json_each(?2))", "uid = ANY($2)"
using InList = std::string (*)(const std::string& column, const std::string& parameter);

// `mark` begins a numbered parameter: '?' or '$'.
HistorySql history_sql(const HistoryQuery& query, char mark, InList in_list);

}  // namespace bai::store
