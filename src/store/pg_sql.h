// The statements that the PostgreSQL driver prepares: name and text. A list parameter holds one table's share of a batch.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace bai::store {

std::vector<std::pair<const char*, std::string>> pg_statements();

}  // namespace bai::store
